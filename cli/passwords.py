"""Ways to give a password without writing it where others see it: a prompt, standard input, the environment.

It is put into the URL inside this process, percent-encoded. Children do not inherit the variable.
"""

from __future__ import annotations

import getpass
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote, urlsplit, urlunsplit

import typer

from cli.output import WrongUsage

if TYPE_CHECKING:
    from pydantic import SecretStr

    from core.jobs import Address

VARIABLE = "DBACKUP_PASSWORD"

FromStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from the first line of standard input.")
]
Asked = Annotated[bool, typer.Option("--ask-password", help=f"Ask for the password; {VARIABLE} works too.")]


@dataclass(frozen=True)
class Password:
    """Where a password comes from; from the environment when from nowhere else."""

    stdin: bool = False
    ask: bool = False

    def into(self, address: Address) -> Address:
        """The address with the password in it. Raises WrongUsage where there is no place or no need for one."""
        variable = os.environ.pop(VARIABLE, None)
        if not (self.stdin or self.ask):
            return _completed(address, variable) if variable and _lacks_password(address) else address
        if self.stdin and self.ask:
            raise WrongUsage("a password cannot come from standard input and a prompt", hint="choose one of the two")
        _require_place(address)
        return _completed(address, _first_line() if self.stdin else _asked())


def new_password(*, stdin: bool) -> SecretStr:
    """A password that is set, from standard input or asked for twice. Raises WrongUsage when the two differ."""
    from pydantic import SecretStr

    password = _first_line() if stdin else _asked()
    if not stdin and _asked("Once more: ") != password:
        raise WrongUsage("the two passwords differ", hint="type the same one twice")
    return SecretStr(password)


def existing_secret(*, stdin: bool) -> SecretStr:
    """A secret that another system gave us, from standard input or asked for. Raises WrongUsage without a terminal."""
    from pydantic import SecretStr

    return SecretStr(_first_line() if stdin else _asked("Client secret: ", "use --secret-stdin, or --no-secret"))


def asked_secret(field: str) -> SecretStr:
    """A secret by the name of its field: asked for, or from the environment for a password. Raises WrongUsage."""
    from pydantic import SecretStr

    variable = os.environ.pop(VARIABLE, None) if field == "password" else None
    return SecretStr(variable or _asked(f"{field}: ", f"use --stdin {field}"))


def piped_secret() -> SecretStr:
    """A secret from the first line of standard input. Raises WrongUsage for none."""
    from pydantic import SecretStr

    return SecretStr(_first_line())


def _lacks_password(address: Address) -> bool:
    """Whether a URL names a user without a password."""
    login, at, _ = _netloc(address).rpartition("@")
    return bool(at) and bool(login) and ":" not in login


def _require_place(address: Address) -> None:
    if not _netloc(address):
        raise WrongUsage(
            "there is no place for a password: this address is a saved name or a path",
            hint="saved names have their password already; paths need none",
        )
    if ":" in _netloc(address).rpartition("@")[0]:
        raise WrongUsage("the URL has a password already", hint="leave it out of the URL")


def _netloc(address: Address) -> str:
    try:
        return urlsplit(address).netloc
    except ValueError:
        return ""


def _completed(address: Address, password: str) -> Address:
    from core.jobs import Address
    from core.masking import remember

    remember(password)
    parts = urlsplit(address)
    user, _, host = parts.netloc.rpartition("@")
    return Address(urlunsplit(parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}")))


def _first_line() -> str:
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise WrongUsage("standard input holds no password", hint="pipe it in: pass show shop | dbackup …")
    return password


def _asked(prompt: str = "Password: ", otherwise: str = f"use --password-stdin or the variable {VARIABLE}") -> str:
    if not sys.stdin.isatty():
        raise WrongUsage("there is no terminal to ask for the password on", hint=otherwise)
    return getpass.getpass(prompt, stream=sys.stderr)
