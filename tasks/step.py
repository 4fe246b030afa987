"""What every step of ours has in common, as a Prefect task.

Live objects pass between steps by reference, so nothing is cached or persisted. An error that nobody foresaw may
quote a secret of ours: it is masked before Prefect can store it.
"""

from __future__ import annotations

import functools
import inspect
import traceback
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun

from core.errors import DBackupError, UnexpectedError
from core.log import logger
from core.masking import mask

P = ParamSpec("P")
R = TypeVar("R")

FIRST_PAUSE = 2.0  # seconds; doubles with each further try
LONGEST_PAUSE = 300.0  # seconds
log = logger(service="run")


def step(name: str, run_name: str | None = None) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Make a function a step. ``run_name`` may use its parameters: ``dump {item.label}``."""

    def decorate(function: Callable[P, R]) -> Task[P, R]:
        return Task(
            guarded(function),
            name=name,
            task_run_name=run_name or name,
            cache_policy=NO_CACHE,
            persist_result=False,
        )

    return decorate


def guarded(function: Callable[P, R]) -> Callable[P, R]:
    """Let our own errors through and mask every other."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except DBackupError:
            raise
        except Exception as error:  # noqa: BLE001 - the edge: nothing unmasked may reach Prefect
            log.error("unexpected error", step=function.__name__, trace=mask(traceback.format_exc()))
            raise UnexpectedError(
                f"unexpected {type(error).__name__}: {mask(str(error))}",
                hint="this is a fault of the program: please report it with the run's log",
            ) from None

    # Prefect reads the types of the parameters, and would look for their names in this module.
    call.__signature__ = inspect.signature(function, eval_str=True)  # type: ignore[attr-defined]
    call.__annotations__ = inspect.get_annotations(function, eval_str=True)
    return call


def retried(task: Task[P, R], retries: int) -> Task[P, R]:
    """The same step, tried again with growing pauses as long as trying again can help."""
    return task.with_options(
        retries=retries,
        retry_delay_seconds=[min(FIRST_PAUSE * 2**attempt, LONGEST_PAUSE) for attempt in range(retries)] or 0,
        retry_condition_fn=_worth_trying_again,
    )


def _worth_trying_again(task: Task[Any, Any], run: TaskRun, state: State[Any]) -> bool:
    error = state.result(raise_on_failure=False)
    if isinstance(error, DBackupError) and error.permanent:
        return False
    log.warning("failed, and is tried again", step=run.name or task.name, reason=mask(str(error)))
    return True
