"""Credentials that are saved once, as blocks of prefect-aws, and named by a storage."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from prefect_aws import AwsCredentials, MinIOCredentials  # type: ignore[import-untyped]
from prefect_aws.client_parameters import AwsClientParameters  # type: ignore[import-untyped]
from pydantic import SecretStr

from actions import saved
from actions.door import LOCAL_ADMINISTRATOR
from blocks.addresses import open_storage
from blocks.api import prefect_api
from blocks.saved import Kind, load_storage, remove
from core.errors import ConfigurationError, ConnectionError
from core.jobs import Address
from core.reports import StoredCopy
from core.sealing import is_sealed
from tasks.backup import open_destination
from tests.adapters.storage_contract import content
from tests.servers.s3 import BUCKET, S3Server


def place(server: S3Server, credentials: str, endpoint: bool = True) -> str:
    """The URL of a bucket whose credentials are named."""
    where = f"&endpoint=http://127.0.0.1:{server.port}" if endpoint else ""
    return f"s3://{BUCKET}/{secrets.token_hex(4)}?path_style=true&credentials={credentials}{where}"


@pytest.fixture
def aws(home: Path, swift: S3Server) -> Iterator[str]:
    """The name of an AwsCredentials block that fits the server, endpoint included."""
    endpoint = AwsClientParameters(endpoint_url=f"http://127.0.0.1:{swift.port}")
    block = AwsCredentials(
        aws_access_key_id=swift.key, aws_secret_access_key=SecretStr(swift.secret), aws_client_parameters=endpoint
    )
    yield from _saved(block)


@pytest.fixture
def minio(home: Path, swift: S3Server) -> Iterator[str]:
    """The name of a MinIOCredentials block."""
    yield from _saved(MinIOCredentials(minio_root_user=swift.key, minio_root_password=SecretStr(swift.secret)))


class Roles(BaseHTTPRequestHandler):
    """A token service that gives a role as often as ``granted`` says, each time for five minutes, then to nobody."""

    granted = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        status, body = (200, self._session()) if type(self).granted > 0 else (403, REFUSAL)
        type(self).granted -= 1
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _session(self) -> bytes:
        ends = datetime.now(UTC) + timedelta(minutes=5)  # botocore renews what has less than ten left
        return (
            "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIAROLE</AccessKeyId>"
            "<SecretAccessKey>SECRET-of-the-role</SecretAccessKey><SessionToken>TOKEN-of-the-role</SessionToken>"
            f"<Expiration>{ends:%Y-%m-%dT%H:%M:%SZ}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
        ).encode()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


REFUSAL = (
    b"<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>"
    b"<Message>arn:aws:iam::1:user/x is not authorized</Message></Error></ErrorResponse>"
)


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A profile on this machine that names a role, for the shortest session that there is."""
    (tmp_path / "config").write_text(
        "[profile p]\nrole_arn=arn:aws:iam::123456789012:role/backup\nsource_profile=base\nregion=us-east-1\n"
        "duration_seconds=900\n"
        "[profile base]\naws_access_key_id=KEY\naws_secret_access_key=SECRET-of-mine\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    return "p"


@pytest.fixture
def role(home: Path, profile: str) -> Iterator[str]:
    """The name of an AwsCredentials block that stands for the role."""
    yield from _saved(AwsCredentials(profile_name=profile))


@pytest.fixture
def roles(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Roles]]:
    """The token service that is asked for it. It refuses, unless it is told to grant."""
    with HTTPServer(("127.0.0.1", 0), Roles) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"http://127.0.0.1:{server.server_port}")
        yield Roles
        Roles.granted = 0
        server.shutdown()
        thread.join()


def signers(storage: Any) -> list[str]:
    """The access keys by which the storage's requests are signed from now on, one for each request."""
    found: list[str] = []

    def note(request: Any, **_: Any) -> None:
        authorization = request.headers["Authorization"]
        text = authorization.decode() if isinstance(authorization, bytes) else str(authorization)
        assert request.headers["X-Amz-Security-Token"]
        found.append(text.partition("Credential=")[2].partition("/")[0])

    storage._bucket.client.meta.events.register("before-send.s3", note)
    return found


def _saved(block: AwsCredentials | MinIOCredentials) -> Iterator[str]:
    name = f"vault-{secrets.token_hex(3)}"
    with prefect_api():
        block.save(name)
    yield name
    with prefect_api():
        type(block).delete(name)


def test_a_storage_opens_with_the_credentials_that_it_names(swift: S3Server, aws: str, minio: str) -> None:
    open_storage(Address(place(swift, aws, endpoint=False))).check()
    open_storage(Address(place(swift, minio))).check()


def test_a_saved_storage_names_its_credentials_and_holds_none(swift: S3Server, aws: str) -> None:
    saved.add_storage(LOCAL_ADMINISTRATOR, "by-name", place(swift, aws))
    try:
        assert load_storage("by-name").opened()["credentials"] == aws
        assert "secret_access_key" not in load_storage("by-name").opened()
        open_storage(Address("by-name")).check()
    finally:
        remove(Kind.STORAGE, "by-name")


def test_a_saved_bucket_is_sealed_and_opens_again(home: Path, swift: S3Server) -> None:
    saved.add_storage(LOCAL_ADMINISTRATOR, "sealed", swift.url("p/q"))
    try:
        block = load_storage("sealed")
        for field in ("bucket", "prefix", "endpoint", "access_key_id", "secret_access_key"):
            assert is_sealed(getattr(block, field).get_secret_value())
        block.open().check()
        assert swift.secret not in repr(saved.storages(LOCAL_ADMINISTRATOR))
    finally:
        remove(Kind.STORAGE, "sealed")


def test_credentials_that_nobody_saved_are_said_to_be_missing(home: Path, swift: S3Server) -> None:
    with pytest.raises(ConfigurationError, match="no credentials named nobody-saved-them") as failure:
        open_storage(Address(place(swift, "nobody-saved-them")))
    assert "AwsCredentials" in failure.value.hint


def test_requests_are_signed_by_the_roles_session_which_is_renewed_before_it_ends(
    moto: S3Server, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"http://127.0.0.1:{moto.port}")
    bucket = f"roles-{secrets.token_hex(4)}"
    moto.client().create_bucket(Bucket=bucket)
    url = f"s3://{bucket}/p?path_style=true&endpoint=http://127.0.0.1:{moto.port}&credentials={role}"
    storage = open_storage(Address(url))
    used = signers(storage)
    storage.put("a", [b"x"])
    assert content(storage, "a") == b"x"
    assert all(key.startswith("ASIA") for key in used), "they were signed by the profile's own key"
    # A session of fifteen minutes is one that is about to end, to botocore: it asks for another each time.
    assert len(set(used)) > 1, "the session was never renewed"


def test_a_role_that_is_withdrawn_during_a_run_is_said_and_shown_to_nobody(
    moto: S3Server, role: str, roles: type[Roles]
) -> None:
    roles.granted = 2
    bucket = f"roles-{secrets.token_hex(4)}"
    moto.client().create_bucket(Bucket=bucket)
    url = f"s3://{bucket}/p?path_style=true&endpoint=http://127.0.0.1:{moto.port}&credentials={role}"
    storage = open_storage(Address(url))
    with pytest.raises(ConnectionError, match=r"the role for the bucket .* was refused") as failure:
        for _ in range(3):
            list(storage.list())
    assert failure.value.permanent
    assert "trust policy" in failure.value.hint
    assert "arn:aws" not in f"{failure.value!r} {failure.value.hint}"


def test_a_refused_role_is_an_error_of_its_destination_alone_and_logs_nothing(
    role: str, roles: type[Roles], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    opened = open_destination(Address(f"s3://{BUCKET}/p?credentials={role}"))
    assert isinstance(opened, StoredCopy)
    assert opened.failure is not None
    assert f"the credentials {role} give no access key" in opened.failure.reason
    assert "role" in opened.failure.hint
    shown = caplog.text + "".join(capfd.readouterr())
    assert "Traceback" not in shown
    assert "arn:aws" not in shown
