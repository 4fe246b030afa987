"""A bucket of any server that speaks S3 as a destination. What needs boto3 is imported when it is first used."""

from adapters.storage.s3.adapter import S3
from adapters.storage.s3.config import S3Config

__all__ = ["S3", "S3Config"]
