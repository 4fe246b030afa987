"""No text leaves with a secret in it."""

from __future__ import annotations

import logging

import pytest

from core.log import logger
from core.masking import mask, remember


def test_a_remembered_secret_is_masked_everywhere() -> None:
    remember("correct horse battery")
    assert mask("it said: correct horse battery!") == "it said: ****!"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgresql://app:s3cr=t/!@db:5432/shop", "postgresql://app:****@db:5432/shop"),
        ("see mysql://u:p@h/x and s3://k:v@b", "see mysql://u:****@h/x and s3://k:****@b"),
        ("https://example.org:8080/path?a=b", "https://example.org:8080/path?a=b"),
        ("nothing here", "nothing here"),
    ],
)
def test_passwords_in_urls_are_masked(text: str, masked: str) -> None:
    assert mask(text) == masked


def test_log_lines_are_masked_and_carry_their_context(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember("hunter2hunter2")
    monkeypatch.setattr(logging.getLogger("dbackup"), "propagate", True)
    with caplog.at_level("INFO", "dbackup"):
        logger(service="test").info("connecting", url="postgresql://app:hunter2hunter2@db/shop", size=7)
    # A set: with Prefect loaded, the line reaches the capturing handler by its own logger as well.
    assert set(caplog.messages) == {"connecting  service=test url=postgresql://app:****@db/shop size=7"}
