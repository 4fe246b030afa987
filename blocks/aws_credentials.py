"""Credentials that are kept as blocks of prefect-aws, given to a storage as plain fields.

``AwsCredentials`` may name a profile, and a profile a role: the role's session is begun when the storage is opened, so
that a refusal shows at once, and renewed by botocore whenever it is about to end.
"""

from __future__ import annotations

from typing import Any

from boto3.session import Session
from botocore.credentials import RefreshableCredentials
from botocore.exceptions import BotoCoreError, ClientError
from prefect_aws import AwsCredentials, MinIOCredentials  # type: ignore[import-untyped]
from pydantic import BaseModel, SecretStr, ValidationError

from adapters.storage.s3.errors import silence_credentials
from blocks.saved import load_foreign
from core.errors import ConfigurationError

Credentials = Any  # either of the two, which come without types


def with_credentials(config: BaseModel) -> tuple[BaseModel, RefreshableCredentials | None]:
    """The configuration with the credentials that it names, and what renews them, if they are a role's.

    What the configuration says itself, region and endpoint, stays. Raises ConfigurationError when no block has the
    name, or nothing can be made of it.
    """
    facts = dict(config)
    name = facts.pop("credentials")
    block: Credentials = load_foreign(name, AwsCredentials, MinIOCredentials)
    if block is None:
        raise ConfigurationError(
            f"there are no credentials named {name}",
            hint="save an AwsCredentials or MinIOCredentials block of prefect-aws under this name",
        )
    session, credentials = _begun(name, block)
    found = {**_session_facts(name, session, credentials), **_client_facts(block)}
    missing = {field: value for field, value in found.items() if facts.get(field) is None}
    try:
        filled = type(config).model_validate({**facts, **missing})
    except ValidationError:
        raise ConfigurationError(
            f"the credentials {name} do not fit: they hold an endpoint that is no address, or half a key",
            hint="correct the block in Prefect",
        ) from None

    return filled, credentials if isinstance(credentials, RefreshableCredentials) else None


def _begun(name: str, block: Credentials) -> tuple[Session, Any]:
    """A session of boto3, and the credentials in it, if any. Raises ConfigurationError."""
    silence_credentials()
    try:
        session = block.get_boto3_session()
        return session, session.get_credentials()
    except (BotoCoreError, ClientError, RuntimeError, ValueError):
        raise _no_key(name) from None  # the text of each may quote what is in a profile


def _session_facts(name: str, session: Session, credentials: Any) -> dict[str, Any]:
    try:
        frozen = credentials.get_frozen_credentials() if credentials else None
    except (BotoCoreError, ClientError, RuntimeError, ValueError):
        frozen = None
    if frozen is None:
        raise _no_key(name)
    return {
        "access_key_id": SecretStr(frozen.access_key),
        "secret_access_key": SecretStr(frozen.secret_key),
        "session_token": SecretStr(frozen.token) if frozen.token else None,
        "region": session.region_name,
    }


def _no_key(name: str) -> ConfigurationError:
    return ConfigurationError(
        f"the credentials {name} give no access key", hint="look at the keys, the profile and the role in the block"
    )


def _client_facts(block: Credentials) -> dict[str, Any]:
    """The endpoint and the certificate authority, where the block has them."""
    parameters = block.aws_client_parameters
    authority = parameters.verify_cert_path
    return {"endpoint": parameters.endpoint_url, "ca_bundle": str(authority) if authority else None}
