"""The HTTP API as scripts use it, over real HTTP: what a token opens, what it does not, and how a failure is told."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from actions import jobs, saved, tokens
from actions.door import LOCAL_ADMINISTRATOR
from core.jobs import JobSpec
from core.permissions import Permission
from services.accounts.tokens import Wish
from tests.dashboard.entering import Site, person

JOBS_READ, JOBS_EXECUTE = Permission.JOBS_READ, Permission.JOBS_EXECUTE


class Api:
    """A script with a token, or without one."""

    def __init__(self, site: Site, secret: str = "") -> None:
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        self.client = httpx.Client(base_url=f"{site.root}/api/v1", headers=headers, timeout=60)

    def get(self, path: str, status: int = 200) -> Any:
        answer = self.client.get(path)
        assert answer.status_code == status, answer.text
        return answer.json()

    def post(self, path: str, status: int = 202) -> Any:
        answer = self.client.post(path)
        assert answer.status_code == status, answer.text
        return answer.json()


def token(owner: str, *scopes: Permission) -> str:
    return tokens.create_for(LOCAL_ADMINISTRATOR, owner, Wish("a script", frozenset(scopes))).secret


@pytest.fixture(scope="module")
def shops(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Two jobs of two sources; one of them was run."""
    folder = tmp_path_factory.mktemp("api")
    saved.add_storage(LOCAL_ADMINISTRATOR, "api-nas", f"file://{folder}")
    for name in ("api-shop", "api-crm"):
        with closing(sqlite3.connect(folder / f"{name}.db")) as connection:
            connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
        saved.add_source(LOCAL_ADMINISTRATOR, name, f"sqlite://{folder}/{name}.db")
        spec = JobSpec.model_validate({"source": name, "destinations": ["api-nas"], "name": f"nightly-{name}"})
        jobs.create(LOCAL_ADMINISTRATOR, spec, "0 3 * * *" if name == "api-shop" else "")
    jobs.run(LOCAL_ADMINISTRATOR, "nightly-api-shop")
    yield
    for name in ("api-shop", "api-crm"):
        jobs.delete(LOCAL_ADMINISTRATOR, f"nightly-{name}")
        saved.remove_source(LOCAL_ADMINISTRATOR, name)
    saved.remove_storage(LOCAL_ADMINISTRATOR, "api-nas")


@pytest.fixture(scope="module")
def script(site: Site, shops: None) -> Api:
    """A script that may do all that the API does."""
    return Api(site, token("root", JOBS_READ, JOBS_EXECUTE, Permission.BACKUPS_READ))


@pytest.fixture(scope="module")
def limited(site: Site, shops: None) -> Api:
    """One of somebody who is limited to one source."""
    mine = (JOBS_READ, JOBS_EXECUTE, Permission.BACKUPS_READ)
    return Api(site, token(person("shopkeeper", *mine, sources=frozenset({"api-shop"})), *mine))


def test_jobs_are_told_with_what_they_did_and_when_they_run(script: Api) -> None:
    found = {one["name"]: one for one in script.get("/jobs")["jobs"]}
    shop = found["nightly-api-shop"]
    assert (shop["source"], shop["destinations"], shop["cron"]) == ("api-shop", ["api-nas"], "0 3 * * *")
    assert shop["last_run"]["state"] == "SUCCESS"
    assert shop["next_run"].endswith("03:00:00Z")
    assert (found["nightly-api-crm"]["last_run"], found["nightly-api-crm"]["next_run"]) == (None, None)


def test_a_job_is_put_into_the_queue_and_its_run_is_followed_by_its_id(script: Api) -> None:
    answer = script.client.post("/jobs/nightly-api-shop/runs")
    assert answer.status_code == 202
    queued = answer.json()
    assert answer.headers["location"] == queued["status"] == f"/api/v1/runs/{queued['run_id']}"
    run = script.get(f"/runs/{queued['run_id']}")
    assert (run["run_id"], run["kind"], run["job"]) == (queued["run_id"], "backup", "nightly-api-shop")
    assert (run["state"], run["is_final"], run["trigger"]) == ("PENDING", False, "manual")


def test_backups_are_told_newest_first_and_whether_there_are_more(script: Api) -> None:
    (found,) = script.get("/backups?job=nightly-api-shop")["backups"]
    assert (found["source"], found["engine"], found["storages"]) == ("api-shop", "sqlite", ["api-nas"])
    assert found["size"] > 0
    assert script.get("/backups?job=nightly-api-crm") == {"backups": [], "more": False}


def test_a_limited_token_sees_and_runs_only_its_own_and_learns_no_other_name(limited: Api) -> None:
    assert [one["name"] for one in limited.get("/jobs")["jobs"]] == ["nightly-api-shop"]
    assert {one["source"] for one in limited.get("/backups")["backups"]} == {"api-shop"}
    others = limited.post("/jobs/nightly-api-crm/runs", status=403)
    assert others == limited.post("/jobs/there-is-none/runs", status=403)
    assert "api-crm" not in str(others)


def test_a_token_opens_only_its_scopes(site: Site, shops: None) -> None:
    reader = Api(site, token("root", JOBS_READ))
    reader.get("/jobs")
    assert JOBS_EXECUTE.value in reader.post("/jobs/nightly-api-shop/runs", status=403)["message"]
    assert Permission.BACKUPS_READ.value in reader.get("/backups", status=403)["message"]


def test_runs_that_have_ended_are_listed_by_source_and_within_the_limits_of_a_token(site: Site, script: Api) -> None:
    found = script.get("/runs?source=api-shop&kind=backup&state=SUCCESS")
    assert [(one["job"], one["source"], one["is_final"]) for one in found["runs"]] == [
        ("nightly-api-shop", "api-shop", True)
    ]
    assert found["total"] == 1
    assert script.get("/runs?source=api-shop&limit=1&offset=1") == {"runs": [], "total": 1}
    assert script.get("/runs?source=api-crm")["total"] == 0
    for asked in ("state=LOST", "limit=0", "sauce=api-shop"):
        script.get(f"/runs?{asked}", status=422)
    person("crm-only", JOBS_READ, Permission.TOKENS_OWN, sources=frozenset({"api-crm"}))
    limited = Api(site, token("crm-only", JOBS_READ))
    assert limited.get("/runs") == {"runs": [], "total": 0}
    assert limited.get("/runs?source=api-shop")["total"] == 0


def test_what_is_not_there_is_said_as_json(script: Api) -> None:
    problem = script.post("/jobs/nope/runs", status=404)
    assert "no job named nope" in problem["message"]
    assert problem["hint"]
    script.get("/runs/00000000-0000-0000-0000-000000000000", status=404)
    assert script.get("/nothing", status=404)["message"] == "not found"
    assert script.get("/jobs/x/runs", status=405)["message"] == "method not allowed"
    assert "query.limit" in script.get("/backups?limit=0", status=422)["message"]


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer x", "Basic cm9vdDpyb290", b"Bearer \xff\xfe"])
def test_nothing_but_a_token_opens_anything(site: Site, authorization: str | bytes) -> None:
    answer = httpx.get(f"{site.root}/api/v1/jobs", headers={"Authorization": authorization}, timeout=60)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.json().keys() == {"message", "hint"}


def test_a_cookie_opens_nothing_here(site: Site) -> None:
    person = site.inside("root")
    assert person.get("/api/v1/jobs").status_code == 401
    assert person.post("/api/v1/jobs/x/runs").status_code == 401
    riding = {"Authorization": "Bearer x", "origin": "https://evil.example"}
    assert person.post("/api/v1/jobs/x/runs", headers=riding).status_code == 403


def test_a_token_that_was_ended_or_has_expired_opens_nothing(site: Site) -> None:
    made = tokens.create_for(LOCAL_ADMINISTRATOR, "root", Wish("old", frozenset({JOBS_READ}), timedelta(seconds=1)))
    ended = tokens.create_for(LOCAL_ADMINISTRATOR, "root", Wish("ended", frozenset({JOBS_READ})))
    Api(site, ended.secret).get("/jobs")
    tokens.revoke_any(LOCAL_ADMINISTRATOR, ended.token.token_id)
    Api(site, ended.secret).get("/jobs", status=401)
    script = Api(site, made.secret)
    while script.client.get("/jobs").status_code == 200:
        pass
    script.get("/jobs", status=401)


def test_it_describes_itself_and_loads_nothing_from_outside(site: Site) -> None:
    api = Api(site)
    described = api.get("/openapi.json")
    assert set(described["paths"]) == {"/health", "/jobs", "/jobs/{name}/runs", "/runs", "/runs/{run_id}", "/backups"}
    assert "http" not in str(described["paths"]).replace("HTTP", "").replace("http_", "")
    for page in ("/docs", "/redoc"):
        api.get(page, status=404)


def test_health_takes_no_token(site: Site) -> None:
    assert Api(site).get("/health") == {"status": "ok"}


def test_every_route_is_on_the_page_about_the_api(site: Site) -> None:
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    described = Api(site).get("/openapi.json")["paths"]
    routes = [f"{method.upper()} {path}" for path, methods in described.items() for method in methods]
    assert [one for one in routes if one.replace("{name}", "NAME").replace("{run_id}", "RUN") not in page] == []


def test_too_many_wrong_tokens_have_to_wait_and_a_right_one_has_not(site: Site, script: Api) -> None:
    wrong = Api(site, "dbk_wrong")
    for _ in range(30):
        answer = wrong.client.get("/jobs")
        if answer.status_code == 429:
            break
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["message"] == "too many wrong tokens came from this address"
    script.get("/jobs")
