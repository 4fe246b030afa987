"""The log lines of libraries that write down addresses, which here are secrets: masked before any handler sees them."""

from __future__ import annotations

import logging

from core.masking import mask


def mask_lines_of(*names: str) -> None:
    """Mask every line of these loggers, and drop traces, which quote what they were called with."""
    for name in names:
        logging.getLogger(name).addFilter(_masked)  # adding the same one again changes nothing


def _masked(record: logging.LogRecord) -> bool:
    record.msg, record.args = mask(record.getMessage()), ()
    record.exc_info = record.exc_text = record.stack_info = None
    return True
