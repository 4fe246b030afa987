"""A Prefect flow whose addresses are sealed before they become parameters, which Prefect stores in clear."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any, Generic, ParamSpec, TypeVar, cast

from prefect import Flow
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY
from prefect.states import Failed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from pydantic_core import to_jsonable_python

from blocks.addresses import seal
from blocks.api import prefect_api
from blocks.prefect_settings import changed_settings
from core.errors import ConfigurationError, ConnectionError, DBackupError, RunFailed
from core.log import logger
from core.masking import mask
from core.reports import BackupReport, CleaningReport, Failure, HealReport, IntegrityReport, RestoreReport
from core.upkeep import CatalogReport, OverdueReport
from tasks import bookkeeping, heartbeat
from tasks.step import guarded

P = ParamSpec("P")
R = TypeVar("R")

Report = TypeVar(
    "Report",
    BackupReport,
    RestoreReport,
    IntegrityReport,
    HealReport,
    CleaningReport,
    CatalogReport,
    OverdueReport,
)

_told: ContextVar[list[Any]] = ContextVar("told")
log = logger(service="prefect")
WORKERS = 1000  # threads, made when needed: with few, the uploads that wait for a slow destination hold up all others


class SealedFlow(Flow[P, R], Generic[P, R]):
    """Seals the addresses of every parameter that has some, and finds a Prefect API, when it is called."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:  # type: ignore[override]
        """Run the flow in this process. Raises RunFailed with the report unless the run is a success."""
        with _remembered() as told:
            try:
                return self._run(*args, **kwargs)
            except DBackupError:
                raise
            except Exception as error:  # noqa: BLE001 - the edge: Prefect has failed, and what it raises is not ours
                return cast(R, _by_our_own_record(told, error))

    def serialize_parameters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """The parameters as Prefect stores them.

        Prefect's own way is the same, but imports a whole web framework for it, which takes as long as all else that a
        small run has to do.
        """
        return {name: to_jsonable_python(one, fallback=_placeholder) for name, one in parameters.items()}

    def _run(self, *args: P.args, **kwargs: P.kwargs) -> R:
        with prefect_api(), _unwatched(), _alive_until_the_end():
            named = {name: _sealed(one) for name, one in kwargs.items()}
            return cast(R, super().__call__(*map(_sealed, args), **named))


def _placeholder(value: Any) -> str:
    return f"<{type(value).__name__}>"


@contextmanager
def _unwatched() -> Iterator[None]:
    """Nobody watches the heartbeat of a run in its caller's own process, and its thread ends up to a second late."""
    if PREFECT_FLOWS_HEARTBEAT_FREQUENCY.value() is None:
        yield
        return
    with changed_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield


@contextmanager
def _remembered() -> Iterator[list[Any]]:
    """What :func:`ended` was told within this context."""
    told: list[Any] = []
    token = _told.set(told)
    try:
        yield told
    finally:
        _told.reset(token)


@contextmanager
def _alive_until_the_end() -> Iterator[None]:
    """A run within this context lives until Prefect has heard of its end."""
    with ExitStack() as held:
        token = heartbeat.life.set(held)
        try:
            yield
        finally:
            heartbeat.life.reset(token)


def _by_our_own_record(told: Sequence[Any], error: Exception) -> Any:
    """The outcome of a run during which Prefect failed: the report, when the run came to its end all the same."""
    reason = f"{type(error).__name__}: {mask(str(error))}".rstrip(": ")
    if not told:
        raise ConnectionError(
            f"the Prefect API failed before the run was over: {reason}",
            hint="look at its log and start again; dbackup list --at DEST shows what is stored",
        ) from None
    log.warning("Prefect's history lacks the end of this run", reason=reason)
    report = told[-1]
    if report.state.is_good:
        return report
    raise _failure(report) from None


def _sealed(parameter: Any) -> Any:
    if isinstance(parameter, Mapping):  # Prefect would store what is in it before anybody could seal it
        raise ConfigurationError(
            "a flow takes a JobSpec, a RestoreSpec or an IntegritySpec, not a dictionary",
            hint="make one first: JobSpec.model_validate({...})",
        )
    return parameter.sealed(seal) if hasattr(parameter, "sealed") else parameter


def sealed_flow(name: str) -> Callable[[Callable[P, R]], SealedFlow[P, R]]:
    """Make a function one of our flows."""

    threads: TaskRunner[PrefectFuture[Any]] = ThreadPoolTaskRunner(max_workers=WORKERS)  # type: ignore[assignment]

    def decorate(function: Callable[P, R]) -> SealedFlow[P, R]:
        return SealedFlow(
            guarded(_alive(function)),
            name=name,
            task_runner=threads,
            persist_result=False,
            log_prints=False,
        )

    return decorate


def _alive(function: Callable[P, R]) -> Callable[P, R]:
    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        heartbeat.begin()
        return function(*args, **kwargs)

    return call


def ended(report: Report) -> Report:
    """What a flow gives for its report: the report of a success, else a failed state that raises RunFailed.

    A partial run is a failed state of Prefect's, by the name Partial, so that it is seen.
    """
    _told.get([]).append(report)  # a worker of Prefect's runs a flow without calling it: nobody asks then
    if report.state.is_good:
        return report
    error = _failure(report)
    failed: State[Any] = Failed(name=report.state.value.capitalize(), message=error.message, data=error)
    return cast(Report, failed)  # Prefect takes a state for a result and gives the caller what is in it


def _failure(report: bookkeeping.Report) -> RunFailed:
    first = next(iter(report.failures))
    return RunFailed(f"{report.summary}: {first}", hint=first.hint, report=report)


def failure_of(subject: str, future: PrefectFuture[Any]) -> Failure | None:
    """Wait for a submitted step, and give why it failed, or None."""
    outcome = future.result(raise_on_failure=False)
    if isinstance(outcome, DBackupError):
        return Failure.of(subject, outcome)
    if isinstance(outcome, BaseException):
        return Failure(subject=subject, reason=mask(str(outcome)))
    return None
