"""The documents: what they show is run, and what they list is complete."""
