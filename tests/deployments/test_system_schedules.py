"""``prefect deploy --all`` and Python deploy the same table, and the forms in Prefect's pages work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError

from actions import saved
from actions.door import LOCAL_ADMINISTRATOR
from blocks.api import prefect_api
from core.jobs import Address, JobSpec
from deployments import jobs, pool
from deployments.system_schedules import SCHEDULES, ensure

ROOT = Path(__file__).parent.parent.parent
PREFECT = Path(sys.executable).with_name("prefect")


def deployed(name: str) -> dict[str, Any]:
    """What of a deployment decides what it does."""
    with prefect_api(), get_client(sync_client=True) as client:
        found = client.read_deployment_by_name(name)
        told = found.model_dump(
            mode="json",
            include={"name", "description", "tags", "parameters", "paused", "entrypoint", "work_pool_name",
                     "pull_steps", "parameter_openapi_schema", "enforce_parameter_schema"},
        )  # fmt: skip
        client.delete_deployment(found.id)
    limit = found.global_concurrency_limit
    rules = [(one.schedule.model_dump(mode="json"), one.active) for one in found.schedules]
    return told | {"limit": limit.limit if limit else None, "schedules": rules}


def test_prefect_deploys_the_same_as_python(home: Path) -> None:
    pool.ensure()
    with prefect_api() as api:
        done = subprocess.run(
            [PREFECT, "--no-prompt", "deploy", "--all"],
            cwd=ROOT,
            env={**os.environ, "PREFECT_API_URL": api.url, "PREFECT_API_AUTH_STRING": api.auth or ""},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    by_prefect = {one.name: deployed(one.name) for one in SCHEDULES}
    assert set(ensure()) == {one.name for one in SCHEDULES}
    assert ensure() == (), "what is deployed is left as it is"
    by_python = {one.name: deployed(one.name) for one in SCHEDULES}
    assert by_prefect == by_python
    for one in SCHEDULES:
        ((rule, active),) = by_python[one.name]["schedules"]
        assert (rule["cron"], rule["timezone"], active) == (one.cron, "UTC", one.active)
        assert by_python[one.name]["entrypoint"] == one.entrypoint
    assert [one.name for one in SCHEDULES if not one.active] == ["integrity/system"]


@pytest.mark.parametrize(
    ("change", "taken"),
    [
        ({"retries": 5, "exclude": ["tmp*"], "keep": "last=3", "compression": "gzip:6"}, True),
        ({"retries": "many"}, False),
        ({"typo": 1}, False),
    ],
)
def test_the_form_of_a_job_takes_what_is_right_and_refuses_what_is_not(
    home: Path, tmp_path: Path, change: dict[str, Any], taken: bool
) -> None:
    saved.add_source(LOCAL_ADMINISTRATOR, "form-shop", f"sqlite://{tmp_path}/shop.db")
    saved.add_storage(LOCAL_ADMINISTRATOR, "form-near", f"file://{tmp_path}/near")
    jobs.create(JobSpec(name="form", source=Address("form-shop"), destinations=(Address("form-near"),)))
    try:
        with prefect_api(), get_client(sync_client=True) as client:
            found = client.read_deployment_by_name("backup/form")
            wanted = {**found.parameters, "job": {**found.parameters["job"], **change}}
            assert set(wanted) <= set(found.parameter_openapi_schema["properties"])
            if not taken:
                with pytest.raises(PrefectHTTPStatusError, match="409"):
                    client.create_flow_run_from_deployment(found.id, parameters=wanted)
                return
            made = client.create_flow_run_from_deployment(found.id, parameters=wanted)
            assert JobSpec.model_validate(made.parameters["job"]).retries == 5
            client.delete_flow_run(made.id)
    finally:
        jobs.delete("form")
        saved.remove_source(LOCAL_ADMINISTRATOR, "form-shop")
        saved.remove_storage(LOCAL_ADMINISTRATOR, "form-near")
