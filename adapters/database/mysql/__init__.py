"""MySQL and MariaDB: two engines that share their code."""

from adapters.database.mysql.adapter import MariaDB, MySQL
from adapters.database.mysql.config import MariaDBConfig, MySQLConfig

__all__ = ["MariaDB", "MariaDBConfig", "MySQL", "MySQLConfig"]
