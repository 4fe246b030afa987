"""Mail, over TLS from the first byte (``smtps://``) or after STARTTLS (``smtp://``); never without, never unverified.

A message is HTML with a plain-text twin. Addresses are checked when the configuration is made and hold no character
that could end a header; :mod:`core.notifications` sees to the rest.
"""

from __future__ import annotations

import re
import smtplib
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from html import escape
from typing import Any, ClassVar, Literal, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from adapters.certificates import reason_of, verifying
from core.errors import AdapterError, ConfigurationError, ConnectionError, NotificationError
from core.events import ALARMS, Event
from core.fields import RECEIVES
from core.notifications import Notification

HINT = "write smtp://user:password@host:587/?from=backup@example.org&to=ops@example.org, with %40 for an @ in a user"
MAILBOX = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")
PORTS = {"starttls": 587, "tls": 465}
SECURITY = {"smtp": "starttls", "smtps": "tls"}
OPTIONS = {"from": "sender", "to": "recipients", "ca_file": "ca_file", "timeout": "timeout"}  # of the URL
TEMPORARY = range(400, 500)  # replies of a server that may take the same message later


class EmailConfig(BaseModel):
    """One mail server, a sender and the recipients, separated by commas. ``timeout`` is in seconds for each answer.

    ``port`` None is 587 for STARTTLS, 465 for TLS. With ``ca_file`` only the authorities in it are believed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    host: str = Field(pattern=r"^[A-Za-z0-9_.:-]{1,253}$", json_schema_extra=RECEIVES)
    port: int | None = Field(
        default=None, ge=1, le=65535, description="Empty: 587 for STARTTLS, 465 for TLS.", json_schema_extra=RECEIVES
    )
    security: Literal["starttls", "tls"] = "starttls"
    user: str | None = None
    password: SecretStr | None = None
    sender: str
    recipients: str = Field(description="One or several, separated by commas.")
    ca_file: str | None = None
    timeout: int = Field(default=15, ge=1, le=300)

    @field_validator("sender", "recipients")
    @classmethod
    def _mailboxes(cls, text: str) -> str:
        mailboxes = [one.strip() for one in text.split(",")]
        if not all(MAILBOX.fullmatch(one) and ".." not in one for one in mailboxes):
            raise ValueError("it is no mail address like ops@example.org (a domain in other letters: in its xn-- form)")
        return ",".join(dict.fromkeys(mailboxes))

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if "," in self.sender:
            raise ValueError("there is one sender")
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password belong together")
        return self

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Read ``smtp://…`` or ``smtps://…``. Raises ConfigurationError, which repeats no part that may be secret."""
        try:
            parts = urlsplit(url)
            facts: dict[str, Any] = {
                "host": parts.hostname,
                "port": parts.port,
                "user": unquote(parts.username) if parts.username else None,
                "password": unquote(parts.password) if parts.password else None,
                "security": SECURITY[parts.scheme],
            }
            given = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        except (ValueError, KeyError):
            raise ConfigurationError("this is not the URL of a mail server", hint=HINT) from None
        if parts.path not in ("", "/") or parts.fragment:
            raise ConfigurationError("this is not the URL of a mail server", hint=HINT)
        return cls._checked({name: value for name, value in facts.items() if value is not None} | _options(given))

    @classmethod
    def _checked(cls, facts: dict[str, Any]) -> Self:
        try:
            return cls.model_validate(facts)
        except ValidationError as failure:
            problem = failure.errors(include_input=False, include_url=False)[0]
            named = {field: option for option, field in OPTIONS.items()}
            field = str(problem["loc"][0]) if problem["loc"] else "user"
            reason = problem["msg"].removeprefix("Value error, ")
            raise ConfigurationError(
                f"'{named.get(field, field)}' in the URL of a mail server cannot be used: {reason}", hint=HINT
            ) from None

    @property
    def address(self) -> str:
        """Where the server is, for people."""
        return f"{self.host}:{self.port or PORTS[self.security]}"


def _options(given: list[tuple[str, str]]) -> dict[str, str]:
    if unknown := next((name for name, _ in given if name not in OPTIONS), None):
        raise ConfigurationError(
            f"a mail server has no option {unknown!r}", hint=f"the options are: {', '.join(sorted(OPTIONS))}"
        )
    found: dict[str, str] = {}
    for name, value in given:
        field = OPTIONS[name]
        if name != "to" and field in found:
            raise ConfigurationError(f"the option '{name}' is given twice", hint="only 'to' can be repeated")
        found[field] = f"{found[field]},{value}" if field in found else value
    return found


class Email:
    """A mail server and those who are written to."""

    channel: ClassVar[str] = "email"
    label: ClassVar[str] = "E-mail"
    schemes: ClassVar[tuple[str, ...]] = ("smtp", "smtps")
    usual_events: ClassVar[tuple[Event, ...]] = ALARMS
    config_type: ClassVar[type[EmailConfig]] = EmailConfig

    def __init__(self, config: EmailConfig) -> None:
        self._config = config

    def describe(self) -> str:
        """Who is written to, by which server."""
        return f"mail to {self._config.recipients.replace(',', ', ')} by {self._config.address}"

    def send(self, notification: Notification) -> None:
        """Hand the message over. Returning means that the server has taken it for every recipient."""
        recipients = self._config.recipients.split(",")
        with self._session() as server, self._translated():
            refused = server.send_message(message(notification, self._config), self._config.sender, recipients)
        if refused:  # the others have it: trying again would give it to them twice
            first, (code, said) = next(iter(refused.items()))
            raise NotificationError(
                f"{len(refused)} of {len(recipients)} recipients did not get the mail: "
                f"{self._config.address} refused {first} ({_reply(code, said)})",
                hint="correct the addresses, or remove them from the channel",
            )

    @contextmanager
    def _session(self) -> Iterator[smtplib.SMTP]:
        """A connection over TLS, logged in. How it is closed says nothing about a message that was taken."""
        with self._translated():
            server = self._connected()
        try:
            with self._translated():
                self._log_in(server)
            yield server
        finally:
            with suppress(OSError, smtplib.SMTPException):
                server.quit()
            server.close()

    def _connected(self) -> smtplib.SMTP:
        config, port = self._config, self._config.port or PORTS[self._config.security]
        context = verifying(config.ca_file)
        if config.security == "tls":
            return smtplib.SMTP_SSL(config.host, port, timeout=config.timeout, context=context)
        server = smtplib.SMTP(config.host, port, timeout=config.timeout)
        try:
            server.starttls(context=context)
        except BaseException:
            server.close()
            raise
        return server

    def _log_in(self, server: smtplib.SMTP) -> None:
        server.ehlo_or_helo_if_needed()
        if self._config.user is not None and self._config.password is not None:
            server.login(self._config.user, self._config.password.get_secret_value())

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn what smtplib and the socket raise into ours; without the cause, which may quote what was sent."""
        try:
            yield
        except (smtplib.SMTPException, OSError) as failure:
            raise next(found for look in _EXPLANATIONS if (found := look(failure, self._config))) from None


def message(notification: Notification, config: EmailConfig) -> EmailMessage:
    """The mail: plain text, and the same as HTML."""
    mail = EmailMessage(policy=SMTP.clone(cte_type="7bit"))  # which every server takes
    mail["Subject"] = f"[dbackup] {notification.title}"[:200]
    mail["From"] = Address("dbackup", addr_spec=config.sender)
    mail["To"] = tuple(Address(addr_spec=one) for one in config.recipients.split(","))
    mail["Date"] = format_datetime(notification.at)
    mail["Message-ID"] = make_msgid(domain=config.sender.rpartition("@")[2])
    mail["Auto-Submitted"] = "auto-generated"  # so that no absence note answers it
    mail.set_content(f"{notification.title}\n\n{notification.text}\n")
    mail.add_alternative(_html(notification), subtype="html")
    return mail


def _html(notification: Notification) -> str:
    colour = "#2e7d32" if notification.event.is_good else "#c62828"
    rows = "\n".join(
        f'<tr><th style="text-align:left;vertical-align:top;padding:2px 12px 2px 0">{escape(fact.name)}</th>'
        f"<td>{escape(fact.value)}</td></tr>"
        for fact in notification.facts
    )
    return (
        '<!DOCTYPE html>\n<html><body style="font-family:sans-serif">\n'
        f'<h2 style="color:{colour}">{escape(notification.title)}</h2>\n<table>\n{rows}\n</table>\n</body></html>\n'
    )


# --- what went wrong, in words: the first explanation that knows the failure has it --------------------------------

_Explanation = Callable[[Exception, EmailConfig], AdapterError | None]


def _login(failure: Exception, config: EmailConfig) -> AdapterError | None:
    if not isinstance(failure, smtplib.SMTPAuthenticationError):
        return None
    return NotificationError(
        f"{config.address} refused user and password ({_reply(failure.smtp_code, failure.smtp_error)})",
        hint="check both; many providers want a password made for applications",
        permanent=failure.smtp_code not in TEMPORARY,
    )


def _recipients(failure: Exception, config: EmailConfig) -> AdapterError | None:
    if not isinstance(failure, smtplib.SMTPRecipientsRefused):
        return None
    first, (code, said) = next(iter(failure.recipients.items()))
    return NotificationError(
        f"{config.address} refused the recipient {first} ({_reply(code, said)})",
        hint="check the addresses, and whether the server lets this user write to them",
        permanent=all(code not in TEMPORARY for code, _ in failure.recipients.values()),
    )


def _refusal(failure: Exception, config: EmailConfig) -> AdapterError | None:
    if not isinstance(failure, smtplib.SMTPResponseException):
        return None
    what = f"the sender {config.sender}" if isinstance(failure, smtplib.SMTPSenderRefused) else "the message"
    return NotificationError(
        f"{config.address} refused {what} ({_reply(failure.smtp_code, failure.smtp_error)})",
        hint="many servers take only senders that belong to the user who logs in, and only after a login",
        permanent=failure.smtp_code not in TEMPORARY,
    )


def _unsupported(failure: Exception, config: EmailConfig) -> AdapterError | None:
    no_way_to_log_in = type(failure) is smtplib.SMTPException  # smtplib has no class of its own for it
    if not no_way_to_log_in and not isinstance(failure, smtplib.SMTPNotSupportedError):
        return None
    what = "STARTTLS" if "STARTTLS" in str(failure) else "a login"
    return NotificationError(
        f"{config.address} does not offer {what} that can be used, and nothing is sent without it",
        hint="use smtps:// where the server speaks TLS from the start, or leave user and password out where it "
        "asks for none",
    )


def _mistrusted(failure: Exception, config: EmailConfig) -> AdapterError | None:
    if not isinstance(failure, ssl.SSLError) or isinstance(failure, TimeoutError):
        return None
    if isinstance(failure, ssl.SSLCertVerificationError):
        return ConnectionError(
            f"the certificate of {config.address} is not trusted: {reason_of(failure)}",
            hint="use the name that the certificate is for, and name its authority with ca_file=/path/to/ca.pem",
            permanent=True,
        )
    return ConnectionError(
        f"{config.address} does not speak TLS as expected: {reason_of(failure)}",
        hint="smtp:// is for STARTTLS (port 587), smtps:// for TLS from the start (port 465)",
        permanent=True,
    )


def _timeout(failure: Exception, config: EmailConfig) -> AdapterError | None:
    if not isinstance(failure, TimeoutError) and not isinstance(failure.__context__, TimeoutError):
        return None  # smtplib makes a hang-up of its own of a timeout, which is then its context
    return ConnectionError(
        f"{config.address} did not answer within {config.timeout} seconds",
        hint="check host and port (587 for smtp://, 465 for smtps://), or give a longer time with timeout=",
    )


def _unreachable(failure: Exception, config: EmailConfig) -> AdapterError | None:
    reason = getattr(failure, "strerror", None) or str(failure).partition("\n")[0] or type(failure).__name__
    return ConnectionError(
        f"the mail server at {config.address} cannot be reached, or hung up: {reason}",
        hint="check host and port (587 for smtp://, 465 for smtps://), and whether the server runs",
    )


_EXPLANATIONS: tuple[_Explanation, ...] = (
    _login, _recipients, _refusal, _unsupported, _mistrusted, _timeout, _unreachable,
)  # fmt: skip


def _reply(code: int, said: bytes | str) -> str:
    """A server's answer in one line."""
    text = said.decode("utf-8", errors="replace") if isinstance(said, bytes) else said
    return f"{code} {' '.join(text.split())[:200]}"
