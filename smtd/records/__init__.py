"""What a record is, and when two records are equal."""
