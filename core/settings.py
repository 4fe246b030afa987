"""The settings of the program: one typed place, read from ``DBACKUP_*`` environment variables."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from core.errors import ConfigurationError

PREFIX = "DBACKUP_"


class Settings(BaseSettings):
    """Everything that can be set from outside.

    ``home`` holds the catalog, the generated key and the embedded Prefect server; ``scratch`` the spools of
    running backups (default: a folder in ``home``). ``database_url`` is an SQLAlchemy URL for the catalog
    (default: SQLite in ``home``). ``encryption_key`` may hold several keys separated by commas: the first
    seals, all of them open. ``server_idle`` is after how many seconds without use the embedded server ends,
    ``server_port`` where it listens on the loopback (0: wherever there is room).
    ``lost_after`` is after how many seconds without a sign of life a run of another machine is given up.
    ``web_host`` and ``web_port`` are where pages and metrics are served; ``metrics_token`` opens the metrics, which
    nobody gets without one.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    home: Path = Path("~/.local/share/dbackup")
    scratch: Path | None = None
    database_url: SecretStr | None = None
    encryption_key: SecretStr | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    server_idle: int = Field(default=600, ge=5)
    server_port: int = Field(default=0, ge=0, le=65535)
    lost_after: int = Field(default=75, ge=30)  # five beats; it takes two to tell a missed one from the end
    web_host: str = Field(default="127.0.0.1", min_length=1)
    web_port: int = Field(default=8484, ge=0, le=65535)
    metrics_token: SecretStr | None = Field(default=None, min_length=16)

    def model_post_init(self, context: object) -> None:
        """Make every path absolute once, so that a later change of folder changes nothing."""
        object.__setattr__(self, "home", self.home.expanduser().absolute())
        if self.scratch:
            object.__setattr__(self, "scratch", self.scratch.expanduser().absolute())

    def told(self) -> dict[str, str]:
        """Every setting by the name of its variable, as it may be shown: of a secret only whether it is set."""
        return {f"{PREFIX}{name.upper()}": _told(value) for name, value in self}

    def given(self) -> frozenset[str]:
        """The names of the variables that are set; every other setting is what the program begins with."""
        return frozenset(f"{PREFIX}{name.upper()}" for name in self.model_fields_set)

    @property
    def runs(self) -> Path:
        """The folder for the private folders of running backups and restores."""
        return self.scratch or self.home / "runs"

    @property
    def catalog_url(self) -> str:
        """The SQLAlchemy URL of the catalog."""
        if self.database_url:
            return self.database_url.get_secret_value()
        return f"sqlite:///{quote(str(self.home / 'catalog.db'))}"


def _told(value: object) -> str:
    if value is None:
        return "not set"
    return "set" if isinstance(value, SecretStr) else str(value)


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process. Raises ConfigurationError that names each variable that is wrong."""
    try:
        return Settings()
    except ValidationError as error:
        wrong = "; ".join(f"{PREFIX}{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors())
        raise ConfigurationError(f"wrong setting: {wrong}", hint="correct or unset the variable") from None
