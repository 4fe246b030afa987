"""Jobs as Prefect deployments. Empty so far: a backup is started by a person or by a script."""
