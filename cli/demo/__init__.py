"""The demonstration: a database is backed up, proven, restored and compared, in one go. ``python -m cli.demo``."""
