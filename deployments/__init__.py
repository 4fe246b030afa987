"""Jobs as Prefect deployments."""

import blocks as blocks  # before Prefect is imported: it sets what Prefect reads then
