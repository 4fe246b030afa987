"""The promises of a backup: what is reported as good is good, what failed leaves nothing and says why."""

from __future__ import annotations

import json
import stat
import subprocess
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

from actions import keys
from actions.door import LOCAL_ADMINISTRATOR
from adapters.storage.local import Local
from blocks.api import prefect_api
from core.container import read_header
from core.errors import AdapterError, ConfigurationError, ConnectionError, RunFailed, StorageError, ToolMissing
from core.manifest import Manifest
from core.reports import BackupReport
from core.states import RunState
from core.streams import Chunks
from flows.backup import backup
from services.records import catalog, executions
from tests.disks import read_only, small_disk
from tests.flows.shop import files_below, job
from tests.home import files_of
from tests.servers.postgresql import Server
from tests.waiting import until


def failed(error: pytest.ExceptionInfo[RunFailed]) -> BackupReport:
    report = error.value.report
    assert isinstance(report, BackupReport)
    return report


def wrapper(folder: Path, name: str, script: str) -> str:
    """A client tool that misbehaves, in front of the real ones."""
    for tool in ("pg_dump", "pg_restore", "pg_dumpall", "psql"):
        (folder / tool).symlink_to(f"/usr/lib/postgresql/15/bin/{tool}")
    (folder / name).unlink()
    (folder / name).write_text(f"#!/bin/bash\n{script}\n")
    (folder / name).chmod(0o755)
    return f"?client_path={folder}"


def fill(server: Server, database: str, rows: int = 50_000) -> None:
    server.create(database)
    server.query(
        f"CREATE TABLE orders AS SELECT id, md5(id::text) AS note FROM generate_series(1, {rows}) AS id", database
    )


def test_a_success_is_committed_by_its_manifest_and_leaves_nothing_else(shop: Path, tmp_path: Path) -> None:
    report = backup(job(shop, tmp_path / "backups"))
    assert report.state is RunState.SUCCESS
    assert files_below(tmp_path / "backups") == [f"{report.folder}/backup.meta.json", f"{report.folder}/shop.db.zst"]
    manifest = Manifest.parse((tmp_path / "backups" / report.folder / "backup.meta.json").read_bytes())
    assert manifest.files == report.files
    assert manifest.files[0].contents.rows == {"orders": 5000}  # type: ignore[union-attr]
    assert [copy.checked for copy in report.copies] == ["read back"]
    assert [one.summary for one in report.retention] == ["everything is kept, no retention is set"]


def test_the_stored_bytes_are_a_standard_frame_of_the_tools_own_output(shop: Path, tmp_path: Path) -> None:
    report = backup(job(shop, tmp_path / "backups"))
    stored = tmp_path / "backups" / report.folder / "shop.db.zst"
    plain = subprocess.run(["zstd", "-dc", stored], capture_output=True, check=True).stdout
    assert plain.startswith(b"SQLite format 3\0")
    assert len(plain) == report.files[0].dump_size


def test_an_encrypted_backup_shows_nothing_of_its_contents(shop: Path, tmp_path: Path) -> None:
    profile = keys.create(LOCAL_ADMINISTRATOR, f"p-{tmp_path.name.replace('_', '-').lower()[-30:]}")
    report = backup(job(shop, tmp_path / "backups", profile=profile.name, compression="none"))
    stored = (tmp_path / "backups" / report.folder / "shop.db.enc").read_bytes()
    assert read_header([stored]).key_id == profile.key_ids[0]
    assert b"order 42" not in stored
    assert b"SQLite" not in stored


def test_the_catalog_and_the_record_of_runs_know_of_it(shop: Path, tmp_path: Path) -> None:
    report = backup(job(shop, tmp_path / "backups", name="nightly shop"))
    entry = catalog().find("nightly shop/latest")
    assert entry.manifest.backup_id == report.backup_id
    assert entry.storages == (str(tmp_path / "backups"),)
    last = executions().recent(1)[0]
    assert (last.kind, last.job_name, last.state) == ("backup", "nightly shop", RunState.SUCCESS)


def test_several_destinations_get_independent_copies(shop: Path, tmp_path: Path) -> None:
    report = backup(job(shop, tmp_path / "one", tmp_path / "two"))
    first, second = (tmp_path / name / report.folder / "shop.db.zst" for name in ("one", "two"))
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_ino != second.stat().st_ino


def test_a_destination_that_cannot_be_written_makes_the_run_partial(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir()
    with read_only(tmp_path / "closed"), pytest.raises(RunFailed) as caught:
        backup(job(shop, tmp_path / "closed", tmp_path / "open"))
    report = failed(caught)
    assert report.state is RunState.PARTIAL
    assert {copy.storage: copy.complete for copy in report.copies} == {
        str(tmp_path / "closed"): False,
        str(tmp_path / "open"): True,
    }
    assert (tmp_path / "open" / report.folder / "backup.meta.json").exists()


def test_one_place_named_twice_is_refused(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "backups").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "backups")
    for other in (tmp_path / "link", f"file://{tmp_path}/backups/"):
        with pytest.raises(ConfigurationError, match="one and the same place"):
            backup(job(shop, tmp_path / "backups", other))
    assert files_below(tmp_path / "backups") == []


def test_a_destination_that_dies_midway_makes_the_run_partial(postgresql: Server, tmp_path: Path) -> None:
    fill(postgresql, "shop", 600_000)
    with small_disk(tmp_path / "disk", megabytes=8) as disk:
        with pytest.raises(RunFailed) as caught:
            backup(job(postgresql.url("shop"), tmp_path / "good", disk))
        assert files_below(disk) == []
    report = failed(caught)
    assert report.state is RunState.PARTIAL
    assert {copy.storage: copy.complete for copy in report.copies} == {str(tmp_path / "good"): True, str(disk): False}
    flow_run_id = executions().recent(1)[0].flow_run_id
    with prefect_api(), get_client(sync_client=True) as client:
        state = client.read_flow_run(UUID(flow_run_id)).state
    assert state is not None
    assert (state.type.value, state.name) == ("FAILED", "Partial")


def test_bytes_that_change_between_upload_and_verify_are_noticed(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adopt = Local.adopt

    def adopt_and_rot(self: Local, key: str, path: Path) -> bool:
        adopted = adopt(self, key, path)
        with (tmp_path / "backups" / key).open("r+b") as stored:
            stored.seek(100)
            stored.write(b"rot")
        return adopted

    monkeypatch.setattr(Local, "adopt", adopt_and_rot)
    with pytest.raises(RunFailed, match="SHA-256") as caught:
        backup(job(shop, tmp_path / "backups"))
    assert failed(caught).state is RunState.FAILED
    assert files_below(tmp_path / "backups") == []


def test_an_upload_that_fails_for_a_moment_is_tried_again_without_a_new_dump(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, tries = Local.put, list[str]()

    def put_at_the_second_try(self: Local, key: str, chunks: Chunks) -> None:
        if key.endswith(".db.zst"):
            tries.append(key)
            if len(tries) == 1:
                raise ConnectionError("the line was cut")
        put(self, key, chunks)

    monkeypatch.setattr(Local, "put", put_at_the_second_try)
    monkeypatch.setattr("tasks.step.FIRST_PAUSE", 0.1)
    report = backup(job(shop, tmp_path / "one", tmp_path / "two", retries=2))
    assert report.state is RunState.SUCCESS
    assert len(tries) == 2


def test_what_fails_after_the_commit_takes_no_backup_away(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tasks.backup.catalog", interrupted)
    with pytest.raises(KeyboardInterrupt):
        backup(job(shop, tmp_path / "backups"))
    assert [Path(name).name for name in files_below(tmp_path / "backups")] == ["backup.meta.json", "shop.db.zst"]


def test_a_catalog_that_is_broken_keeps_nobody_from_a_backup(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise ConfigurationError("the catalog cannot be used")

    for place in ("tasks.bookkeeping.executions", "tasks.backup.catalog", "services.records.catalog"):
        monkeypatch.setattr(place, broken)
    assert backup(job(shop, tmp_path / "backups")).state is RunState.SUCCESS


def test_a_password_that_a_tool_prints_is_masked_before_it_is_kept(
    postgresql: Server, tmp_path: Path, home: Path
) -> None:
    fill(postgresql, "shop", 1)
    (tmp_path / "tools").mkdir()
    version = 'if [[ "$1" == --version ]]; then exec /usr/bin/pg_dump --version; fi'
    broken = wrapper(tmp_path / "tools", "pg_dump", f'{version}; echo "error: I was given $PGPASSWORD" >&2; exit 1')
    with pytest.raises(RunFailed, match=r"I was given \*\*\*\*") as caught:
        backup(job(postgresql.url("shop") + broken, tmp_path / "backups"))
    assert postgresql.password not in str(caught.value)
    kept = files_of(home)
    assert "catalog.db" in kept
    assert [name for name, data in kept.items() if postgresql.password.encode() in data] == []


def test_the_only_destination_that_cannot_be_written_fails_the_run(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir()
    with read_only(tmp_path / "closed"), pytest.raises(StorageError) as caught:
        backup(job(shop, tmp_path / "closed"))
    assert str(tmp_path / "closed") in caught.value.message
    assert caught.value.hint
    assert executions().recent(1)[0].state is RunState.FAILED


def test_a_disk_that_fills_up_midway_leaves_no_backup_and_no_remains(postgresql: Server, tmp_path: Path) -> None:
    fill(postgresql, "shop", 600_000)
    with small_disk(tmp_path / "disk", megabytes=8) as disk:
        with pytest.raises(RunFailed) as caught:
            backup(job(postgresql.url("shop"), disk))
        assert "bytes" in caught.value.message
        assert failed(caught).state is RunState.FAILED
        assert files_below(disk) == []
    assert postgresql.sessions() == 0


def test_a_destination_that_can_hardly_hold_it_is_refused_before_the_dump(postgresql: Server, tmp_path: Path) -> None:
    fill(postgresql, "shop", 600_000)
    with small_disk(tmp_path / "disk", megabytes=2) as disk, pytest.raises(StorageError, match="are missing"):
        backup(job(postgresql.url("shop"), disk))


@pytest.mark.parametrize(
    ("what", "script"),
    [
        ("exits with 1 after its output", '/usr/lib/postgresql/15/bin/pg_dump "$@"; exit 1'),
        ("is killed midway", '/usr/lib/postgresql/15/bin/pg_dump "$@" | head -c 300000; kill -9 $$'),
        ("gives nothing and says that all is well", "exit 0"),
        ("gives something else and says that all is well", "echo hello"),
    ],
)
def test_a_dump_tool_that_fails_never_makes_a_backup(
    postgresql: Server, tmp_path: Path, what: str, script: str
) -> None:
    fill(postgresql, "shop")
    good = backup(job(postgresql.url("shop"), tmp_path / "backups"))
    before = files_below(tmp_path / "backups")
    (tmp_path / "tools").mkdir()
    broken = wrapper(
        tmp_path / "tools", "pg_dump", f'if [[ "$1" == --version ]]; then exec /usr/bin/pg_dump --version; fi; {script}'
    )
    with pytest.raises(RunFailed) as caught:
        backup(job(postgresql.url("shop") + broken, tmp_path / "backups"))
    assert failed(caught).state is RunState.FAILED
    assert failed(caught).failures[0].subject == "shop"
    assert files_below(tmp_path / "backups") == before
    assert catalog().find("shop/latest").manifest.backup_id == good.backup_id
    assert postgresql.sessions() == 0


def test_every_database_of_a_server_and_its_globals_are_backed_up(postgresql: Server, tmp_path: Path) -> None:
    fill(postgresql, "shop", 100)
    fill(postgresql, "a b/Ünï'\"\\", 100)
    report = backup(job(postgresql.url(), tmp_path / "backups", exclude=["post*"]))
    assert {file.database for file in report.files if file.kind == "database"} == {"shop", "a b/Ünï'\"\\"}
    assert [file.kind for file in report.files].count("globals") == 1
    assert report.files[0].contents.rows == {"public.orders": 100}  # type: ignore[union-attr]


def test_a_database_that_cannot_be_dumped_makes_the_run_partial_and_is_named(
    postgresql: Server, tmp_path: Path
) -> None:
    fill(postgresql, "shop", 100)
    with pytest.raises(RunFailed) as caught:
        backup(job(postgresql.url(), tmp_path / "backups", databases=["shop", "gone"]))
    report = failed(caught)
    assert report.state is RunState.PARTIAL
    assert [failure.subject for failure in report.failures] == ["gone"]
    manifest = Manifest.parse((tmp_path / "backups" / report.folder / "backup.meta.json").read_bytes())
    assert manifest.missing == ("gone",)
    assert "shop" in {file.database for file in manifest.files}


def test_a_database_that_does_not_exist_fails_and_those_that_do_are_named(postgresql: Server, tmp_path: Path) -> None:
    fill(postgresql, "shop", 1)
    with pytest.raises(AdapterError, match="shpo") as caught:
        backup(job(postgresql.url("shpo"), tmp_path / "backups"))
    assert "shop" in caught.value.hint
    assert files_below(tmp_path / "backups") == []


def test_no_permission_on_one_table_fails_and_keeps_nothing(postgresql: Server, tmp_path: Path) -> None:
    fill(postgresql, "shop", 100)
    postgresql.query("CREATE TABLE secret (x int)", "shop")
    postgresql.query("CREATE ROLE reader LOGIN PASSWORD 'reading'")
    postgresql.query("GRANT SELECT ON orders TO reader", "shop")
    with pytest.raises(RunFailed, match="secret") as caught:
        backup(job(postgresql.url("shop", user="reader", password="reading"), tmp_path / "backups"))
    assert caught.value.hint
    assert files_below(tmp_path / "backups") == []


@pytest.mark.parametrize(
    ("url", "kind", "words"),
    [
        ("postgresql://app:wrong-password@127.0.0.1:{port}/shop", ConnectionError, "password"),
        ("postgresql://app:wrong-password@127.0.0.1:1/shop", ConnectionError, "127.0.0.1:1"),
        ("sqlite:////nowhere/at/all.db", ConnectionError, "/nowhere/at/all.db"),
    ],
)
def test_a_source_that_does_not_answer_is_a_sentence_and_an_advice(
    postgresql: Server, tmp_path: Path, url: str, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind) as caught:
        backup(job(url.format(port=postgresql.port), tmp_path / "backups"))
    assert words in str(caught.value)
    assert "wrong-password" not in str(caught.value)
    assert caught.value.hint  # type: ignore[attr-defined]


def test_a_client_older_than_the_server_is_refused_and_the_package_named(
    postgresql_18: Server, tools_14: Path, tmp_path: Path
) -> None:
    fill(postgresql_18, "shop", 1)
    with pytest.raises(ToolMissing, match="18") as caught:
        backup(job(f"{postgresql_18.url('shop')}?client_path={tools_14}", tmp_path / "backups"))
    assert "postgresql-client-18" in caught.value.hint


def test_an_unknown_profile_is_refused_before_anything_is_dumped(shop: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no profile named nobody-knows") as caught:
        backup(job(shop, tmp_path / "backups", profile="nobody-knows"))
    assert "dbackup key create nobody-knows" in caught.value.hint
    assert files_below(tmp_path / "backups") == []


def test_stored_files_are_private(shop: Path, tmp_path: Path) -> None:
    report = backup(job(shop, tmp_path / "backups"))
    for path in (tmp_path / "backups" / report.folder).iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_unnamed_job_keeps_its_folder_and_two_sources_never_share_one(shop: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "shop.db"
    other.parent.mkdir()
    other.write_bytes(shop.read_bytes())
    folders = [backup(job(source, tmp_path / "b")).folder for source in (shop, shop, other)]
    slugs = [folder.partition("/")[0] for folder in folders]
    assert slugs[0] == slugs[1] != slugs[2]


def test_the_json_of_a_report_can_be_read_back(shop: Path, tmp_path: Path) -> None:
    report = backup(job(shop, tmp_path / "backups"))
    assert BackupReport.model_validate(json.loads(report.model_dump_json())) == report


def test_prefect_keeps_the_history_of_every_step(shop: Path, tmp_path: Path) -> None:
    backup(job(shop, tmp_path / "backups"))
    flow_run_id = executions().recent(1)[0].flow_run_id
    assert flow_run_id

    def steps() -> set[str]:
        with prefect_api(), get_client(sync_client=True) as client:
            wanted = FlowRunFilter(id=FlowRunFilterId(any_=[UUID(flow_run_id)]))
            return {run.name for run in client.read_task_runs(flow_run_filter=wanted) if run.state_type == "COMPLETED"}

    where = tmp_path / "backups"
    expected = {"initialize", "dump shop", f"upload shop → {where}", f"verify {where}", f"commit {where}"}
    expected |= {f"connect {where}", f"retain {where}", "complete"}
    until(lambda: steps() == expected, f"Prefect to know of {expected}")
