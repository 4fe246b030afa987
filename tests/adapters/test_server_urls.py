"""Every configuration that is read from a URL refuses alike: it names the option and repeats no value."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from adapters import server_urls
from adapters.database.mongodb.config import MongoDBConfig
from adapters.database.mysql.config import MariaDBConfig, MySQLConfig
from adapters.database.postgresql.config import PostgreSQLConfig
from adapters.storage.s3.config import S3Config
from adapters.storage.sftp.config import SFTPConfig
from core.errors import ConfigurationError

KINDS = [
    pytest.param(PostgreSQLConfig.from_url, "postgresql://u:hidden@h/shop", "PostgreSQL", "connect_timeout", id="pg"),
    pytest.param(MySQLConfig.from_url, "mysql://u:hidden@h/shop", "MySQL", "connect-timeout", id="mysql"),
    pytest.param(MariaDBConfig.from_url, "mariadb://u:hidden@h/shop", "MariaDB", "connect-timeout", id="mariadb"),
    pytest.param(MongoDBConfig.from_url, "mongodb://u:hidden@h/shop", "MongoDB", "connectTimeoutMS", id="mongodb"),
    pytest.param(SFTPConfig.from_url, "sftp://u:hidden@h/srv/backups", "SFTP", "connect_timeout", id="sftp"),
    pytest.param(S3Config.from_url, "s3://KEY:hidden@bucket/prefix", "S3", "connect_timeout", id="s3"),
]  # fmt: skip
each_kind = pytest.mark.parametrize(("read", "url", "label", "option"), KINDS)
Read = Callable[[str], object]


@each_kind
def test_an_unknown_option_is_named_with_those_there_are(read: Read, url: str, label: str, option: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        read(f"{url}?colour=hidden")
    assert refusal.value.message == f"the option 'colour' of this {label} URL cannot be used: there is no such option"
    assert option in refusal.value.hint
    assert "hidden" not in f"{refusal.value.hint} {refusal.value.__cause__}"


@each_kind
def test_an_option_is_called_as_it_was_written(read: Read, url: str, label: str, option: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        read(f"{url}?{option}=hidden")
    assert f"the option '{option}' of this {label} URL cannot be used" in refusal.value.message
    assert "hidden" not in f"{refusal.value} {refusal.value.hint} {refusal.value.__cause__}"


def test_every_part_of_a_server_s_url_is_decoded() -> None:
    url = server_urls.read("sftp://a%40b:c%2Fd@h%2Drun:22/x%20y?word=e%26f", ("sftp",))
    assert url is not None
    assert url.facts == {"host": "h-run", "port": 22, "user": "a@b", "password": "c/d"}
    assert (url.path, url.options) == ("/x y", {"word": "e&f"})
    assert "c/d" not in repr(url)


@pytest.mark.parametrize("url", ["mysql://h/x", "sftp://h:port/x", "sftp://[::1/x", "sftp://h/x#y", "sftp://h/x?y"])
def test_what_is_no_url_of_the_kind_is_none(url: str) -> None:
    assert server_urls.read(url, ("sftp",)) is None
