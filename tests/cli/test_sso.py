"""``dbackup sso``: a provider is added, tried and removed, and its secret is seen nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Dbackup
from tests.home import files_of
from tests.servers.identity import CLIENT, SECRET, Provider

ADD = ("sso", "add", "corp")


@pytest.fixture
def corp(dbackup: Dbackup, provider: Provider) -> Iterator[Dbackup]:
    """The command, in a home that knows the certified provider."""
    added = dbackup.succeeds(*ADD, provider.issuer, "--client-id", CLIENT, "--secret-stdin", typed=f"{SECRET}\n")
    assert added["register"] == ["/sso/corp/callback", "/login"]
    yield dbackup
    dbackup("sso", "remove", "corp")


def test_a_provider_is_added_tried_and_removed(corp: Dbackup, provider: Provider, home: Path) -> None:
    (listed,) = corp.succeeds("sso", "list")["providers"]
    assert (listed["name"], listed["kind"], listed["problem"]) == ("corp", "OpenID Connect", "")
    tried = corp.succeeds("sso", "test", "corp")
    assert (tried["issuer"], tried["client_accepted"], tried["logs_out"]) == (provider.issuer, True, True)
    assert "knows our client id and secret" in corp("sso", "test", "corp").out
    taken = corp(*ADD, provider.issuer, "--client-id", CLIENT, "--no-secret")
    assert taken.code != 0
    assert "already" in taken.err
    assert [name for name, content in files_of(home).items() if SECRET.encode() in content] == []
    corp.succeeds("sso", "remove", "corp")
    assert corp.succeeds("sso", "list") == {"providers": []}


@pytest.mark.parametrize(
    ("url", "options", "said"),
    [
        ("http://id.example.org", (), "https://"),
        ("id.example.org", (), "neither a saved name nor a URL"),
        ("https://id.example.org", ("--map", "dba"), "dba=operators"),
        ("https://id.example.org", ("--default-group", "nowhere"), "nowhere"),
        ("https://id.example.org", ("--map", "dba=Administrators"), "administrators"),
        ("authentik+https://auth.example.org", (), "application"),
    ],
)
def test_what_cannot_work_is_not_saved(dbackup: Dbackup, url: str, options: tuple[str, ...], said: str) -> None:
    answer = dbackup(*ADD, url, "--client-id", CLIENT, "--no-secret", *options)
    assert answer.code != 0
    assert said in answer.err
    assert dbackup.succeeds("sso", "list") == {"providers": []}


def test_a_secret_is_asked_for_and_never_an_argument(dbackup: Dbackup) -> None:
    answer = dbackup(*ADD, "https://id.example.org", "--client-id", CLIENT)
    assert answer.code != 0
    assert "--secret-stdin" in answer.err
    assert "--client-secret" not in dbackup("sso", "add", "--help").out
