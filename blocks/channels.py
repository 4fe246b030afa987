"""Notification channels as blocks: one for each kind, with the fields of the channel's own configuration."""

from __future__ import annotations

from typing import cast

from pydantic import SecretStr

from adapters.notification.apprise import Apprise
from adapters.notification.discord import Discord
from adapters.notification.email import Email
from adapters.notification.ping import Ping
from blocks.sealed import AdapterBlock
from core.ports import NotificationAdapter


class ChannelBlock(AdapterBlock):
    """A way to tell somebody what happened."""

    def open(self) -> NotificationAdapter:
        """The adapter, with its secrets in clear. Raises WrongKey, EncryptionError or ConfigurationError."""
        return cast(NotificationAdapter, self._adapter())


class DiscordChannel(ChannelBlock):
    """A webhook of Discord."""

    _block_type_name = "dbackup Discord"
    _block_type_slug = "dbackup-discord"
    adapter = Discord

    url: SecretStr
    ca_file: str | None = None
    timeout: int = 10


class EmailChannel(ChannelBlock):
    """A mail server and those who are written to."""

    _block_type_name = "dbackup e-mail"
    _block_type_slug = "dbackup-email"
    adapter = Email

    host: SecretStr
    port: int | None = None
    security: str = "starttls"
    user: SecretStr | None = None
    password: SecretStr | None = None
    sender: SecretStr
    recipients: SecretStr
    ca_file: str | None = None
    timeout: int = 15


class AppriseChannel(ChannelBlock):
    """A service that Apprise knows."""

    _block_type_name = "dbackup Apprise"
    _block_type_slug = "dbackup-apprise"
    adapter = Apprise

    url: SecretStr


class PingChannel(ChannelBlock):
    """A check of a service that raises the alarm when nobody calls."""

    _block_type_name = "dbackup ping"
    _block_type_slug = "dbackup-ping"
    adapter = Ping

    url: SecretStr
    service: str = "healthchecks"
    start: str | None = None
    success: str | None = None
    fail: str | None = None
    ca_file: str | None = None
    timeout: int = 10


CHANNELS: dict[str, type[ChannelBlock]] = {
    block.adapter.channel: block for block in (DiscordChannel, EmailChannel, AppriseChannel, PingChannel)
}
