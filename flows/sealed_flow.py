"""A Prefect flow whose addresses are sealed before they become parameters, which Prefect stores in clear."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, ParamSpec, TypeVar, cast

from prefect import Flow
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.states import Failed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from blocks.addresses import seal
from blocks.api import prefect_api
from core.errors import ConfigurationError, DBackupError, RunFailed
from core.masking import mask
from core.reports import BackupReport, Failure, HealReport, IntegrityReport, RestoreReport
from tasks.step import guarded

P = ParamSpec("P")
R = TypeVar("R")

Report = TypeVar("Report", BackupReport, RestoreReport, IntegrityReport, HealReport)

WORKERS = 32  # threads for uploads and checks; they wait more than they work


class SealedFlow(Flow[P, R], Generic[P, R]):
    """Seals the addresses of every parameter that has some, and finds a Prefect API, when it is called."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:  # type: ignore[override]
        """Run the flow in this process. Raises RunFailed with the report unless the run is a success."""
        # Nobody watches the heartbeat of a run in its caller's own process, and its thread ends up to a second late.
        with prefect_api(), temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
            named = {name: _sealed(one) for name, one in kwargs.items()}
            return cast(R, super().__call__(*map(_sealed, args), **named))


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
            guarded(function),
            name=name,
            task_runner=threads,
            persist_result=False,
            log_prints=False,
        )

    return decorate


def ended(report: Report) -> Report:
    """What a flow gives for its report: the report of a success, else a failed state that raises RunFailed.

    A partial run is a failed state of Prefect's, by the name Partial, so that it is seen.
    """
    if report.state.is_good:
        return report
    first = next(iter(report.failures))
    error = RunFailed(f"{report.summary}: {first}", hint=first.hint, report=report)
    failed: State[Any] = Failed(name=report.state.value.capitalize(), message=error.message, data=error)
    return cast(Report, failed)  # Prefect takes a state for a result and gives the caller what is in it


def failure_of(subject: str, future: PrefectFuture[Any]) -> Failure | None:
    """Wait for a submitted step, and give why it failed, or None."""
    outcome = future.result(raise_on_failure=False)
    if isinstance(outcome, DBackupError):
        return Failure.of(subject, outcome)
    if isinstance(outcome, BaseException):
        return Failure(subject=subject, reason=mask(str(outcome)))
    return None
