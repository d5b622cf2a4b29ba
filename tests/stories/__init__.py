"""Stories that nobody thought of: what people, machines and chance do to two stores, in any order."""
