"""Stops a program of ours at a step, from outside: Python imports this module at its start when it finds it.

``BREAKPOINTS`` names a folder. While there is a file of a step's name in it, whoever comes to that step says so in
``STEP.reached``, with its process id, and waits; but only the job, or the command with ``BREAKPOINT``, of that name.
"""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

STEPS = {
    "initialize": ("services.backups", "plan"),
    "dump": ("services.backups", "dump"),
    "upload": ("services.backups", "upload"),
    "spooled": ("services.spool", "Spool.finish"),  # everything is dumped, and the uploads wait for the word
    "verify": ("services.backups", "prove"),
    "commit": ("services.backups", "commit"),
    "committed": ("db.catalog", "Catalog.record"),  # the manifest is written, and nothing here knows of it
    "complete": ("db.executions", "Executions.finish"),
    "retain": ("services.retention", "apply"),
    "resolve": ("services.stored", "resolve"),
    "download": ("services.restores", "fetch"),
    "load": ("services.restores", "load"),
    "publish": ("services.restores", "compare_and_publish"),
}


def _stop(step: str) -> None:
    from prefect.context import FlowRunContext

    run, folder = FlowRunContext.get(), Path(os.environ["BREAKPOINTS"])
    job = run.parameters.get("job") if run and run.parameters else None
    if step not in (getattr(job, "name", None), os.environ.get("BREAKPOINT")) or not (folder / step).exists():
        return
    (folder / f"{step}.pid").write_text(str(os.getpid()))
    (folder / f"{step}.pid").rename(folder / f"{step}.reached")
    while (folder / step).exists():
        time.sleep(0.02)


def _stopping(step: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        _stop(step)
        return function(*arguments, **named)

    return call


class _Patched(Loader):
    """Loads a module as usual, and puts breakpoints into it."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        for step, (name, path) in STEPS.items():
            if name == module.__name__:
                *parents, last = path.split(".")
                owner = functools.reduce(getattr, parents, module)
                setattr(owner, last, _stopping(step, getattr(owner, last)))


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in {name for name, _ in STEPS.values()}:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec and spec.loader:
            spec.loader = _Patched(spec.loader)
        return spec


if "BREAKPOINTS" in os.environ:
    sys.meta_path.insert(0, _Finder())
