"""The outside world behind the ports. Nothing here imports Prefect."""
