"""One pipeline step each: open the block, call the service, report progress."""

import blocks as blocks  # before Prefect is imported: it sets what Prefect reads then
