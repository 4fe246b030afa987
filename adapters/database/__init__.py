"""The engines. A new one is one package beside these and one name in the table."""

from adapters.database.mongodb import MongoDB
from adapters.database.mysql import MariaDB, MySQL
from adapters.database.postgresql import PostgreSQL
from adapters.database.sqlite import SQLite
from adapters.table import index

ENGINES = index("engine", PostgreSQL, MySQL, MariaDB, MongoDB, SQLite)
