"""What a monitor sees: the facts of real runs, told to whoever knows the token, and the health of the parts."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from actions import jobs, saved
from actions.door import LOCAL_ADMINISTRATOR
from core.errors import RunFailed
from core.jobs import IntegritySpec, JobSpec, RestoreSpec
from flows.integrity import integrity
from flows.restore import restore
from tests.cli.conftest import COMMAND
from tests.disks import read_only
from tests.servers.processes import free_port, started

TOKEN = "the-token-of-the-monitor"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
Lines = dict[tuple[str, ...], float]


@contextmanager
def serving(folder: Path, **variables: str) -> Iterator[str]:
    """The web process, as an operator starts it, with these settings; gives its address."""
    port = free_port()
    url, environment = f"http://127.0.0.1:{port}", {**os.environ, "DBACKUP_WEB_PORT": str(port), **variables}

    def ready() -> bool:
        try:
            return bool(httpx.get(f"{url}/health", timeout=30).status_code)
        except httpx.TransportError:
            return False

    with started([sys.executable, "-m", "dashboard"], ready, folder / "web.log", env=environment):
        yield url


@pytest.fixture(scope="module")
def web(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("web"), DBACKUP_METRICS_TOKEN=TOKEN) as url:
        yield url


@pytest.fixture
def measured(home: Path, tmp_path: Path) -> Iterator[JobSpec]:
    """A job with two destinations."""
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
    saved.add_source(LOCAL_ADMINISTRATOR, "measured-shop", f"sqlite://{tmp_path}/shop.db")
    for name in ("near", "far"):
        (tmp_path / name).mkdir()
        saved.add_storage(LOCAL_ADMINISTRATOR, f"measured-{name}", f"file://{tmp_path}/{name}")
    wish = {"source": "measured-shop", "destinations": ["measured-near", "measured-far"], "retries": 0}
    spec = JobSpec.model_validate({**wish, "name": "measured", "overdue_after": 26})
    jobs.create(LOCAL_ADMINISTRATOR, spec)
    yield spec
    jobs.delete(LOCAL_ADMINISTRATOR, "measured")
    saved.remove_source(LOCAL_ADMINISTRATOR, "measured-shop")
    for name in ("near", "far"):
        saved.remove_storage(LOCAL_ADMINISTRATOR, f"measured-{name}")


def lines(text: str) -> Lines:
    """Every sample, by its name and the values of its labels. Two with the same are one too many."""
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    found = {(sample.name, *sample.labels.values()): sample.value for sample in samples}
    assert len(found) == len(samples)
    return found


def scraped(web: str) -> Lines:
    answer = httpx.get(f"{web}/metrics", headers=BEARER, timeout=30)
    assert answer.status_code == 200, answer.text
    return lines(answer.text)


def test_what_really_happened_is_what_is_measured(web: str, measured: JobSpec, tmp_path: Path) -> None:
    new, before = ("dbackup_job_overdue", "measured"), scraped(web)
    assert before[new] == 0
    assert ("dbackup_job_last_success_timestamp_seconds", "measured") not in before
    report = jobs.run(LOCAL_ADMINISTRATOR, "measured")
    storage = {"storages": ["measured-near"], "backup": report.backup_id}
    integrity(IntegritySpec.model_validate(storage))
    target = f"sqlite://{tmp_path}/back.db"
    wish = {"backup": report.backup_id, "storage": "measured-near", "target": target}
    restored = restore(RestoreSpec.model_validate(wish))
    after = scraped(web)

    def of_job(name: str) -> float:
        return after[f"dbackup_job_{name}", "measured"]

    assert of_job("last_success_timestamp_seconds") == report.started_at.replace(microsecond=0).timestamp()
    assert of_job("last_success_stored_bytes") == report.size
    assert of_job("last_success_dump_bytes") == report.dump_size
    assert of_job("last_success_duration_seconds") > 0
    assert of_job("last_verified_timestamp_seconds") >= int(report.finished_at.timestamp())
    assert of_job("last_restored_timestamp_seconds") >= restored.started_at.timestamp()
    assert of_job("overdue_after_seconds") == 26 * 3600
    for kind in ("backup", "integrity", "restore"):
        counted = ("dbackup_runs_total", kind, "SUCCESS")
        assert after[counted] == before.get(counted, 0) + 1
    for name in ("measured-near", "measured-far"):
        assert after["dbackup_storage_stored_bytes", name] == report.size
        assert after["dbackup_storage_backups", name] == 1
        assert after["dbackup_storage_owed_copies", name] == 0
    assert after["dbackup_prefect_up",] == 1


def test_what_a_destination_is_owed_is_measured(web: str, measured: JobSpec, tmp_path: Path) -> None:
    before = scraped(web)
    with read_only(tmp_path / "far"), pytest.raises(RunFailed):
        jobs.run(LOCAL_ADMINISTRATOR, "measured")
    after, partial = scraped(web), ("dbackup_runs_total", "backup", "PARTIAL")
    assert after["dbackup_storage_owed_copies", "measured-far"] == 1
    assert after[partial] == before.get(partial, 0) + 1


def test_the_same_is_printed_for_a_textfile(web: str) -> None:
    printed = subprocess.run([COMMAND, "metrics"], capture_output=True, text=True, check=True)
    assert printed.stderr == ""
    assert lines(printed.stdout).keys() == scraped(web).keys()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": b"Bearer \xff\xfe"},
        {"Cookie": f"dbackup_session={TOKEN}"},
    ],
)
def test_whoever_does_not_know_the_token_learns_nothing(web: str, headers: dict[str, str]) -> None:
    answer = httpx.get(f"{web}/metrics", headers=headers)
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert "dbackup_" not in answer.text
    assert TOKEN not in answer.text


def test_prometheus_gets_the_form_that_it_asks_for(web: str) -> None:
    wanted = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    answer = httpx.get(f"{web}/metrics", headers={**BEARER, "Accept": wanted}, timeout=30)
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


def test_everybody_may_ask_whether_it_is_well_and_learns_one_word(web: str, home: Path) -> None:
    answer = httpx.get(f"{web}/health", timeout=30)
    assert (answer.status_code, answer.text) == (200, "ok\n")
    assert httpx.get(f"{web}/").status_code == 401


def test_without_a_token_nobody_gets_metrics_and_a_broken_catalog_is_not_healthy(tmp_path: Path) -> None:
    broken = {"DBACKUP_HOME": str(tmp_path / "home"), "DBACKUP_DATABASE_URL": "sqlite:////proc/nothing/catalog.db"}
    with serving(tmp_path, **broken) as url:
        sick, closed = httpx.get(f"{url}/health", timeout=30), httpx.get(f"{url}/metrics", headers=BEARER)
    assert (sick.status_code, sick.text) == (503, "degraded\n")
    assert (closed.status_code, "DBACKUP_METRICS_TOKEN" in closed.text) == (403, True)
    with serving(tmp_path, **broken, DBACKUP_METRICS_TOKEN=TOKEN) as url:
        failed = httpx.get(f"{url}/metrics", headers=BEARER, timeout=30)
    assert (failed.status_code, "catalog" in failed.text, "dbackup_" in failed.text) == (503, True, False)


@pytest.mark.parametrize(("variable", "value"), [("DBACKUP_WEB_PORT", "99999"), ("DBACKUP_METRICS_TOKEN", "too-short")])
def test_a_wrong_setting_is_a_sentence_that_repeats_no_token(tmp_path: Path, variable: str, value: str) -> None:
    environment = {**os.environ, "DBACKUP_HOME": str(tmp_path), variable: value}
    done = subprocess.run(
        [sys.executable, "-m", "dashboard"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, "Traceback" in done.stderr, f"wrong setting: {variable}" in done.stderr) == (
        1,
        False,
        True,
    )
    assert "too-short" not in done.stderr


def test_the_page_about_monitoring_names_every_metric_and_its_alerts_no_other(web: str, measured: JobSpec) -> None:
    page = (Path(__file__).parents[2] / "docs" / "monitoring.md").read_text()
    exposed = {name for name, *_ in scraped(web)}
    rules = yaml.safe_load(page.rpartition("```yaml")[2].partition("```")[0])["groups"][0]["rules"]
    asked = {name for rule in rules for name in re.findall(r"dbackup_\w+", rule["expr"])}
    assert len(rules) == 8
    named = set(re.findall(r"dbackup_\w+", page)) | {"dbackup_job_last_success_dump_bytes"}
    assert asked <= named
    assert {name for name in exposed if name.removesuffix("_total") not in named and name not in named} == set()
