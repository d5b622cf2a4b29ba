"""What needs a real Sumatra Server."""
