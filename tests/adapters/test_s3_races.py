"""Two writers of one key, on a server that does not decide between them: it ends in a way that everybody knows."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from adapters.storage.s3 import S3, S3Config
from adapters.storage.s3.upload import Upload
from core.errors import ChecksumMismatch, ObjectExists
from services.backups import prove
from tests.adapters.storage_contract import content, keys
from tests.adapters.stored_files import manifest_file
from tests.servers.s3 import S3Server

MIB = 1 << 20
PART = 5 * MIB
OURS, THEIRS = b"ours!" * (2 * PART // 5), b"their" * (2 * PART // 5)


@pytest.fixture
def storages(rclone: S3Server, monkeypatch: pytest.MonkeyPatch) -> tuple[S3, S3]:
    """Two programs with one bucket of a server that ignores If-None-Match, and whose looks come too early to help."""
    monkeypatch.setattr(Upload, "_require_free", lambda _: None)
    url = rclone.url(secrets.token_hex(8), part_size=PART)
    return S3(S3Config.from_url(url)), S3(S3Config.from_url(url))


@pytest.fixture(params=["one request", "in parts"])
def bodies(request: pytest.FixtureRequest) -> tuple[bytes, bytes]:
    return (OURS, THEIRS) if request.param == "in parts" else (OURS[:MIB], THEIRS[:MIB])


def test_whoever_comes_last_has_the_key_and_the_other_is_not_called_good(
    storages: tuple[S3, S3], bodies: tuple[bytes, bytes]
) -> None:
    first, last = storages

    def overtaken() -> Iterator[bytes]:
        yield bodies[1]
        first.put("race", [bodies[0]])

    last.put("race", overtaken())
    assert content(first, "race") == bodies[1], "it is one of them, whole"
    assert prove(last, "race", manifest_file(bodies[1])) == "read back"
    with pytest.raises(ChecksumMismatch, match="were written"):
        prove(first, "race", manifest_file(bodies[0]))
    assert keys(first) == ["race"]


def test_an_upload_that_is_overwritten_before_its_last_look_says_so_and_leaves_the_other_alone(
    moto: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token of an upload shows whose the object is, on servers that keep it, which rclone's does not."""
    monkeypatch.setattr(Upload, "_require_free", lambda _: None)
    bucket = f"race-{secrets.token_hex(4)}"
    moto.client().create_bucket(Bucket=bucket)
    url = moto.url("p", bucket=bucket, part_size=PART, conditional_writes="false")
    overtaken, other = (S3(S3Config.from_url(url)) for _ in range(2))

    def overwrite(**_: Any) -> None:
        other.put("race", [THEIRS])

    overtaken._bucket.client.meta.events.register("after-call.s3.CompleteMultipartUpload", overwrite)
    with pytest.raises(ObjectExists, match="already stored"):
        overtaken.put("race", [OURS])
    assert content(other, "race") == THEIRS
