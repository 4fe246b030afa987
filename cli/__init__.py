"""The `dbackup` command."""
