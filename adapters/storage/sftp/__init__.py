"""SFTP as a destination."""

from adapters.storage.sftp.adapter import SFTP
from adapters.storage.sftp.config import SFTPConfig

__all__ = ["SFTP", "SFTPConfig"]
