"""Where the files of the dashboard lie."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
SCRIPT = HERE / "script.py"
ASSETS = HERE / "assets"
TEMPLATES = HERE / "templates"
ICON = ASSETS / "icon.svg"
