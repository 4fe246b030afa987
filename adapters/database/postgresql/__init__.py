"""PostgreSQL 13 and newer."""

from adapters.database.postgresql.adapter import PostgreSQL
from adapters.database.postgresql.config import PostgreSQLConfig

__all__ = ["PostgreSQL", "PostgreSQLConfig"]
