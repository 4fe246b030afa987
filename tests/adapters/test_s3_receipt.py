"""A bucket's server may have checked what it received: that counts as a proof only where it was seen to check."""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from adapters.storage.s3 import S3, S3Config, receipt
from adapters.storage.s3.bucket import Bucket
from adapters.storage.s3.parts import Body
from adapters.storage.s3.receipt import WRONG
from core.errors import ChecksumMismatch, ConnectionError, StorageError
from core.jobs import Address, JobSpec
from flows.backup import backup
from services.backups import prove
from tests.adapters.storage_contract import content, keys
from tests.adapters.stored_files import manifest_file
from tests.servers.proxy import Proxy, proxied
from tests.servers.s3 import BUCKET, S3Server

MIB = 1 << 20
PART = 5 * MIB
LARGE = b"".join(bytes([number]) * MIB for number in range(5)) + b"and a second part"
CHECKED = "checked by the server on receipt"


def bucket_on(server: S3Server, **options: Any) -> S3:
    return S3(S3Config.from_url(server.url(secrets.token_hex(8), **{"part_size": PART, **options})))


def requests(storage: S3, operation: str) -> list[dict[str, Any]]:
    """The requests of one kind that a storage sends from now on."""
    sent: list[dict[str, Any]] = []
    storage._bucket.client.meta.events.register(
        f"before-parameter-build.s3.{operation}", lambda params, **_: sent.append(dict(params))
    )
    return sent


def answering(storage: S3, operation: str, **answer: Any) -> None:
    """Let the server's answers to one kind of request say this, too."""
    storage._bucket.client.meta.events.register(f"after-call.s3.{operation}", lambda parsed, **_: parsed.update(answer))


@pytest.fixture
def network(swift: S3Server) -> Iterator[Proxy]:
    with proxied(swift.port) as proxy:
        yield proxy


def test_what_a_server_has_checked_is_not_read_back(swift: S3Server) -> None:
    storage = bucket_on(swift)
    read = requests(storage, "GetObject")
    storage.put("large", [LARGE])
    assert prove(storage, "large", manifest_file(LARGE)) == CHECKED
    assert read == []
    assert content(storage, "large") == LARGE


@pytest.mark.parametrize("server", ["swift", "rclone"])
def test_a_server_is_tried_once(server: str, request: pytest.FixtureRequest) -> None:
    storage = bucket_on(request.getfixturevalue(server))
    sent = requests(storage, "UploadPart")
    for key in ("one", "two"):
        storage.put(key, [LARGE])
    assert [part["PartNumber"] for part in sent if part["Body"] == WRONG] == [1]
    assert len(sent) == 1 + 2 * 2


@pytest.mark.parametrize("name", ["rclone", "moto"])
def test_a_server_that_takes_what_is_wrong_has_its_objects_read_back(name: str, request: pytest.FixtureRequest) -> None:
    server: S3Server = request.getfixturevalue(name)
    if name == "moto":
        server.client().create_bucket(Bucket=BUCKET)
    storage = bucket_on(server)
    storage.put("large", [LARGE])
    read = requests(storage, "GetObject")
    assert prove(storage, "large", manifest_file(LARGE)) == "read back"
    assert read
    assert content(storage, "large") == LARGE, "the wrong part is no part of it"
    assert server.unfinished() == []


@pytest.mark.parametrize(
    ("options", "body"),
    [
        ({}, b"in one request"),
        ({"read_back": "true"}, LARGE),
        ({"request_checksum_calculation": "when_required"}, LARGE),
    ],
    ids=["small", "wanted", "sent with MD5"],
)
def test_it_is_read_back_and_nothing_is_tried(swift: S3Server, options: dict[str, str], body: bytes) -> None:
    storage = bucket_on(swift, **options)
    sent = requests(storage, "UploadPart")
    storage.put("a", [body])
    assert prove(storage, "a", manifest_file(body)) == "read back"
    assert WRONG not in [part["Body"] for part in sent]


@pytest.mark.parametrize(
    ("code", "status"), [("InvalidRequest", 400), ("AccessDenied", 403), ("NotImplemented", 501), ("SlowDown", 503)]
)
def test_whatever_else_the_trial_is_answered_with_the_upload_goes_on(swift: S3Server, code: str, status: int) -> None:
    storage = bucket_on(swift)
    tried: list[str] = []

    def refuse(params: dict[str, Any], **_: Any) -> None:
        if params["Body"] == WRONG:
            tried.append(code)
            answer: Any = {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}}
            raise ClientError(answer, "UploadPart")

    storage._bucket.client.meta.events.register("before-parameter-build.s3.UploadPart", refuse)
    for key in ("one", "two"):
        storage.put(key, [LARGE])
        assert prove(storage, key, manifest_file(LARGE)) == "read back"
    assert len(tried) == (2 if code == "SlowDown" else 1), "what may pass is tried again"
    assert swift.unfinished() == []


def test_a_trial_whose_connection_breaks_does_not_end_the_upload(swift: S3Server, network: Proxy) -> None:
    storage = bucket_on(swift, port=network.port)

    def cut(params: dict[str, Any], **_: Any) -> None:
        if params["Body"] == WRONG:
            network.cut(sent=1, times=3)

    storage._bucket.client.meta.events.register("before-parameter-build.s3.UploadPart", cut)
    storage.put("large", [LARGE])
    assert prove(storage, "large", manifest_file(LARGE)) == "read back"


def test_what_is_changed_on_the_way_is_refused(swift: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    storage, read = bucket_on(swift), Body.read

    def changed(body: Body, size: int = -1) -> memoryview:
        """One byte is another one, in what is signed as in what is sent: the checksum alone can tell."""
        start = body.tell()
        piece = read(body, size)
        if start or not len(piece):
            return piece
        return memoryview(bytes([piece[0] ^ 1]) + bytes(piece[1:]))

    monkeypatch.setattr(Body, "read", changed)
    with pytest.raises(StorageError, match="is not what was sent"):
        storage.put("large", [LARGE])
    assert (keys(storage), swift.unfinished()) == ([], [])


def test_other_bytes_than_those_of_the_manifest_are_found(swift: S3Server) -> None:
    storage = bucket_on(swift)
    storage.put("large", [LARGE])
    with pytest.raises(ChecksumMismatch, match="were written"):
        prove(storage, "large", manifest_file(LARGE[::-1]))


@pytest.mark.parametrize("by", ["another upload", "somebody else"])
def test_an_object_that_was_replaced_since_is_read_back(swift: S3Server, by: str) -> None:
    storage = bucket_on(swift)
    storage.put("large", [LARGE])
    full = storage._full("large")
    if by == "another upload":
        storage.delete("large")
        bucket = S3(S3Config.from_url(swift.url(full.partition("/")[0], part_size=PART)))
        bucket.put("large", [LARGE[::-1]])
    else:
        swift.client().put_object(Bucket=BUCKET, Key=full, Body=LARGE[::-1])
    with pytest.raises(ChecksumMismatch, match="were written"):
        prove(storage, "large", manifest_file(LARGE))


def test_a_checksum_of_the_whole_that_is_another_one_has_it_read_back(swift: S3Server) -> None:
    storage = bucket_on(swift)
    answering(storage, "CompleteMultipartUpload", ChecksumSHA256="AAAA-2")
    storage.put("large", [LARGE])
    assert prove(storage, "large", manifest_file(LARGE)) == "read back"


def test_a_proof_that_is_tried_again_reads_nothing_back(swift: S3Server, network: Proxy) -> None:
    storage = bucket_on(swift, port=network.port)
    for key in ("one", "two"):
        storage.put(key, [LARGE])
    assert prove(storage, "one", manifest_file(LARGE)) == CHECKED
    network.cut(sent=1, times=3)
    with pytest.raises(ConnectionError):
        prove(storage, "two", manifest_file(LARGE))
    assert [prove(storage, key, manifest_file(LARGE)) for key in ("one", "two")] == [CHECKED] * 2


@pytest.mark.parametrize("when", ["before it is hashed", "after it was hashed for its part"])
def test_a_byte_that_changes_in_memory_is_found(swift: S3Server, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    storage, checksum = bucket_on(swift), Bucket.checksum

    def hashed(bucket: Bucket, content: memoryview) -> dict[str, Any]:
        if when == "before it is hashed":
            content[0] ^= 1
        found = checksum(bucket, content)
        if when != "before it is hashed":
            content[0] ^= 1
        return found

    monkeypatch.setattr(Bucket, "checksum", hashed)
    if when == "before it is hashed":
        storage.put("large", [LARGE])
        with pytest.raises(ChecksumMismatch, match="were written"):
            prove(storage, "large", manifest_file(LARGE))
    else:
        with pytest.raises(StorageError, match="is not what was sent"):
            storage.put("large", [LARGE])


def test_the_checksum_of_an_object_in_parts_is_that_of_their_checksums() -> None:
    """As AWS documents it; said by ``for part in one two three; do printf %s $part | sha256sum | cut -c-64 | xxd -r -p;
    done | sha256sum | cut -c-64 | xxd -r -p | base64``.
    """
    whole = "25tGxRGX/I3g0WacNzSgkaBxIc3DnKb/OW7Srvx1+Vg=-3"
    parts = [b64encode(hashlib.sha256(part).digest()).decode() for part in (b"one", b"two", b"three")]
    assert receipt.composite([{"ChecksumSHA256": part} for part in parts]) == whole


def test_an_answer_that_was_lost_is_no_lost_proof(swift: S3Server, network: Proxy) -> None:
    storage = bucket_on(swift, port=network.port)

    def cut(**_: Any) -> None:
        network.cut(received=1, times=1)

    storage._bucket.client.meta.events.register("before-send.s3.CompleteMultipartUpload", cut)
    storage.put("large", [LARGE])
    assert prove(storage, "large", manifest_file(LARGE)) == CHECKED
    assert content(storage, "large") == LARGE


def test_a_backup_says_how_it_was_proven(swift: S3Server, tmp_path: Path, home: Path) -> None:
    source = tmp_path / "large.db"
    with closing(sqlite3.connect(source)) as connection, connection:
        connection.execute("CREATE TABLE noise (bytes BLOB)")
        connection.execute("INSERT INTO noise VALUES (?)", (secrets.token_bytes(len(LARGE)),))
    url = swift.url(secrets.token_hex(8), part_size=PART)
    spec = JobSpec(source=Address(f"sqlite://{source}"), destinations=(Address(url),), name="receipt")
    report = backup(spec)
    assert [copy.checked for copy in report.copies] == [CHECKED]
