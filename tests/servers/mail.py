"""A mail server of Debian's (Exim): STARTTLS on one port, TLS on another, and one port that offers neither.

It lets nobody send without a login, and delivers each mail into a file. Some addresses it refuses.
"""

from __future__ import annotations

import email
import email.policy
import os
import pwd
import shutil
import smtplib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import cast

import pytest

from tests.servers import install
from tests.servers.certificates import Certificates
from tests.servers.processes import free_port, started
from tests.waiting import until

USER, PASSWORD = "backup", "Pa55-for/mail=100%"
PROGRAM = "/usr/sbin/exim4"
CONFIG = """\
primary_hostname = mail.test
spool_directory = {folder}/spool
log_file_path = {folder}/log/%slog
pid_file_path = {folder}/pid
exim_user = {user}
exim_group = {group}
local_interfaces = 127.0.0.1
daemon_smtp_ports = {starttls} : {tls} : {plain}
tls_on_connect_ports = {tls}
tls_advertise_hosts = ${{if eq{{$received_port}}{{{plain}}}{{}}{{*}}}}
tls_certificate = {certificate}
tls_privatekey = {key}
auth_advertise_hosts = ${{if def:tls_in_cipher{{*}}{{}}}}
acl_smtp_mail = check_mail
acl_smtp_rcpt = check_rcpt
host_lookup =
rfc1413_query_timeout = 0s
keep_environment =
message_size_limit = 1M

begin acl
check_mail:
  deny senders = refused@example.org
       message = this sender may not send here
  accept
check_rcpt:
  deny local_parts = refused
       message = no such mailbox
  defer local_parts = busy
       message = greylisted, try again later
  accept authenticated = *
  deny message = relay not permitted

begin routers
all:
  driver = accept
  transport = file

begin transports
file:
  driver = appendfile
  directory = {folder}/mail
  maildir_format
  create_directory
  envelope_to_add
  user = {user}
  group = {group}

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_condition = ${{if and{{{{eq{{$auth2}}{{{login}}}}}{{eq{{$auth3}}{{{password}}}}}}}}}
  server_set_id = $auth2
"""


@dataclass(frozen=True)
class MailServer:
    """A running server, and what it has delivered. ``plain`` offers no TLS."""

    folder: Path
    starttls: int
    tls: int
    plain: int
    authority: Path

    @property
    def mails(self) -> list[EmailMessage]:
        """What has been delivered so far, in no order."""
        return [
            cast(EmailMessage, email.message_from_bytes(path.read_bytes(), policy=email.policy.default))
            for path in (self.folder / "mail" / "new").glob("*")
        ]

    def delivered(self, count: int) -> list[EmailMessage]:
        """The mails, once there are so many."""
        until(lambda: len(self.mails) >= count, f"{count} mails to be delivered")
        return self.mails

    def empty(self) -> None:
        """Throw away what was delivered."""
        for path in (self.folder / "mail" / "new").glob("*"):
            path.unlink()


@pytest.fixture(scope="session")
def _exim(certificates: Certificates) -> Iterator[MailServer]:
    if not Path(PROGRAM).exists():
        pytest.fail(f"Exim is not installed; {install.INSTALL}")
    account = pwd.getpwnam("Debian-exim") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    folder = Path(tempfile.mkdtemp(prefix="dbackup-mail-"))
    server = MailServer(folder, free_port(), free_port(), free_port(), certificates.authority)
    try:
        argv = [PROGRAM, "-C", str(_configured(server, certificates, account)), "-bdf"]
        with started(argv, lambda: _answers(server), folder / "output"):
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _configured(server: MailServer, certificates: Certificates, account: pwd.struct_passwd) -> Path:
    """The configuration, and folders that belong to the server's own user."""
    folder = server.folder
    folder.chmod(0o755)
    for name in ("spool", "log", "mail"):
        (folder / name).mkdir()
        os.chown(folder / name, account.pw_uid, account.pw_gid)
    for file in (certificates.certificate, certificates.key):
        shutil.copy(file, folder / file.name)
        os.chown(folder / file.name, account.pw_uid, account.pw_gid)
    written = CONFIG.format(
        folder=folder,
        user=account.pw_name,
        group=account.pw_gid,
        starttls=server.starttls,
        tls=server.tls,
        plain=server.plain,
        certificate=folder / certificates.certificate.name,
        key=folder / certificates.key.name,
        login=USER,
        password=PASSWORD,
    )
    (folder / "exim.conf").write_text(written)
    return folder / "exim.conf"


def _answers(server: MailServer) -> bool:
    try:
        for port in (server.starttls, server.plain):
            smtplib.SMTP("127.0.0.1", port, timeout=10).quit()
    except (OSError, smtplib.SMTPException):
        return False
    return True


@pytest.fixture
def mail_server(_exim: MailServer) -> MailServer:
    """The mail server, without a mail of an earlier test."""
    _exim.empty()
    return _exim
