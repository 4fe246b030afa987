"""Mail, through a real server with TLS and AUTH: delivered to all, or a sentence and an advice."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import pytest

from adapters.notification.email import Email, EmailConfig
from core.errors import AdapterError, ConfigurationError, ConnectionError, NotificationError
from tests.adapters.notification_contract import NotificationContract, Scene, message
from tests.servers.mail import PASSWORD, USER, MailServer
from tests.servers.processes import free_port

TO = ("ops@example.org",)


def url(
    server: MailServer,
    *,
    port: int | None = None,
    scheme: str = "smtp",
    login: str = f"{USER}:{quote(PASSWORD, safe='')}@",
    host: str = "localhost",
    sender: str = "backup@example.org",
    to: tuple[str, ...] = TO,
    options: str = "&timeout=5",
) -> str:
    recipients = "".join(f"&to={one}" for one in to)
    address = f"{scheme}://{login}{host}:{port or server.starttls}/"
    return f"{address}?from={sender}{recipients}&ca_file={server.authority}{options}"


def opened(address: str) -> Email:
    return Email(EmailConfig.from_url(address))


def text_of(server: MailServer, count: int) -> list[str]:
    """Subject and plain text of each mail."""
    found = []
    for mail in server.delivered(count):
        body = mail.get_body(("plain",))
        assert body is not None
        found.append(f"{mail['Subject']}\n{body.get_content()}")
    return found


@pytest.fixture
def scene(mail_server: MailServer) -> Scene:
    wrong = f"{USER}:Wr0ng-for-mail@"
    return Scene(
        opened(url(mail_server)),
        opened(url(mail_server, login=wrong)),
        opened(url(mail_server, port=free_port())),
        lambda count: text_of(mail_server, count),
        (PASSWORD, quote(PASSWORD, safe=""), "Wr0ng-for-mail"),
    )


class TestEmail(NotificationContract):
    """The whole contract."""


def failure(channel: Email) -> AdapterError:
    with pytest.raises(AdapterError) as refusal:
        channel.send(message())
    assert refusal.value.hint
    assert PASSWORD not in f"{refusal.value!r}{refusal.value.hint}"
    return refusal.value


def test_a_mail_is_plain_text_and_the_same_as_html(mail_server: MailServer) -> None:
    opened(url(mail_server)).send(message(job="<shop & sons>"))
    (mail,) = mail_server.delivered(1)
    assert mail.get_content_type() == "multipart/alternative"
    plain, html = (mail.get_body((kind,)) for kind in ("plain", "html"))
    assert plain is not None
    assert html is not None
    assert "Job: <shop & sons>" in plain.get_content()
    assert "&lt;shop &amp; sons&gt;" in html.get_content()
    assert "<shop" not in html.get_content()
    assert mail["Subject"] == "[dbackup] Backup of shop failed"
    assert mail["From"] == "dbackup <backup@example.org>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert all(mail[name] for name in ("Date", "Message-ID"))


def test_tls_from_the_start_works_like_starttls(mail_server: MailServer) -> None:
    opened(url(mail_server, scheme="smtps", port=mail_server.tls)).send(message())
    assert len(mail_server.delivered(1)) == 1


def test_every_recipient_gets_the_mail(mail_server: MailServer) -> None:
    opened(url(mail_server, to=("ops@example.org", "boss@example.org,night@example.org"))).send(message())
    mails = mail_server.delivered(3)
    assert {mail["To"] for mail in mails} == {"ops@example.org, boss@example.org, night@example.org"}
    assert sorted(mail["Envelope-to"] for mail in mails) == ["boss@example.org", "night@example.org", "ops@example.org"]


def test_no_name_becomes_a_header_or_a_recipient(mail_server: MailServer) -> None:
    opened(url(mail_server)).send(message(subject="Backup of x\r\nBcc: victim@example.org\r\nX-Evil: 1\n\nbody"))
    (mail,) = mail_server.delivered(1)
    assert (mail["Bcc"], mail["X-Evil"]) == (None, None)
    assert mail["Envelope-to"] == "ops@example.org"


def test_a_wrong_password_is_final(mail_server: MailServer) -> None:
    error = failure(opened(url(mail_server, login=f"{USER}:wrong@")))
    assert (type(error), error.permanent) == (NotificationError, True)
    assert "refused user and password (535" in error.message


def test_a_server_that_wants_a_login_refuses_who_has_none(mail_server: MailServer) -> None:
    error = failure(opened(url(mail_server, login="")))
    assert error.permanent
    assert "relay not permitted" in error.message


def test_a_refused_sender_is_named(mail_server: MailServer) -> None:
    error = failure(opened(url(mail_server, sender="refused@example.org")))
    assert error.permanent
    assert "refused the sender refused@example.org (550 this sender may not send here)" in error.message


def test_a_refused_recipient_is_named(mail_server: MailServer) -> None:
    error = failure(opened(url(mail_server, to=("refused@example.org",))))
    assert error.permanent
    assert "refused the recipient refused@example.org (550 no such mailbox)" in error.message


def test_a_recipient_that_is_refused_beside_others_is_no_success_and_not_tried_again(mail_server: MailServer) -> None:
    error = failure(opened(url(mail_server, to=("ops@example.org", "refused@example.org"))))
    assert error.permanent
    assert "1 of 2 recipients did not get the mail" in error.message
    (mail,) = mail_server.delivered(1)
    assert mail["Envelope-to"] == "ops@example.org"


def test_a_server_that_is_busy_is_worth_another_try(mail_server: MailServer) -> None:
    error = failure(opened(url(mail_server, to=("busy@example.org",))))
    assert not error.permanent
    assert "greylisted" in error.message


def test_without_tls_not_even_the_password_is_sent(mail_server: MailServer) -> None:
    error = failure(opened(url(mail_server, port=mail_server.plain)))
    assert (type(error), error.permanent) == (NotificationError, True)
    assert "does not offer STARTTLS" in error.message


def test_a_server_that_speaks_no_tls_at_its_port_is_told_apart(mail_server: MailServer) -> None:
    error = failure(opened(url(mail_server, scheme="smtps", port=mail_server.plain)))
    assert error.permanent
    assert "does not speak TLS" in error.message


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_a_certificate_that_nobody_vouches_for_ends_it_before_the_password(
    mail_server: MailServer, scheme: str
) -> None:
    port = mail_server.tls if scheme == "smtps" else mail_server.starttls
    address = url(mail_server, scheme=scheme, port=port).replace(f"&ca_file={mail_server.authority}", "")
    error = failure(opened(address))
    assert (type(error), error.permanent) == (ConnectionError, True)
    assert "is not trusted" in error.message
    assert "ca_file" in error.hint


def test_a_certificate_for_another_name_is_not_trusted(mail_server: MailServer) -> None:
    error = failure(opened(url(mail_server, host="127.0.0.2", port=_relayed("127.0.0.2", mail_server.starttls))))
    assert error.permanent
    assert "127.0.0.2" in error.message


def _relayed(host: str, port: int) -> int:
    """A port of another address of the loopback that one connection is passed on from."""
    listener = socket.create_server((host, 0))

    def serve() -> None:
        with listener, listener.accept()[0] as client, socket.create_connection(("127.0.0.1", port)) as server:
            back = threading.Thread(target=_copy, args=(server, client), daemon=True)
            back.start()
            _copy(client, server)

    threading.Thread(target=serve, daemon=True).start()
    return int(listener.getsockname()[1])


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(4096):
            target.sendall(data)
    except OSError:
        return


def test_authorities_that_cannot_be_read_are_named(mail_server: MailServer) -> None:
    address = url(mail_server).replace(str(mail_server.authority), "/nowhere/ca.pem")
    with pytest.raises(ConfigurationError, match=r"/nowhere/ca\.pem cannot be used: No such file"):
        opened(address).send(message())


@contextmanager
def listening(greeting: bytes = b"") -> Iterator[int]:
    """A port where somebody takes connections and says no more than a greeting, then hangs up if there was one."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        held: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    client = listener.accept()[0]
                except OSError:
                    return
                held.append(client)
                if greeting:
                    client.sendall(greeting)
                    client.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield int(listener.getsockname()[1])
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for one in held:
                one.close()


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_a_server_that_says_nothing_is_given_up_after_a_time_that_is_named(
    mail_server: MailServer, scheme: str
) -> None:
    with listening() as port:
        error = failure(opened(url(mail_server, scheme=scheme, port=port, options="&timeout=1")))
    assert (type(error), error.permanent) == (ConnectionError, False)
    assert f"localhost:{port} did not answer within 1 seconds" in error.message


@pytest.mark.parametrize("greeting", [b"220 hello\r\n", b"421 too busy\r\n", b"what is this\r\n"])
def test_a_server_that_hangs_up_is_no_surprise(mail_server: MailServer, greeting: bytes) -> None:
    with listening(greeting) as port:
        failure(opened(url(mail_server, port=port)))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("smtp://u:S3cret-pw@host/?to=a@b.org", "'from'"),
        ("smtp://u:S3cret-pw@host/?from=a@b.org", "'to'"),
        ("smtp://u:S3cret-pw@host/?from=a@b.org&to=nobody", "'to'"),
        ("smtp://u:S3cret-pw@host/?from=a@b.org&to=a@b.org%0d%0aBcc:x@y.org", "'to'"),
        ("smtp://u:S3cret-pw@host/?from=a@b.org%20RET=FULL&to=a@b.org", "'from'"),
        ("smtp://u:S3cret-pw@host/?from=a@b.org,c@d.org&to=a@b.org", "one sender"),
        ("smtp://u:S3cret-pw@host/?from=a@b.org&from=c@d.org&to=a@b.org", "twice"),
        ("smtp://u@host/?from=a@b.org&to=a@b.org", "belong together"),
        ("smtp://u:S3cret-pw@host/path?from=a@b.org&to=a@b.org", "not the URL"),
        ("smtp://u:S3cret-pw@host:99999/?from=a@b.org&to=a@b.org", "not the URL"),
        ("smtp://u:S3cret-pw@host/?from=a@b.org&to=a@b.org&verify=no", "no option 'verify'"),
        ("smtp://u:S3cret-pw@host/?from=a@b.org&to=a@b.org&timeout=0", "'timeout'"),
        ("smtp:///?from=a@b.org&to=a@b.org", "'host'"),
    ],
)
def test_a_url_that_cannot_work_is_refused_without_its_password(wrong: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        EmailConfig.from_url(wrong)
    assert said in refusal.value.message
    assert "S3cret-pw" not in f"{refusal.value!r}{refusal.value.hint}"
