"""The catalog and the record of runs of this system, in the database that the settings name."""

from __future__ import annotations

from functools import lru_cache

from core.settings import settings
from db.alarms import Alarms
from db.audit import Audit
from db.catalog import Catalog
from db.executions import Executions
from db.inventory import Inventory
from db.job_changes import JobChanges
from db.owed import OwedCopies
from db.session import Database, open_database


@lru_cache(maxsize=1)
def database() -> Database:
    """The system's database, brought up to date. Raises ConfigurationError."""
    return open_database(settings().catalog_url)


def catalog() -> Catalog:
    """The index of backups; the destinations are the truth."""
    return Catalog(database())


def inventory() -> Inventory:
    """What the catalog holds, searched and summed up."""
    return Inventory(database())


def executions() -> Executions:
    """The record of runs."""
    return Executions(database())


def alarms() -> Alarms:
    """Who was told that a job is overdue."""
    return Alarms(database())


def job_changes() -> JobChanges:
    """Which jobs were changed, and in which order."""
    return JobChanges(database())


def owed_copies() -> OwedCopies:
    """What earlier runs owe to some of their destinations."""
    return OwedCopies(database())


def audit() -> Audit:
    """Who did what."""
    return Audit(database())
