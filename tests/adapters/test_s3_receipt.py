"""A bucket's server may have checked what it received: that counts as a proof only where it was seen to check."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from adapters.storage.s3 import S3, S3Config
from adapters.storage.s3.parts import Body
from core.errors import ChecksumMismatch, ConnectionError, StorageError
from services.backups import prove
from tests.adapters.storage_contract import content, keys
from tests.adapters.stored_files import manifest_file
from tests.servers.proxy import Proxy, proxied
from tests.servers.s3 import BUCKET, S3Server

MIB = 1 << 20
PART = 5 * MIB
LARGE = b"".join(bytes([number]) * MIB for number in range(12))
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
    assert [part["PartNumber"] for part in sent if part["Body"] == b"what arrived"] == [1]
    assert len(sent) == 1 + 2 * 3


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
def test_it_is_read_back(swift: S3Server, options: dict[str, str], body: bytes) -> None:
    storage = bucket_on(swift, **options)
    storage.put("a", [body])
    assert prove(storage, "a", manifest_file(body)) == "read back"


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
    answering(storage, "CompleteMultipartUpload", ChecksumSHA256="AAAA-3")
    storage.put("large", [LARGE])
    assert prove(storage, "large", manifest_file(LARGE)) == "read back"


def test_it_is_told_once(swift: S3Server) -> None:
    """A proof is of a new object: what is checked later is read back."""
    storage = bucket_on(swift)
    storage.put("large", [LARGE])
    assert prove(storage, "large", manifest_file(LARGE)) == CHECKED
    assert prove(storage, "large", manifest_file(LARGE)) == "read back"


@pytest.fixture
def network(swift: S3Server) -> Iterator[Proxy]:
    with proxied(swift.port) as proxy:
        yield proxy


def test_an_upload_that_fails_has_proven_nothing(swift: S3Server, network: Proxy) -> None:
    storage = bucket_on(swift, port=network.port)

    def breaking() -> Iterator[bytes]:
        yield LARGE
        network.cut(sent=MIB, times=1_000)
        yield LARGE

    with pytest.raises(ConnectionError):
        storage.put("large", breaking())
    assert storage.arrived_sha256("large") is None
