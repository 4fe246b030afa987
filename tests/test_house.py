"""What holds for the house as a whole. The direction of imports is checked by import-linter in ``make check``."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES: list[str] = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
LOCKS = {"requirements.lock": "build", "requirements-dev.lock": "dev"}
LONGEST_FILE = 400  # lines


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _required(group: str) -> Iterator[Requirement]:
    yield from map(Requirement, PROJECT["project"]["dependencies"])
    for entry in PROJECT["dependency-groups"][group]:
        if isinstance(entry, str):
            yield Requirement(entry)


def _pins(lock: str) -> dict[str, str]:
    found = re.findall(r"^([\w.-]+)(?:\[[^\]]+\])?==(\S+)", (ROOT / lock).read_text(), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


def test_every_folder_of_the_product_is_installed_and_typed() -> None:
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"}
    assert folders == set(PACKAGES)
    assert [name for name in PACKAGES if not (ROOT / name / "py.typed").exists()] == []


@pytest.mark.parametrize("folder", ["flows", "dashboard"])
def test_no_file_that_may_come_first_on_the_path_shadows_another_module(folder: str) -> None:
    taken = {*PACKAGES, *sys.stdlib_module_names, *packages_distributions()}
    here = {path.stem for path in (ROOT / folder).iterdir() if path.suffix == ".py" or path.is_dir()}
    assert here & taken == set()


def test_no_other_distribution_brings_a_package_of_our_names() -> None:
    installed = packages_distributions()
    foreign = {name: sorted(set(installed.get(name, ())) - {"dbackup"}) for name in PACKAGES}
    assert {name: owners for name, owners in foreign.items() if owners} == {}


def test_every_module_with_code_says_what_it_is() -> None:
    sources = {_name(path): path.read_text() for path in MODULES}
    assert [name for name, source in sources.items() if source and not ast.get_docstring(ast.parse(source))] == []


def test_no_file_is_too_long_to_read() -> None:
    lengths = {_name(path): len(path.read_text().splitlines()) for path in MODULES}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_host_and_pins_every_file_by_hash(lock: str) -> None:
    lines = (ROOT / lock).read_text().splitlines()
    pinned = re.compile(r"[a-z0-9][\w.-]*(\[[\w, -]+\])?==[\w.!+]+( ; [^/@]+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?")
    assert [line for line in lines if not pinned.fullmatch(line)] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_what_the_project_asks_for(lock: str) -> None:
    pins = _pins(lock)
    unmet = [
        str(wanted)
        for wanted in _required(LOCKS[lock])
        if not wanted.specifier.contains(pins.get(canonicalize_name(wanted.name), "0"))
    ]
    assert unmet == [], "the lock is out of date: run make lock"


def test_both_locks_pin_the_same_versions() -> None:
    runtime, development = (_pins(lock) for lock in LOCKS)
    assert runtime.items() <= development.items()
