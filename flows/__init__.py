"""Order, concurrency and outcome: the backup, restore and integrity flows."""

import blocks as blocks  # before Prefect is imported: it sets what Prefect reads then
