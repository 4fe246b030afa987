"""MongoDB and servers that speak its protocol."""

from adapters.database.mongodb.adapter import MongoDB
from adapters.database.mongodb.config import MongoDBConfig

__all__ = ["MongoDB", "MongoDBConfig"]
