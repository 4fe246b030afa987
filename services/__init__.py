"""The use cases, in plain Python."""
