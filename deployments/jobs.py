"""Jobs. A job is a deployment of the backup flow, and its parameters are a JobSpec that names everything.

So whatever edits a job edits one thing, and nothing can drift. Sources, destinations and profiles stand in it by the
names they are saved under: a URL could hold a secret, and a deployment is stored in clear. When it runs is the
deployment's schedule and stands nowhere else; its zone is the job's own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleUpdate, DeploymentUpdate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectNotFound
from pydantic import ValidationError

from blocks.saved import Kind, load
from core.errors import ConfigurationError, NotFound, WrongName
from core.jobs import DEFAULT_QUEUE, SAVED_NAME, Address, JobSpec
from core.log import logger
from deployments import pool
from deployments.client import deploy, prefect_client
from deployments.schedules import Timetable, cron_schedule, timetable
from flows.backup import backup
from services.records import job_changes

TAG = "dbackup-job"  # what tells our deployments from others on a shared server
log = logger(service="jobs")
PAGE = 200  # Prefect gives no more at once


def create(spec: JobSpec, cron: str = "", *, paused: bool = False) -> None:
    """Save a new job that runs by itself when ``cron`` says so, in the job's zone; or only when it is told to.

    One that is ``paused`` does not run by itself until it is resumed.
    Raises ConfigurationError for a name that is taken or a wrong schedule, WrongName for what is not saved.
    """
    _require_name(spec.name)
    schedule = cron_schedule(cron, spec.timezone) if cron else None
    _require_saved(spec)
    with prefect_client() as client:
        if _find(client, spec.name):
            raise ConfigurationError(
                f"there is a job named {spec.name} already",
                hint=f"change it: dbackup job edit {spec.name}; or choose another name",
            )
        _put(spec, schedule, paused=paused)
    _noted(spec.name)


def edit(spec: JobSpec, cron: str | None = None) -> None:
    """Make the job of this name what ``spec`` says, all of it or nothing. Its runs stay, and whether it is paused.

    Without ``cron`` it keeps its schedule, in the job's zone; an empty one takes it away. Raises ConfigurationError as
    :func:`create` does, and when there is no such job.
    """
    if cron:
        cron_schedule(cron, spec.timezone)
    _require_saved(spec)
    pool.ensure()
    with prefect_client() as client:
        found = deployment(client, spec.name)
        described = _described(spec)
        # A schedule that is sent is a new one to Prefect, which would then know no run of it.
        change = DeploymentUpdate(**described, **_rescheduled(found, spec, cron))
        client.update_deployment(found.id, change)
    _noted(spec.name)


def pause(name: str) -> None:
    """Let a job not run by itself until it is resumed. Raises ConfigurationError when it never does."""
    with prefect_client() as client:
        client.pause_deployment(_require_schedule(client, name).id)
    _noted(name)


def resume(name: str) -> None:
    """Let a paused job run by itself again. What it missed while it was paused is not made up."""
    with prefect_client() as client:
        found = _require_schedule(client, name)
        for one in found.schedules:  # written anew even if it is active: only what comes after this can be missed
            client.update_deployment_schedule(found.id, one.id, active=True)
        client.resume_deployment(found.id)
    _noted(name)


def _noted(name: str) -> None:
    """Let others who remember jobs know that this one has changed."""
    try:
        job_changes().note(name)
    except ConfigurationError as error:
        log.warning("others may see this change of a job late", job=name, reason=error.message)


def get(name: str) -> JobSpec:
    """The job of this name. Raises ConfigurationError that names those that exist."""
    with prefect_client() as client:
        return _spec(deployment(client, name))


def timetable_of(name: str) -> Timetable | None:
    """When a job runs by itself; None when it never does. Raises ConfigurationError when there is no such job."""
    with prefect_client() as client:
        return _timetable(deployment(client, name))


def deployment(client: SyncPrefectClient, name: str) -> DeploymentResponse:
    """The deployment that a job is. Raises ConfigurationError that names the jobs that exist."""
    if found := _find(client, name):
        return found
    raise _unknown(client, name)


def _require_schedule(client: SyncPrefectClient, name: str) -> DeploymentResponse:
    found = deployment(client, name)
    if not found.schedules:
        raise ConfigurationError(
            f"the job {name} has no schedule, so it never runs by itself",
            hint=f'give it one: dbackup job edit {name} --cron "0 3 * * *"',
        )
    return found


def _unknown(client: SyncPrefectClient, name: str) -> NotFound:
    others = ", ".join(sorted(one.name for one in deployments(client))) or "none is saved yet"
    return NotFound(
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
class SavedJob:
    """What is to be known of one job's deployment, which holds much more."""

    name: str
    said: JobSpec | UnreadableJob
    created: datetime
    schedules: tuple[DeploymentSchedule, ...]
    paused: bool

    @classmethod
    def of(cls, found: DeploymentResponse) -> SavedJob:
        """The job that a deployment is."""
        created = found.created or datetime.now(UTC)
        return cls(found.name, read(found), created, tuple(found.schedules), bool(found.paused))


@dataclass(frozen=True)
class Jobs:
    """Every job, by name: those that can be read, and those that cannot."""

    readable: tuple[JobSpec, ...]
    unreadable: tuple[UnreadableJob, ...]
    created: Mapping[str, datetime] = field(default_factory=dict)  # when each came to be, by its name
    timetables: Mapping[str, Timetable] = field(default_factory=dict)  # of those that run by themselves, by name

    @classmethod
    def of(cls, saved: Iterable[SavedJob]) -> Jobs:
        """All of these, by name, with the next times from now on."""
        found, now = sorted(saved, key=lambda one: one.name), datetime.now(UTC)
        times = {one.name: timetable(one.schedules, paused=one.paused, now=now) for one in found}
        return cls(
            tuple(one.said for one in found if isinstance(one.said, JobSpec)),
            tuple(one.said for one in found if isinstance(one.said, UnreadableJob)),
            {one.name: one.created for one in found},
            {name: one for name, one in times.items() if one},
        )


def everything() -> Jobs:
    """Every job. One that cannot be read does not keep the others from being known."""
    with prefect_client() as client:
        return Jobs.of(map(SavedJob.of, _each(client)))


def saved(client: SyncPrefectClient, name: str) -> SavedJob | None:
    """The job of this name, or None."""
    found = _find(client, name)
    return SavedJob.of(found) if found and TAG in found.tags else None


def every_saved(client: SyncPrefectClient) -> list[SavedJob]:
    """Every job, in no order."""
    return [SavedJob.of(one) for one in _each(client)]


def delete(name: str) -> None:
    """Forget a job, readable or not. Its backups stay. Raises ConfigurationError when there is none of this name."""
    with prefect_client() as client:
        client.delete_deployment(deployment(client, name).id)
    _noted(name)


def adopt() -> None:
    """Let each job that is in no queue of others use ours, under its label; nobody would take its runs otherwise."""
    with prefect_client() as client:
        for one in deployments(client):
            wanted = _place(read(one))
            if one.work_pool_name in (None, pool.POOL) and one.work_queue_name != wanted["work_queue_name"]:
                client.update_deployment(one.id, DeploymentUpdate(**wanted))


def _place(job: JobSpec | UnreadableJob) -> dict[str, Any]:
    """Where the runs of a job wait."""
    return {
        "work_pool_name": pool.POOL,
        "work_queue_name": job.queue if isinstance(job, JobSpec) else DEFAULT_QUEUE,
    }


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
        raise WrongName(
            f"{name!r} cannot be the name of a job",
            hint="use lower-case letters, digits and dashes, at most 63, for example: nightly-shop",
        )


def _require_saved(spec: JobSpec) -> None:
    """Refuse an address that is no name, and a name that nothing is saved under."""
    for address in (spec.source, *spec.destinations):
        if not Address(address).is_name:
            raise WrongName(
                f"a job names what is saved, and {address.shown} is none",
                hint="save it under a name first: dbackup source add, or dbackup storage add",
            )
    for kind, name in _needs(spec):
        load(kind, name)


def _put(spec: JobSpec, schedule: CronSchedule | None, *, paused: bool) -> None:
    pool.ensure()
    described = _described(spec)
    deploy(
        backup,
        spec.name,
        **described,
        schedules=[schedule] if schedule else [],
        paused=paused and schedule is not None,
        tags=[TAG],
        concurrency_limit=1,  # a job never overlaps itself
    )


def _described(spec: JobSpec) -> dict[str, Any]:
    """What of a deployment says what the job does, and where its runs wait."""
    return {
        "parameters": {"job": spec.model_dump(mode="json"), "trigger": "schedule"},
        "description": f"Back up {spec.source} to {', '.join(spec.destinations)}.",
        **_place(spec),
    }


def _rescheduled(found: DeploymentResponse, spec: JobSpec, cron: str | None) -> dict[str, Any]:
    """What changes of a deployment's schedules; nothing when they say already what is wanted."""
    before = [one.schedule for one in found.schedules]
    crons = [one.cron for one in before if isinstance(one, CronSchedule)]
    if cron is None and len(crons) < len(before):  # somebody made it in Prefect; it is theirs
        return {}
    wanted = [cron_schedule(one, spec.timezone) for one in (crons if cron is None else [cron] if cron else [])]
    if wanted == before:
        return {}
    active = all(one.active for one in found.schedules)
    return {"schedules": [DeploymentScheduleUpdate(schedule=one, active=active) for one in wanted]}


def _timetable(found: DeploymentResponse) -> Timetable | None:
    return timetable(found.schedules, paused=bool(found.paused), now=datetime.now(UTC))


def _find(client: SyncPrefectClient, name: str) -> DeploymentResponse | None:
    try:
        return client.read_deployment_by_name(f"{backup.name}/{name}")
    except ObjectNotFound:
        return None


def deployments(client: SyncPrefectClient, tag: str = TAG) -> list[DeploymentResponse]:
    """Every deployment with a tag of ours, readable or not."""
    return list(_each(client, tag))


def _each(client: SyncPrefectClient, tag: str = TAG) -> Iterator[DeploymentResponse]:
    wanted = DeploymentFilter(tags=DeploymentFilterTags(all_=[tag]))
    offset = 0
    while page := client.read_deployments(deployment_filter=wanted, limit=PAGE, offset=offset):
        yield from page
        offset += len(page)


def read(deployment: DeploymentResponse) -> JobSpec | UnreadableJob:
    """The job that a deployment is, or why it cannot be read."""
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
