"""The channels that notifications go out by. A new one is one module beside these and one name in the table."""

from adapters.notification.apprise import Apprise
from adapters.notification.discord import Discord
from adapters.notification.email import Email
from adapters.notification.ping import Ping
from adapters.table import index

CHANNELS = index("channel", Discord, Email, Apprise, Ping)
