"""Prefect blocks: every adapter's configuration, typed, with its secrets sealed before Prefect sees them.

Importing this package comes before importing Prefect and quiets it: no analytics, and our log lines are recorded
with the run they belong to, also in a process that a worker of Prefect's has started, where nobody has set up our
logger. A value that the environment already has is left alone.
"""

import logging
import os

for _name, _value in {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "dbackup",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_TASKS_DEFAULT_NO_CACHE": "true",
    "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
}.items():
    os.environ.setdefault(_name, _value)


def record_our_lines() -> None:
    """Let our log lines be recorded, in a process that carries out a run."""
    logger = logging.getLogger("dbackup")
    if not logger.level:
        level = os.environ.get("DBACKUP_LOG_LEVEL", "").upper()
        logger.setLevel(level if level in logging.getLevelNamesMapping() else logging.INFO)


if "PREFECT__FLOW_RUN_ID" in os.environ:
    record_our_lines()

for _name in ("NO_PROXY", "no_proxy"):  # the embedded server is asked directly, whatever proxy others take
    os.environ[_name] = ",".join(filter(None, [os.environ.get(_name), "127.0.0.1"]))
