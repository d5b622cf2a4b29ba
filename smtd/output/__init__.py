"""What smtd says of its work: reasons in English, and reports as JSON has them."""
