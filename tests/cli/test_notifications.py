"""``dbackup notification`` and ``--notify``, as a user types them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.exits import USAGE
from tests.cli.conftest import Dbackup
from tests.servers.certificates import Certificates
from tests.servers.mail import PASSWORD, USER, MailServer
from tests.servers.webhooks import TOKEN, WEBHOOK, Answer, Webhooks


@pytest.fixture
def webhook(discord: Webhooks, certificates: Certificates) -> str:
    return f"https://localhost:{discord.port}/api/webhooks/{WEBHOOK}/{TOKEN}?ca_file={certificates.authority}"


@pytest.fixture
def chat(dbackup: Dbackup, webhook: str) -> Iterator[str]:
    dbackup.succeeds("notification", "add", "chat", webhook)
    yield "chat"
    dbackup.succeeds("notification", "remove", "chat")


def test_a_channel_is_added_listed_tried_and_removed_without_showing_its_url(
    dbackup: Dbackup, webhook: str, discord: Webhooks
) -> None:
    added = dbackup("notification", "add", "story", webhook)
    assert (added.code, "dbackup notification test story" in added.out) == (0, True)
    listed = dbackup("notification", "list")
    assert "Discord webhook …5678 at localhost" in listed.out
    tried = dbackup("notification", "test", "story")
    assert (tried.code, len(discord.taken)) == (0, 1)
    assert discord.taken[0]["embeds"][0]["title"] == "This notification channel of dbackup works"
    assert dbackup("notification", "remove", "story").code == 0
    gone = dbackup("notification", "test", "story")
    assert (gone.code, "dbackup notification add story" in gone.err) == (1, True)
    assert TOKEN not in f"{added}{listed}{tried}{gone}"


def test_a_mail_channel_takes_its_password_from_standard_input(dbackup: Dbackup, mail_server: MailServer) -> None:
    url = f"smtp://{USER}@localhost:{mail_server.starttls}/?from=a@b.org&to=c@d.org&ca_file={mail_server.authority}"
    dbackup.succeeds("notification", "add", "post", url, "--password-stdin", typed=f"{PASSWORD}\n")
    answer = dbackup("notification", "test", "post", "--json")
    dbackup.succeeds("notification", "remove", "post")
    assert answer.json == {"delivered": True, "channel": f"mail to c@d.org by localhost:{mail_server.starttls}"}
    assert len(mail_server.delivered(1)) == 1


def test_a_test_message_that_is_refused_is_a_failure(dbackup: Dbackup, chat: str, discord: Webhooks) -> None:
    discord.next.append(Answer(404, {"message": "Unknown Webhook"}))
    answer = dbackup("notification", "test", chat)
    assert answer.code == 1
    assert "Discord does not know this webhook (404: Unknown Webhook)" in answer.err
    assert TOKEN not in answer.err


def test_the_doctor_opens_a_channel_and_writes_to_nobody(dbackup: Dbackup, chat: str, discord: Webhooks) -> None:
    findings = dbackup("doctor", "--json").json["findings"]
    assert [one["good"] for one in findings if one["subject"] == f"notification {chat}"] == [True]
    assert discord.requests == 0


def test_a_backup_tells_whom_it_is_asked_to(
    dbackup: Dbackup, chat: str, discord: Webhooks, shop: Path, tmp_path: Path
) -> None:
    answer = dbackup("backup", shop, "--to", tmp_path / "b", "--notify", f"{chat}:success")
    assert (answer.code, "✓ chat was told" in answer.out) == (0, True)
    assert len(discord.taken) == 1


def test_a_backup_that_could_tell_nobody_is_still_a_success_and_says_so(
    dbackup: Dbackup, shop: Path, tmp_path: Path
) -> None:
    answer = dbackup("backup", shop, "--to", tmp_path / "b", "--notify", "nobody:success")
    assert answer.code == 0
    assert "✗ nobody was not told: there is no notification named nobody" in answer.out


@pytest.mark.parametrize("wrong", ["chat:sometimes", "Chat", "https://discord.com/api/webhooks/1/secret-token"])
def test_a_rule_that_cannot_be_is_wrong_usage(dbackup: Dbackup, shop: Path, tmp_path: Path, wrong: str) -> None:
    answer = dbackup("backup", shop, "--to", tmp_path / "b", "--notify", wrong)
    assert (answer.code, "--notify" in answer.err) == (USAGE, True)
    assert "secret-token" not in answer.err


@pytest.mark.parametrize("wrong", ["./here", "ftp://host/x", "https://example.org/secret-token"])
def test_an_address_that_is_no_channel_is_refused_without_repeating_it(dbackup: Dbackup, wrong: str) -> None:
    answer = dbackup("notification", "add", "wrong", wrong)
    assert answer.code in (1, USAGE)
    assert "secret-token" not in answer.err


def test_a_job_keeps_its_rules_and_its_channel(dbackup: Dbackup, chat: str, shop: Path, tmp_path: Path) -> None:
    dbackup.succeeds("source", "add", "told-source", shop)
    dbackup.succeeds("storage", "add", "told-storage", tmp_path / "b")
    job = ("job", "create", "told", "--source", "told-source", "--to", "told-storage")
    try:
        unknown = dbackup(*job, "--notify", "nobody")
        assert (unknown.code, "no notification named nobody" in unknown.err) == (2, True)
        dbackup.succeeds(*job, "--notify", f"{chat}:success")
        refused = dbackup("notification", "remove", chat)
        assert (refused.code, "told" in refused.err) == (1, True)
        told = dbackup.succeeds("job", "run", "told")["notifications"]
        assert [(one["channel"], one["delivered"]) for one in told] == [(chat, True)]
    finally:
        dbackup("job", "delete", "told")
        dbackup.succeeds("source", "remove", "told-source")
        dbackup.succeeds("storage", "remove", "told-storage")
