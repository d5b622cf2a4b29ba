"""What a record is, and when two of them say the same."""
