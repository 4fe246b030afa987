"""What the files for systemd and Docker Compose say is what the program does."""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from core.settings import PREFIX, Settings
from deployments import system

ROOT = Path(__file__).parents[2] / "deployments"
UNIT = ROOT / "systemd" / "dbackup.service"
STOP_SECONDS = system.END_SECONDS + 10 + 2 * 10  # of the worker, and of the two other parts


def service() -> configparser.SectionProxy:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # names in a unit have capitals
    unit.read(UNIT)
    return unit["Service"]


def test_the_service_tells_only_the_supervisor_to_end_and_gives_it_the_time_it_takes() -> None:
    assert service()["KillMode"] == "mixed"
    assert int(service()["TimeoutStopSec"]) > STOP_SECONDS
    assert service()["ExecStart"].endswith("/dbackup up")


def test_systemd_takes_the_service(tmp_path: Path) -> None:
    if not (analyze := shutil.which("systemd-analyze")):
        assert service().parser.sections() == ["Unit", "Service", "Install"]
        return
    installed = str(Path(sys.executable).with_name("dbackup"))
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("/opt/dbackup/.venv/bin/dbackup", installed))
    done = subprocess.run([analyze, "verify", copy], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert UNIT.name not in done.stderr


def test_the_compose_file_sets_only_what_there_is_and_no_secret() -> None:
    composed = yaml.safe_load((ROOT / "compose.yaml").read_text())
    services = composed["services"]
    assert set(services) == {"postgres", "prefect", "dbackup"}
    set_here = [name for name in services["dbackup"]["environment"] if name.startswith(PREFIX)]
    assert {name.removeprefix(PREFIX).lower() for name in set_here} <= set(Settings.model_fields)
    for name, value in services["dbackup"]["environment"].items():
        assert not ("KEY" in name or "AUTH" in name) or value.startswith("${")
    assert int(services["dbackup"]["stop_grace_period"].removesuffix("s")) > STOP_SECONDS
