"""The texts that smtd shows about its work: reasons in English, and reports as JSON."""
