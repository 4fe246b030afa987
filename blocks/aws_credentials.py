"""Credentials that are kept as blocks of prefect-aws, given to a storage as plain fields.

``AwsCredentials`` may name a profile, and a profile a role: what it stands for is fetched when the storage is
opened, and lasts as long as the role's session does.
"""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from prefect_aws import AwsCredentials, MinIOCredentials  # type: ignore[import-untyped]
from pydantic import BaseModel, SecretStr, ValidationError

from adapters.storage.s3.errors import silence_credentials
from blocks.saved import load_foreign
from core.errors import ConfigurationError

Credentials = Any  # either of the two, which come without types


def with_credentials(config: BaseModel) -> BaseModel:
    """The configuration with the credentials that it names. What it says itself, region and endpoint, stays.

    Raises ConfigurationError when no block has the name, or nothing can be made of it.
    """
    facts = dict(config)
    name = facts.pop("credentials")
    block: Credentials = load_foreign(name, AwsCredentials, MinIOCredentials)
    if block is None:
        raise ConfigurationError(
            f"there are no credentials named {name}",
            hint="save an AwsCredentials or MinIOCredentials block of prefect-aws under this name",
        )
    found = {**_session_facts(name, block), **_client_facts(block)}
    missing = {field: value for field, value in found.items() if facts.get(field) is None}
    try:
        return type(config).model_validate({**facts, **missing})
    except ValidationError:
        raise ConfigurationError(
            f"the credentials {name} do not fit: they hold an endpoint that is no address, or half a key",
            hint="correct the block in Prefect",
        ) from None


def _session_facts(name: str, block: Credentials) -> dict[str, Any]:
    silence_credentials()
    try:
        session = block.get_boto3_session()
        credentials = session.get_credentials()
        frozen = credentials.get_frozen_credentials() if credentials else None
    except (BotoCoreError, ClientError, RuntimeError, ValueError):  # the text of each may quote what is in a profile
        frozen = None
    if frozen is None:
        raise ConfigurationError(
            f"the credentials {name} give no access key",
            hint="look at the keys, the profile and the role in the block",
        )
    return {
        "access_key_id": SecretStr(frozen.access_key),
        "secret_access_key": SecretStr(frozen.secret_key),
        "session_token": SecretStr(frozen.token) if frozen.token else None,
        "region": session.region_name,
    }


def _client_facts(block: Credentials) -> dict[str, Any]:
    """The endpoint and the certificate authority, where the block has them."""
    parameters = block.aws_client_parameters
    authority = parameters.verify_cert_path
    return {"endpoint": parameters.endpoint_url, "ca_bundle": str(authority) if authority else None}
