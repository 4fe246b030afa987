"""What can go wrong between here and a bucket: each is a sentence with a hint, and nothing half-sent stays."""

from __future__ import annotations

import datetime
import hashlib
import secrets
import tracemalloc
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from botocore.stub import Stubber

from adapters.storage.s3 import S3, S3Config
from core.errors import (
    AdapterError,
    ConfigurationError,
    ConnectionError,
    ObjectLocked,
    ObjectNotFound,
    StorageError,
    StorageFull,
)
from tests.adapters.storage_contract import content, keys
from tests.disks import small_disk
from tests.servers.certificates import Certificates
from tests.servers.processes import free_port
from tests.servers.proxy import Proxy, proxied
from tests.servers.s3 import BUCKET, S3Server, rclone_serving

MIB = 1 << 20
PART = 5 * MIB


def bucket_at(url: str) -> S3:
    return S3(S3Config.from_url(url))


def fresh(server: S3Server, **options: Any) -> S3:
    return bucket_at(server.url(secrets.token_hex(8), **{"part_size": PART, **options}))


def body(parts: int) -> Iterator[bytes]:
    """So many parts and a bit, in chunks of a mebibyte."""
    yield from (bytes([number % 251]) * MIB for number in range(parts * 5))
    yield b"and a bit"


@pytest.fixture
def network(swift: S3Server) -> Iterator[Proxy]:
    with proxied(swift.port) as proxy:
        yield proxy


# --- the network ---


def test_an_upload_survives_connections_that_break(swift: S3Server, network: Proxy) -> None:
    storage = fresh(swift, port=network.port)
    network.cut(sent=2 * MIB, times=2)
    storage.put("cut", body(3))
    assert content(storage, "cut") == b"".join(body(3))


def test_an_upload_over_a_network_that_stays_broken_leaves_nothing_behind(swift: S3Server, network: Proxy) -> None:
    storage = fresh(swift, port=network.port)

    def breaking() -> Iterator[bytes]:
        for number, chunk in enumerate(body(4)):
            if number == 7:
                network.cut(sent=MIB, times=1_000)  # no part gets through any more; what takes it back is short
            yield chunk

    with pytest.raises(ConnectionError, match="hung up") as failure:
        storage.put("cut", breaking())
    assert not failure.value.permanent
    assert keys(storage) == []
    assert swift.unfinished() == []


def test_an_object_whose_answer_was_lost_is_known_again(swift: S3Server, network: Proxy) -> None:
    storage = fresh(swift, port=network.port)
    storage.check()  # the connection is there
    network.cut(received=450, times=1)  # within the answers to the look and to the write
    storage.put("lost", [b"stored all the same"])
    assert content(storage, "lost") == b"stored all the same"


def test_a_download_is_taken_up_again_where_it_broke(swift: S3Server, network: Proxy) -> None:
    storage = fresh(swift, port=network.port)
    storage.put("large", body(2))
    network.cut(received=3 * MIB, times=2)
    assert content(storage, "large") == b"".join(body(2))
    network.cut(received=3 * MIB, times=1)
    assert content(storage, "large", offset=100, length=6 * MIB) == b"".join(body(2))[100 : 100 + 6 * MIB]


def test_a_download_that_always_breaks_is_an_error_in_the_end(swift: S3Server, network: Proxy) -> None:
    storage = fresh(swift, port=network.port)
    storage.put("large", body(2))
    network.cut(received=300_000, times=1_000)
    with pytest.raises(ConnectionError, match="hung up") as failure:
        content(storage, "large")
    assert not failure.value.permanent


def test_a_server_that_does_not_run_cannot_be_reached(swift: S3Server) -> None:
    with pytest.raises(ConnectionError, match="cannot be reached"):
        list(fresh(swift, port=free_port()).list())


def test_an_interrupt_after_some_parts_leaves_nothing_behind(swift: S3Server) -> None:
    storage = fresh(swift)

    def interrupted() -> Iterator[bytes]:
        yield from body(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        storage.put("gone", interrupted())
    assert keys(storage) == []
    assert swift.unfinished() == []


def test_an_upload_takes_no_more_memory_than_its_parts_that_travel(rclone: S3Server) -> None:
    storage = fresh(rclone, uploads=2)
    tracemalloc.start()
    try:
        storage.put("large", body(16))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * PART + 4 * MIB


@pytest.mark.parametrize("use", ["put", "get", "list"])
def test_a_network_that_falls_silent_is_an_error_with_a_number(swift: S3Server, network: Proxy, use: str) -> None:
    storage = fresh(swift, port=network.port, read_timeout=1.5)
    storage.put("large", body(1))

    def silenced() -> Iterator[bytes]:
        yield from body(2)
        network.silent = True

    network.silent = use != "put"
    uses = {"put": lambda: storage.put("b", silenced()), "get": lambda: content(storage, "large"), "list": storage.list}
    with pytest.raises(ConnectionError, match=r"1\.5 seconds") as failure:
        list(uses[use]() or ())  # type: ignore[no-untyped-call]
    assert not failure.value.permanent
    network.heal()
    assert keys(storage) == ["large"]


def test_a_slow_line_is_no_silent_one(swift: S3Server, network: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.servers.proxy.IN_FLIGHT", 1)  # what waits before the line, as in the buffer of a modem
    timeout, sent = 2, 3 * MIB
    storage = fresh(swift, port=network.port, read_timeout=timeout, connect_timeout=timeout)
    network.bandwidth = 3 * MIB // 4
    assert sent / network.bandwidth >= 2 * timeout
    storage.put("slow", [b"x" * sent])
    network.heal()
    assert content(storage, "slow") == b"x" * sent


# --- the server ---


def test_a_wrong_secret_is_said_and_not_shown(swift: S3Server, rclone: S3Server) -> None:
    for server in (swift, rclone):
        storage = bucket_at(server.url("p").replace(server.secret, "a-wrong-secret-of-mine"))
        for use in (lambda: storage.put("a", [b"x"]), lambda: list(storage.list()), storage.check):  # noqa: B023
            with pytest.raises(ConnectionError, match="refused the credentials") as failure:
                use()  # type: ignore[no-untyped-call]
            assert failure.value.permanent
            assert "a-wrong-secret-of-mine" not in f"{failure.value!r} {failure.value.hint} {storage.describe()}"


def test_a_missing_bucket_is_said_whatever_is_asked(swift: S3Server) -> None:
    storage = bucket_at(swift.url("p", bucket="nobody-made-it"))
    uses = (lambda: storage.put("a", [b"x"]), lambda: list(storage.list()), lambda: storage.delete("a"), storage.check)
    for use in uses:
        with pytest.raises(StorageError, match="no bucket nobody-made-it") as failure:
            use()  # type: ignore[no-untyped-call]
        assert failure.value.permanent
        assert not isinstance(failure.value, ObjectNotFound)


def test_a_wrong_clock_is_said(swift: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    late = datetime.datetime.now(datetime.UTC).replace(tzinfo=None) - datetime.timedelta(hours=2)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda *_, **__: late)
    with pytest.raises(StorageError, match="clock") as failure:
        list(fresh(swift).list())
    assert failure.value.permanent


def test_a_full_disk_behind_the_server_keeps_nothing_of_the_object(tmp_path: Path) -> None:
    """rclone does not say why it failed; servers that do are a StorageFull, see below."""
    with small_disk(tmp_path / "disk", 20) as disk:
        (disk / BUCKET).mkdir()
        with rclone_serving(disk) as server:
            storage = fresh(server)
            with pytest.raises(StorageError, match=r"InternalError|NoSuchUpload") as failure:
                storage.put("large", body(6))
            assert failure.value.hint
            assert keys(storage) == []


def answer(code: str, status: int, message: str, operation: str = "list_objects_v2", **more: Any) -> AdapterError:
    """What becomes of an answer that no server of the tests can be brought to give."""
    storage = bucket_at("s3://KEY:SECRET-of-mine@bucket/p?region=eu-west-1")
    with Stubber(storage._bucket.client) as stub:
        stub.add_client_error(operation, code, message, status, service_error_meta=more)
        with pytest.raises(AdapterError) as failure:
            list(storage.list())
    return failure.value


@pytest.mark.parametrize(
    ("code", "status", "message", "kind", "permanent", "hint"),
    [
        ("AccessDenied", 403, "Access Denied", StorageError, True, "s3:ListBucket"),
        ("PermanentRedirect", 301, "must be addressed using the endpoint", StorageError, True, "region="),
        ("AuthorizationHeaderMalformed", 400, "the region is wrong", StorageError, True, "region="),
        ("QuotaExceeded", 403, "over the limit", StorageFull, True, "raise the quota"),
        ("XMinioStorageFull", 507, "no space left", StorageFull, True, "make room"),
        ("SlowDown", 503, "Please reduce your request rate", StorageError, False, "try again"),
        ("SlowDown", 400, "Please reduce your request rate", StorageError, False, "try again"),
        ("429", 429, "Too Many Requests", StorageError, False, "try again"),
        ("TooManyRequests", 400, "slower", StorageError, False, "try again"),
        ("Throttling", 400, "Rate exceeded", StorageError, False, "try again"),
        ("ThrottlingException", 400, "Rate exceeded", StorageError, False, "try again"),
        ("RequestLimitExceeded", 400, "Request limit exceeded", StorageError, False, "try again"),
        ("408", 408, "Request Timeout", StorageError, False, "try again"),
        ("InternalError", 500, "We encountered an error", StorageError, False, "try again"),
        ("ExpiredToken", 400, "The provided token has expired", ConnectionError, True, "session token"),
        ("NotImplemented", 501, "A header you provided", StorageError, True, "conditional_writes=false"),
        ("InvalidObjectState", 403, "in GLACIER", StorageError, True, "restore it first"),
    ],
)
def test_every_refusal_has_a_sentence_and_a_hint(
    code: str, status: int, message: str, kind: type[AdapterError], permanent: bool, hint: str
) -> None:
    failure = answer(code, status, message)
    assert type(failure) is kind
    assert failure.permanent is permanent
    assert hint in failure.hint


class Elsewhere(BaseHTTPRequestHandler):
    """A server that has the bucket in another region, as Amazon's do."""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b"<Error><Code>PermanentRedirect</Code><Message>use the other endpoint</Message></Error>"
        self.send_response(301)
        self.send_header("x-amz-bucket-region", "eu-central-1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_PUT = do_POST = do_GET  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


def test_a_bucket_in_another_region_is_said_whatever_is_asked() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            storage = fresh(S3Server(server.server_port, "KEY", "SECRET"), region="us-west-2")
            uses = (lambda: storage.put("a", [b"x"]), storage.check, lambda: list(storage.list()))
            for use in (*uses, lambda: content(storage, "a")):
                with pytest.raises(StorageError, match="another region") as failure:
                    use()
                assert failure.value.permanent
                assert "region=eu-central-1" in failure.value.hint
        finally:
            server.shutdown()
            thread.join()


def test_the_region_that_the_server_names_is_in_the_hint() -> None:
    assert "region=eu-central-1" in answer("AuthorizationHeaderMalformed", 400, "wrong", Region="eu-central-1").hint


def test_an_object_that_arrived_changed_is_taken_away_again(swift: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = fresh(swift)
    real = hashlib.md5
    monkeypatch.setattr(hashlib, "md5", lambda data=b"", **options: real(bytes(data) + b"!", **options))
    with pytest.raises(StorageError, match="another checksum") as failure:
        storage.put("changed", [b"as it was sent"])
    assert not failure.value.permanent
    assert keys(storage) == []


def test_a_server_that_is_sent_only_md5_checks_it(swift: S3Server) -> None:
    storage = fresh(swift, request_checksum_calculation="when_required")
    storage.put("small", [b"x"])
    storage.put("large", body(2))
    assert content(storage, "large") == b"".join(body(2))


# --- locks and versions ---


@pytest.fixture
def vault(moto: S3Server) -> str:
    """A bucket with versions and locks."""
    name = f"vault-{secrets.token_hex(4)}"
    moto.client().create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    return name


def test_an_object_under_a_lock_is_kept_and_the_refusal_says_until_when(moto: S3Server, vault: str) -> None:
    storage = bucket_at(moto.url("p", bucket=vault, lock_days=7, lock_mode="COMPLIANCE"))
    storage.put("kept", [b"x"])
    with pytest.raises(ObjectLocked, match="compliance mode, until") as failure:
        storage.delete("kept")
    assert failure.value.permanent
    storage.check()
    assert keys(storage) == ["kept"]


def test_a_large_object_is_put_under_the_same_lock(moto: S3Server, vault: str) -> None:
    """moto forgets the lock of a multipart upload, so what is proven is that the lock was asked for."""
    storage = bucket_at(moto.url("p", bucket=vault, lock_days=7, part_size=PART))
    asked: list[dict[str, Any]] = []
    events = storage._bucket.client.meta.events
    events.register("before-parameter-build.s3.CreateMultipartUpload", lambda params, **_: asked.append(dict(params)))
    storage.put("large", body(2))
    assert asked[-1]["ObjectLockMode"] == "GOVERNANCE"
    assert asked[-1]["ObjectLockRetainUntilDate"] > datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=6)


def test_deleting_in_a_versioned_bucket_hides_and_the_bytes_stay_as_a_version(moto: S3Server, vault: str) -> None:
    storage = bucket_at(moto.url("p", bucket=vault))
    storage.put("a", [b"first"])
    storage.delete("a")
    assert keys(storage) == []
    with pytest.raises(ObjectNotFound):
        content(storage, "a")
    storage.put("a", [b"second"])
    assert content(storage, "a") == b"second"
    versions = moto.client().list_object_versions(Bucket=vault)
    assert (len(versions["Versions"]), len(versions["DeleteMarkers"])) == (2, 1)


def test_class_and_encryption_are_asked_for(moto: S3Server, vault: str) -> None:
    bucket_at(moto.url("p", bucket=vault, storage_class="STANDARD_IA", sse="AES256")).put("a", [b"x"])
    head = moto.client().head_object(Bucket=vault, Key="p/a")
    assert (head["StorageClass"], head["ServerSideEncryption"]) == ("STANDARD_IA", "AES256")


# --- TLS ---


def test_a_server_of_our_own_authority_is_trusted_only_when_it_is_named(
    tmp_path: Path, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / BUCKET).mkdir()
    with rclone_serving(tmp_path, "--cert", str(certificates.certificate), "--key", str(certificates.key)) as plain:
        server = S3Server(plain.port, plain.key, plain.secret, "https")
        with pytest.raises(ConnectionError, match="not trusted") as failure:
            list(fresh(server).list())
        assert failure.value.permanent
        assert "ca_bundle" in failure.value.hint
        storage = fresh(server, ca_bundle=certificates.authority)
        storage.put("large", body(2))
        assert content(storage, "large") == b"".join(body(2))


# --- where it is ---


def test_a_url_gives_bucket_prefix_credentials_and_options() -> None:
    config = S3Config.from_url(
        "s3://KEY:a%2Fb%3Fc@bucket/some/prefix/?endpoint=https://s3.example:9000&path_style=true"
    )
    assert (config.bucket, config.prefix, config.endpoint) == ("bucket", "some/prefix", "https://s3.example:9000")
    assert config.secret_access_key is not None
    assert config.secret_access_key.get_secret_value() == "a/b?c"
    assert config.path_style
    assert S3(config).describe() == "s3://bucket/some/prefix at https://s3.example:9000"
    assert S3(config).identity() == "s3:https://s3.example:9000/bucket/some/prefix"
    assert S3(config).free_space() is None


@pytest.mark.parametrize(
    "url",
    [
        "s3://", "s3:///prefix", "https://bucket/p", "s3://b/p", "s3://bucket/a/../b", "s3://bucket/p?nonsense=1",
        "s3://KEY@bucket/p", "s3://bucket/p?endpoint=host:9000", "s3://bucket/p?part_size=1", "s3://bucket/p#x",
        "s3://KEY:a-secret-of-mine@bucket/p?credentials=other", "s3://KEY:a-secret-of-mine@bu cket/p",
    ],
)  # fmt: skip
def test_a_url_that_names_no_bucket_is_refused_without_its_secret(url: str) -> None:
    with pytest.raises(ConfigurationError) as failure:
        S3Config.from_url(url)
    assert failure.value.hint
    assert "a-secret-of-mine" not in f"{failure.value!r} {failure.value.hint}"


def test_without_credentials_the_environment_is_asked(swift: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"s3://{BUCKET}/{secrets.token_hex(4)}?endpoint=http://127.0.0.1:{swift.port}&path_style=true"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", swift.key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", swift.secret)
    bucket_at(url).check()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    with pytest.raises(ConfigurationError, match="no credentials"):
        bucket_at(url).check()
