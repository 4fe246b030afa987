"""Reaching an SFTP server: its address, its host key, and every way to log in, right and wrong."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from adapters.storage.sftp import SFTPConfig
from core.errors import ConfigurationError, ConnectionError, DBackupError
from tests.servers.openssh import SFTP_INSIDE, Account, Server, agent_environment, make_key, running
from tests.servers.processes import free_port

PASSPHRASE = "open-Sesame"
DIGEST = f"SHA256:+{'A' * 41}8"  # of nobody's key


@pytest.fixture
def root(ssh_account: Account) -> Path:
    return ssh_account.new_folder()


# --- the address ---


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sftp://host/srv/backups", "/srv/backups"),
        ("sftp://host/srv/backups/", "/srv/backups"),
        ("sftp://host/~/backups/db", "backups/db"),
        ("sftp://host/./backups", "backups"),
        ("sftp://host/~", "."),
        ("sftp://host/a%20b%3F", "/a b?"),
    ],
)
def test_a_url_names_the_folder(url: str, path: str) -> None:
    assert SFTPConfig.from_url(url).path == path


def test_a_url_says_all_there_is_to_say() -> None:
    options = f"fingerprint={quote(DIGEST)}&private_key_file=/k&agent=true&timeout=5"
    config = SFTPConfig.from_url(f"sftp://me:p%40ss@host:2222/srv?{options}")
    assert (config.host, config.port, config.login, config.path) == ("host", 2222, "me", "/srv")
    assert config.password is not None
    assert config.password.get_secret_value() == "p@ss"
    assert (config.fingerprint, config.agent, config.timeout) == (DIGEST, True, 5)
    assert SFTPConfig.from_url(f"sftp://host/srv?fingerprint={DIGEST}").fingerprint == DIGEST
    assert config.shown == "sftp://host:2222/srv"
    assert "p@ss" not in repr(config)


@pytest.mark.parametrize(
    "url",
    [
        "sftp://host",
        "sftp://host/",
        "sftp:///path",
        "s3://host/path",
        "sftp://host/path#x",
        "sftp://host:port/path",
        "sftp://u:secret-word@host/path?unknown=1",
        "sftp://u:secret-word@host/path?fingerprint=SHA256:short",
        "sftp://u:secret-word@host/path?timeout=soon",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        SFTPConfig.from_url(url)
    assert refusal.value.hint
    assert "secret-word" not in f"{refusal.value.message} {refusal.value.hint}"


# --- the host key ---


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_a_key_in_known_hosts_is_taken_whichever_type_it_is(
    openssh: Server, root: Path, tmp_path: Path, kind: str
) -> None:
    known = openssh.known_hosts(tmp_path / "known_hosts", kind)
    openssh.storage(root, fingerprint="", known_hosts=known).check()


def test_a_hashed_known_hosts_file_is_read(openssh: Server, root: Path, tmp_path: Path) -> None:
    known = openssh.known_hosts(tmp_path / "known_hosts")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(known)], check=True, capture_output=True)
    assert "127.0.0.1" not in known.read_text()
    openssh.storage(root, fingerprint="", known_hosts=known).check()


def test_an_unknown_host_key_is_refused_and_shown(openssh: Server, root: Path, tmp_path: Path) -> None:
    (tmp_path / "known_hosts").touch()
    with pytest.raises(ConnectionError, match="is not known") as failure:
        openssh.storage(root, fingerprint="", known_hosts=tmp_path / "known_hosts").check()
    assert failure.value.permanent
    assert openssh.fingerprint() in failure.value.message
    assert f"fingerprint={openssh.fingerprint()}" in failure.value.hint
    assert "ssh-keyscan" in failure.value.hint
    assert (tmp_path / "known_hosts").read_text() == ""


@pytest.mark.parametrize("by", ["fingerprint", "known_hosts"])
def test_a_changed_host_key_is_refused_before_anybody_logs_in(
    openssh: Server, root: Path, tmp_path: Path, by: str
) -> None:
    make_key(tmp_path / "other", "ed25519")
    public = (tmp_path / "other.pub").read_text().split()
    (tmp_path / "known_hosts").write_text(f"[127.0.0.1]:{openssh.port} {public[0]} {public[1]}\n")
    facts = (
        {"fingerprint": DIGEST} if by == "fingerprint" else {"fingerprint": "", "known_hosts": tmp_path / "known_hosts"}
    )
    logins = openssh.log.read_text().count("Accepted")
    with pytest.raises(ConnectionError, match="is not the one that is known") as failure:
        openssh.storage(root, **facts).check()
    assert failure.value.permanent
    assert openssh.fingerprint() in failure.value.message
    assert "administrator" in failure.value.hint
    assert openssh.log.read_text().count("Accepted") == logins


@pytest.mark.parametrize("by", ["fingerprint", "known_hosts"])
def test_a_server_that_comes_back_with_another_key_gets_nothing_more(
    ssh_account: Account, root: Path, tmp_path: Path, by: str
) -> None:
    with running(ssh_account, SFTP_INSIDE) as server:
        known = server.known_hosts(tmp_path / "known_hosts")
        facts = {"fingerprint": server.fingerprint()} if by == "fingerprint" else {"known_hosts": known}
        server.storage(root, **{"fingerprint": "", **facts}).put("first", [b"x"])
    with running(ssh_account, SFTP_INSIDE, port=server.port) as another:
        with pytest.raises(ConnectionError, match="is not the one that is known") as failure:
            another.storage(root, **{"fingerprint": "", **facts}).put("second", [b"x"])
        assert failure.value.permanent
        assert another.fingerprint() in failure.value.message
        assert "Accepted" not in another.log.read_text()
    assert [path.name for path in root.iterdir() if not path.name.startswith(".")] == ["first"]


def test_a_known_hosts_file_that_is_missing_is_said_to_be(openssh: Server, root: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not exist"):
        openssh.storage(root, fingerprint="", known_hosts=tmp_path / "nowhere").check()


# --- logging in ---


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
def test_a_private_key_logs_in(openssh: Server, root: Path, kind: str) -> None:
    key = openssh.account.key(kind)
    openssh.storage(root, password="", private_key_file=key).check()
    openssh.storage(root, password="", private_key=key.read_text()).check()


def test_a_key_in_pem_logs_in(openssh: Server, root: Path, tmp_path: Path) -> None:
    key = tmp_path / "pem"
    key.write_bytes(openssh.account.key("rsa").read_bytes())
    key.chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-p", "-m", "PEM", "-N", "", "-f", str(key)], check=True, capture_output=True)
    assert "BEGIN RSA PRIVATE KEY" in key.read_text()
    openssh.storage(root, password="", private_key_file=key).check()


def test_a_key_with_a_passphrase_needs_the_right_one(openssh: Server, root: Path) -> None:
    key = openssh.account.key(passphrase=PASSPHRASE)
    openssh.storage(root, password="", private_key_file=key, passphrase=PASSPHRASE).check()
    with pytest.raises(ConfigurationError, match="has a passphrase") as missing:
        openssh.storage(root, password="", private_key_file=key).check()
    assert "passphrase" in missing.value.hint
    with pytest.raises(ConfigurationError, match="passphrase does not open") as wrong:
        openssh.storage(root, password="", private_key_file=key, passphrase="wrong-one").check()
    assert "wrong-one" not in str(wrong.value)


def test_a_passphrase_for_a_key_without_one_does_no_harm(openssh: Server, root: Path) -> None:
    openssh.storage(root, password="", private_key_file=openssh.account.key(), passphrase=PASSPHRASE).check()


@pytest.mark.parametrize(("text", "says"), [("no key at all", "no private key"), (None, "cannot be read")])
def test_a_file_that_is_no_key_is_said_to_be_none(
    openssh: Server, root: Path, tmp_path: Path, text: str | None, says: str
) -> None:
    if text:
        (tmp_path / "key").write_text(text)
    with pytest.raises(ConfigurationError, match=says):
        openssh.storage(root, password="", private_key_file=tmp_path / "key").check()


@pytest.fixture
def agent(openssh: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A running ssh-agent that holds a key which may log in."""
    told = subprocess.run(["ssh-agent", "-s"], check=True, capture_output=True, text=True).stdout
    variables = agent_environment(told.splitlines())
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    try:
        subprocess.run(["ssh-add", "-q", str(openssh.account.key())], check=True)
        yield
    finally:
        subprocess.run(["ssh-agent", "-k"], check=True, capture_output=True)


@pytest.mark.usefixtures("agent")
def test_a_key_of_the_agent_logs_in_when_it_is_asked_for(openssh: Server, root: Path) -> None:
    openssh.storage(root, password="", agent=True).check()
    with pytest.raises(ConnectionError, match="refused"):
        openssh.storage(root, password="").check()


def test_a_password_that_is_asked_for_is_given(ssh_account: Account, root: Path) -> None:
    interactive = ("UsePAM yes", "PasswordAuthentication no", "KbdInteractiveAuthentication yes")
    with running(ssh_account, SFTP_INSIDE, *interactive) as server:
        server.storage(root).check()
        with pytest.raises(ConnectionError, match="refused the password"):
            server.storage(root, password="wrong-password").check()


def test_a_server_that_wants_key_and_password_gets_both(ssh_account: Account, root: Path) -> None:
    with running(ssh_account, SFTP_INSIDE, "AuthenticationMethods publickey,password") as server:
        server.storage(root, private_key_file=ssh_account.key()).check()
        with pytest.raises(ConnectionError, match="refused") as failure:
            server.storage(root, private_key_file=ssh_account.key(), password="").check()
        assert "password" in failure.value.message


def test_a_wrong_password_is_refused_and_never_repeated(openssh: Server, root: Path) -> None:
    with pytest.raises(ConnectionError, match="refused the password") as failure:
        openssh.storage(root, password="wrong-password").check()
    assert failure.value.permanent
    assert openssh.account.name in failure.value.message
    assert "wrong-password" not in f"{failure.value.message} {failure.value.hint}"
    assert failure.value.__cause__ is None


def test_a_key_that_may_not_log_in_is_refused(openssh: Server, root: Path, tmp_path: Path) -> None:
    make_key(tmp_path / "stranger", "ed25519")
    with pytest.raises(ConnectionError, match="refused the private key") as failure:
        openssh.storage(root, password="", private_key_file=tmp_path / "stranger").check()
    assert failure.value.permanent


def test_after_a_key_that_is_refused_the_password_is_tried(openssh: Server, root: Path, tmp_path: Path) -> None:
    make_key(tmp_path / "stranger", "ed25519")
    openssh.storage(root, private_key_file=tmp_path / "stranger").check()


# --- no server ---


def test_a_port_that_nobody_listens_on_is_worth_another_try(openssh: Server, root: Path) -> None:
    with pytest.raises(ConnectionError, match="nobody listens") as failure:
        openssh.storage(root, port=free_port()).check()
    assert not failure.value.permanent
    assert failure.value.hint


def test_a_host_that_does_not_exist_is_said_to_be_unknown(openssh: Server, root: Path) -> None:
    with pytest.raises(ConnectionError, match=r"no-such-host\.invalid is not known"):
        openssh.storage(root, host="no-such-host.invalid").check()


def test_every_failure_to_connect_is_one_of_ours(ssh_account: Account, root: Path) -> None:
    """A server that hangs up on everybody."""
    with running(ssh_account, SFTP_INSIDE, "DenyUsers *") as server, pytest.raises(DBackupError, match="refused"):
        server.storage(root).check()
