"""The database of the system: the catalog of backups and the record of runs."""
