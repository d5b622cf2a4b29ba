"""Random stories: what users, machines and chance do to two stores, in any order."""
