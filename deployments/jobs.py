"""Jobs. A job is a deployment of the backup flow, and its parameters are a JobSpec that names everything.

So whatever edits a job edits one thing, and nothing can drift. Sources, destinations and profiles stand in it by the
names they are saved under: a URL could hold a secret, and a deployment is stored in clear.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.responses import DeploymentResponse
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectNotFound
from prefect.types.entrypoint import EntrypointType
from pydantic import ValidationError

from blocks.saved import Kind, load
from core.errors import ConfigurationError
from core.jobs import SAVED_NAME, Address, JobSpec
from deployments import pool
from deployments.client import prefect_client
from flows.backup import backup

TAG = "dbackup-job"  # what tells our deployments from others on a shared server
PAGE = 200  # Prefect gives no more at once


def create(spec: JobSpec) -> None:
    """Save a new job. Raises ConfigurationError for a name that is taken or wrong, or for what is not saved."""
    _require_name(spec.name)
    _require_saved(spec)
    with prefect_client() as client:
        if _find(client, spec.name):
            raise ConfigurationError(
                f"there is a job named {spec.name} already",
                hint=f"choose another name, or delete it first: dbackup job delete {spec.name}",
            )
        _put(spec)


def get(name: str) -> JobSpec:
    """The job of this name. Raises ConfigurationError that names those that exist."""
    with prefect_client() as client:
        if found := _find(client, name):
            return _spec(found)
        raise _unknown(client, name)


def _unknown(client: SyncPrefectClient, name: str) -> ConfigurationError:
    others = ", ".join(sorted(one.name for one in _deployments(client))) or "none is saved yet"
    return ConfigurationError(
        f"there is no job named {name} (saved: {others})", hint=f"make it with: dbackup job create {name} …"
    )


@dataclass(frozen=True)
class UnreadableJob:
    """A job whose parameters somebody has broken, and what to do about it."""

    name: str
    problem: str
    hint: str
    texts: str | None = field(default=None, repr=False)  # all it says; None when it does not say what it needs

    def may_need(self, name: str) -> bool:
        """Whether it may need what is saved under a name, as far as can be known."""
        return self.texts is None or name in self.texts


@dataclass(frozen=True)
class Jobs:
    """Every job, by name: those that can be read, and those that cannot."""

    readable: tuple[JobSpec, ...]
    unreadable: tuple[UnreadableJob, ...]
    created: Mapping[str, datetime] = field(default_factory=dict)  # when each came to be, by its name


def everything() -> Jobs:
    """Every job. One that cannot be read does not keep the others from being known."""
    with prefect_client() as client:
        deployments = sorted(_deployments(client), key=lambda one: one.name)
    found = [_read(one) for one in deployments]
    return Jobs(
        tuple(one for one in found if isinstance(one, JobSpec)),
        tuple(one for one in found if isinstance(one, UnreadableJob)),
        {one.name: one.created or datetime.now(UTC) for one in deployments},
    )


def delete(name: str) -> None:
    """Forget a job, readable or not. Its backups stay. Raises ConfigurationError when there is none of this name."""
    with prefect_client() as client:
        if not (found := _find(client, name)):
            raise _unknown(client, name)
        client.delete_deployment(found.id)


def using(kind: Kind, name: str) -> list[str]:
    """The jobs that need what is saved under this name, and those that may, because they cannot be read."""
    jobs = everything()
    need = [spec.name for spec in jobs.readable if (kind, name) in _needs(spec)]
    return need + [f"{one.name} (which cannot be read)" for one in jobs.unreadable if one.may_need(name)]


def _needs(spec: JobSpec) -> list[tuple[Kind, str]]:
    needs = [(Kind.SOURCE, str(spec.source)), *((Kind.STORAGE, str(one)) for one in spec.destinations)]
    needs += [(Kind.NOTIFICATION, rule.channel) for rule in spec.notify]
    return [*needs, (Kind.PROFILE, spec.profile)] if spec.profile else needs


def _require_name(name: str) -> None:
    if not SAVED_NAME.fullmatch(name):
        raise ConfigurationError(
            f"{name!r} cannot be the name of a job",
            hint="use lower-case letters, digits and dashes, at most 63, for example: nightly-shop",
        )


def _require_saved(spec: JobSpec) -> None:
    """Refuse an address that is no name, and a name that nothing is saved under."""
    for address in (spec.source, *spec.destinations):
        if not Address(address).is_name:
            raise ConfigurationError(
                f"a job names what is saved, and {address.shown} is none",
                hint="save it under a name first: dbackup source add, or dbackup storage add",
            )
    for kind, name in _needs(spec):
        load(kind, name)


def _put(spec: JobSpec) -> None:
    pool.ensure()
    RunnerDeployment.from_flow(
        backup,
        name=spec.name,
        parameters={"job": spec.model_dump(mode="json"), "trigger": "schedule"},
        description=f"Back up {spec.source} to {', '.join(spec.destinations)}.",
        tags=[TAG],
        work_pool_name=pool.POOL,
        concurrency_limit=1,  # a job never overlaps itself
        entrypoint_type=EntrypointType.MODULE_PATH,
    ).apply()


def _find(client: SyncPrefectClient, name: str) -> DeploymentResponse | None:
    try:
        return client.read_deployment_by_name(f"{backup.name}/{name}")
    except ObjectNotFound:
        return None


def _deployments(client: SyncPrefectClient) -> list[DeploymentResponse]:
    wanted = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG]))
    found: list[DeploymentResponse] = []
    while page := client.read_deployments(deployment_filter=wanted, limit=PAGE, offset=len(found)):
        found += page
    return found


def _read(deployment: DeploymentResponse) -> JobSpec | UnreadableJob:
    try:
        return _spec(deployment)
    except ConfigurationError as error:
        said = (deployment.parameters or {}).get("job")
        complete = isinstance(said, Mapping) and {"source", "destinations"} <= said.keys()
        texts = json.dumps(said, default=str) if complete else None
        return UnreadableJob(deployment.name, error.message, error.hint, texts)


def _spec(deployment: DeploymentResponse) -> JobSpec:
    """The JobSpec of a deployment, which anybody with Prefect's UI may have edited. Raises ConfigurationError."""
    parameters: Mapping[str, Any] = deployment.parameters or {}
    try:
        return JobSpec.model_validate({**parameters.get("job", {}), "name": deployment.name})
    except (ValidationError, TypeError) as error:
        reason = str(error.errors(include_input=False)[0]["msg"]) if isinstance(error, ValidationError) else str(error)
        raise ConfigurationError(
            f"the job {deployment.name} cannot be read: {reason}",
            hint=f"correct its parameters in Prefect, or make it anew: dbackup job delete {deployment.name}",
        ) from None
