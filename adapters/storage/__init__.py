"""The kinds of storage. A new one is one module beside these and one name in the table."""

from adapters.storage.local import Local
from adapters.storage.s3 import S3
from adapters.storage.sftp import SFTP
from adapters.table import index

STORAGES = index("kind", Local, S3, SFTP)
