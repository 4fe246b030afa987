"""No secret is kept in clear: not by our blocks, not by Prefect, not in what a run leaves behind."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from actions import keys, saved
from actions.door import LOCAL_ADMINISTRATOR
from adapters.database import ENGINES
from adapters.database.postgresql import PostgreSQL
from adapters.notification import CHANNELS as CHANNEL_ADAPTERS
from adapters.storage import STORAGES as STORAGE_ADAPTERS
from blocks.addresses import profile_keys
from blocks.channels import CHANNELS
from blocks.encryption_key import encryption_keys
from blocks.saved import Kind, everything, load, load_source, remove, save
from blocks.sources import SOURCES, PostgreSQLSource
from blocks.storages import STORAGES
from core.errors import ConfigurationError, DBackupError, EncryptionError, WrongKey
from core.jobs import JobSpec
from core.sealing import EncryptionKey, EncryptionKeys, is_sealed
from core.settings import settings
from flows.backup import backup
from tests.home import end_server, files_of
from tests.waiting import until

HOST, USER, PASSWORD = "db-with-a-secret-name.invalid", "secret-user-7f3a", "Pa55-word/with=odd%chars"
URL = "postgresql://secret-user-7f3a:Pa55-word%2Fwith%3Dodd%25chars@db-with-a-secret-name.invalid:5432/secret-database"
CHANNEL_URLS = {
    "chat": "https://discord.com/api/webhooks/1/t0ken-of-a-hook",
    "mail": "smtp://mail-user:mail-Pa55@mail.invalid/?from=secret-sender@b.org&to=secret-reader@b.org",
    "other": "apprise+json://other-user:other-Pa55@other.invalid/other-path",
}
CHANNEL_SECRETS = ["t0ken-of-a-hook", "mail-user", "mail-Pa55", "mail.invalid", "secret-sender", "secret-reader",
                   "other-user", "other-Pa55", "other.invalid", "other-path"]  # fmt: skip
SECRETS = [PASSWORD, "Pa55-word%2Fwith%3Dodd%25chars"]


def found(home: Path, secrets: list[str]) -> list[tuple[str, str]]:
    return [(secret, name) for name, data in files_of(home).items() for secret in secrets if secret.encode() in data]


def counted(home: Path, rows: str) -> int:
    with closing(sqlite3.connect(home / "prefect" / "prefect.db")) as database:
        return int(database.execute(f"SELECT count(*) FROM {rows}").fetchone()[0])


def test_a_block_holds_only_sealed_secrets(home: Path) -> None:
    block = PostgreSQLSource(host=SecretStr(HOST), password=SecretStr(PASSWORD))
    assert is_sealed(block.host.get_secret_value())
    assert block.password is not None
    assert is_sealed(block.password.get_secret_value())
    assert block.opened() == {"host": HOST, "port": 5432, "password": PASSWORD, "connect_timeout": 10}


@pytest.mark.parametrize("password", ["sealed:v1:mine", "sealed:v1:" + "0" * 16 + ":" + "A" * 40])
def test_a_password_that_looks_like_a_sealed_one_is_sealed_all_the_same(home: Path, password: str) -> None:
    config = PostgreSQL.config_type.model_validate({"host": HOST, "password": password})
    save(Kind.SOURCE, "looks-sealed", PostgreSQLSource.of(config))
    try:
        assert load_source("looks-sealed").opened()["password"] == password
        assert found(home, [password]) == []
    finally:
        remove(Kind.SOURCE, "looks-sealed")


def test_a_url_that_begins_like_a_sealed_one_is_sealed_before_prefect_stores_it(home: Path, tmp_path: Path) -> None:
    url = "sealed:v1:postgresql://somebody:Pa55-in-a-disguise@host/shop"
    with pytest.raises(ConfigurationError):
        backup(JobSpec.model_validate({"source": url, "destinations": [f"file://{tmp_path / 'b'}"]}))
    assert found(home, ["Pa55-in-a-disguise"]) == []


def test_nothing_that_was_saved_or_run_is_found_in_clear(home: Path, tmp_path: Path) -> None:
    saved.add_source(LOCAL_ADMINISTRATOR, "secretive", URL)
    profile = keys.create(LOCAL_ADMINISTRATOR, "secretive")
    for name, url in CHANNEL_URLS.items():
        saved.add_channel(LOCAL_ADMINISTRATOR, name, url)
    assert found(home, [*SECRETS, *CHANNEL_SECRETS, HOST, USER, "secret-database"]) == []
    with pytest.raises(DBackupError):
        backup(JobSpec.model_validate({"source": URL, "destinations": [f"file://{tmp_path / 'b'}"], "retries": 0}))
    with pytest.raises(DBackupError):
        backup(JobSpec.model_validate({"source": "secretive", "destinations": [f"file://{tmp_path / 'b'}"]}))
    assert counted(home, "flow_run") >= 2
    assert counted(home, "block_document WHERE name = 'secretive'") == 2
    until(lambda: counted(home, "events WHERE event LIKE '%block%'"), "Prefect to write down its events")
    assert "prefect/prefect.db" in files_of(home)
    assert found(home, SECRETS) == []  # the host that did not answer is named in the runs' messages, on purpose
    key = profile_keys(profile.name)[0].key
    assert not [name for name, data in files_of(home).items() if key in data or key.hex().encode() in data]


def test_the_search_for_secrets_would_find_one(home: Path) -> None:
    """The search above proves something only if it finds what is there."""
    with closing(sqlite3.connect(home / "prefect" / "prefect.db")) as database:
        database.execute("CREATE TABLE IF NOT EXISTS planted (value TEXT)")
        database.execute("INSERT INTO planted VALUES ('a planted secret')")
        database.commit()
    try:
        assert found(home, ["a planted secret"])
    finally:
        with closing(sqlite3.connect(home / "prefect" / "prefect.db")) as database:
            database.execute("DROP TABLE planted")


def test_a_saved_source_opens_again_with_its_secrets(home: Path) -> None:
    saved.add_source(LOCAL_ADMINISTRATOR, "comes-back", URL)
    assert load_source("comes-back").opened()["password"] == PASSWORD
    with pytest.raises(ConfigurationError, match="already"):
        saved.add_source(LOCAL_ADMINISTRATOR, "comes-back", "sqlite:////tmp/other.db")
    remove(Kind.SOURCE, "comes-back")
    with pytest.raises(ConfigurationError, match="no source named comes-back"):
        load(Kind.SOURCE, "comes-back")


@pytest.mark.parametrize("name", ["", "With Capitals", "under_score", "-dash", "x" * 64, "a/b"])
def test_a_malformed_name_is_refused(home: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be a name"):
        saved.add_source(LOCAL_ADMINISTRATOR, name, URL)


def test_blocks_sealed_with_another_key_name_the_key_they_need(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved.add_source(LOCAL_ADMINISTRATOR, "other-key", URL)
    sealed_with = encryption_keys().current.key_id
    monkeypatch.setattr("blocks.sealed.encryption_keys", lambda: EncryptionKeys((EncryptionKey.generate(),)))
    with pytest.raises(WrongKey, match=sealed_with) as caught:
        load_source("other-key").opened()
    assert "DBACKUP_ENCRYPTION_KEY" in caught.value.hint
    [described] = [one for one in saved.sources(LOCAL_ADMINISTRATOR) if one.name == "other-key"]
    assert sealed_with in described.problem


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another home, with nothing in it, for this test only."""
    monkeypatch.setenv("DBACKUP_HOME", str(tmp_path / "fresh"))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.delenv("DBACKUP_ENCRYPTION_KEY", raising=False)
    settings.cache_clear()
    encryption_keys.cache_clear()
    return tmp_path / "fresh"


@pytest.fixture(scope="module", autouse=True)
def _leave_nothing_saved(home: Path) -> Iterator[None]:
    """The home is the whole session's: what is saved here would be found wanting by a doctor elsewhere."""
    yield
    for kind in Kind:
        for name in everything(kind):
            remove(kind, name)


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    settings.cache_clear()
    encryption_keys.cache_clear()


def test_the_first_key_is_made_once_in_a_private_file(fresh: Path) -> None:
    first = encryption_keys().current.key
    encryption_keys.cache_clear()
    assert encryption_keys().current.key == first
    assert (fresh / "encryption.key").stat().st_mode & 0o777 == 0o600


def test_a_lost_key_is_never_replaced_by_a_new_one(fresh: Path) -> None:
    (fresh / "prefect").mkdir(parents=True)
    with pytest.raises(EncryptionError, match="is missing") as caught:
        encryption_keys()
    assert "put the file back" in caught.value.hint
    assert not (fresh / "encryption.key").exists()


def test_a_shared_server_needs_the_shared_key(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    with pytest.raises(EncryptionError, match="DBACKUP_ENCRYPTION_KEY is not set"):
        encryption_keys()


def test_a_malformed_key_is_refused(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBACKUP_ENCRYPTION_KEY", "not a key at all")
    with pytest.raises(EncryptionError, match="not 64 hex digits") as caught:
        encryption_keys()
    assert "not a key at all" not in str(caught.value)


def test_an_old_key_still_opens_and_a_new_one_seals_from_now_on(tmp_path: Path) -> None:
    """Three commands, each in a process of its own: save, change the key, read."""
    old, new = EncryptionKey.generate(), EncryptionKey.generate()

    def dbackup(*arguments: str, keys: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "DBACKUP_HOME": str(tmp_path), "DBACKUP_ENCRYPTION_KEY": keys}
        command = [Path(sys.executable).with_name("dbackup"), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert dbackup("source", "add", "shop", "sqlite:////tmp/shop.db", keys=old.key.hex()).returncode == 0
    assert dbackup("key", "create", "vault", keys=old.key.hex()).returncode == 0
    end_server(tmp_path)
    listed = dbackup("key", "list", keys=f"{new.key.hex()},{old.key.hex()}")
    assert (listed.returncode, "vault" in listed.stdout) == (0, True), listed.stderr
    end_server(tmp_path)
    refused = dbackup("key", "list", keys=new.key.hex())
    assert refused.returncode == 1
    assert old.key_id in refused.stderr
    assert "Traceback" not in refused.stderr


def test_every_adapter_has_a_block_that_fits_its_configuration() -> None:
    assert SOURCES.keys() == ENGINES.keys()
    assert STORAGES.keys() == STORAGE_ADAPTERS.keys()
    assert CHANNELS.keys() == CHANNEL_ADAPTERS.keys()
    for block in (*SOURCES.values(), *STORAGES.values(), *CHANNELS.values()):
        assert set(block.model_fields) == set(block.adapter.config_type.model_fields), block


def test_every_adapter_has_a_page() -> None:
    docs = Path(__file__).parents[2] / "docs" / "adapters"
    missing = [name for name in (*ENGINES, *STORAGE_ADAPTERS, *CHANNEL_ADAPTERS) if not (docs / f"{name}.md").is_file()]
    assert missing == []


def test_everything_is_resealed_also_after_an_interruption_and_then_the_old_key_can_go(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved.add_source(LOCAL_ADMINISTRATOR, "reseal-a", URL)
    saved.add_source(LOCAL_ADMINISTRATOR, "reseal-b", URL)
    keys.create(LOCAL_ADMINISTRATOR, "reseal")
    key = profile_keys("reseal")[0].key
    old, new = encryption_keys().current, EncryptionKey.generate()
    block_key = home / "prefect" / "block.key"
    opened_block_key = encryption_keys().unseal(block_key.read_text(), "block.key")

    def use(*chosen: EncryptionKey) -> None:
        for module in ("sealed", "embedded", "addresses"):
            monkeypatch.setattr(f"blocks.{module}.encryption_keys", lambda: EncryptionKeys(chosen))

    def save_once_then_die(*arguments: Any, **options: Any) -> None:
        save(*arguments, **options)
        raise KeyboardInterrupt

    try:
        use(new, old)
        with monkeypatch.context() as interrupted, pytest.raises(KeyboardInterrupt):
            interrupted.setattr("blocks.saved.save", save_once_then_die)
            keys.reseal(LOCAL_ADMINISTRATOR)
        assert load_source("reseal-b").opened()["password"] == PASSWORD
        assert "Prefect's own key" in keys.reseal(LOCAL_ADMINISTRATOR)
        assert keys.reseal(LOCAL_ADMINISTRATOR) == []
        use(new)
        assert [load_source(name).opened()["password"] for name in ("reseal-a", "reseal-b")] == [PASSWORD] * 2
        assert profile_keys("reseal")[0].key == key
        assert EncryptionKeys((new,)).unseal(block_key.read_text(), "block.key") == opened_block_key
        with pytest.raises(WrongKey):
            use(EncryptionKey.generate())
            keys.reseal(LOCAL_ADMINISTRATOR)
    finally:
        use(old, new)  # what other tests have saved is opened with the session's key again
        keys.reseal(LOCAL_ADMINISTRATOR)
        for name in ("reseal-a", "reseal-b"):
            remove(Kind.SOURCE, name)
