"""``dbackup key``: encryption profiles and their recovery kit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.command import command
from cli.options import Name
from cli.output import Output

if TYPE_CHECKING:
    from rich.console import RenderableType

    from actions.keys import Profile

KIT_WARNING = (
    "This file opens every backup of these profiles. Keep it where the backups are not, offline if you can: "
    "whoever has both can read them, and if this machine is lost, nobody can without it."
)

keys = typer.Typer(help="Encryption profiles: the keys that backups are sealed with.", no_args_is_help=True)


@command(keys)
def create(out: Output, name: Name) -> None:
    """Make a profile with a new key."""
    from actions import keys as vault
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    with out.waiting("saving"):
        made = vault.create(LOCAL_ADMINISTRATOR, name)
    told = f"profile {name} has the key {made.key_ids[0]}"
    advice = f"keep its key elsewhere, too: dbackup key recovery-kit {name} --out {name}-kit.zip"
    out.answer(made, render.done(told), render.note(f"  {advice}"))


@command(keys, "list")
def list_profiles(out: Output) -> None:
    """List the profiles and their keys."""
    from actions import keys as vault
    from actions.door import LOCAL_ADMINISTRATOR

    with out.waiting("looking"):
        found = vault.profiles(LOCAL_ADMINISTRATOR)
    out.answer({"profiles": found}, _listed(found))


@command(keys)
def rotate(out: Output, name: Name) -> None:
    """Give a profile a new key; the old ones go on opening older backups."""
    from actions import keys as vault
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    changed = vault.rotate(LOCAL_ADMINISTRATOR, name)
    told = f"profile {name} now seals with {changed.key_ids[0]}; older keys still open older backups"
    out.answer(changed, render.done(told), render.note(f"  make a new recovery kit: it lacks {changed.key_ids[0]}"))


@command(keys)
def reseal(out: Output) -> None:
    """Seal all that is saved under the first ENCRYPTION_KEY; then older ones can go."""
    from actions import keys as vault
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    with out.waiting("sealing"):
        done = vault.reseal(LOCAL_ADMINISTRATOR)
    told = f"sealed anew: {', '.join(done)}" if done else "everything is sealed under this key already"
    out.answer({"resealed": done}, render.done(told))


@command(keys, "recovery-kit")
def recovery_kit(
    out: Output,
    file: Annotated[Path, typer.Option("--out", metavar="FILE.zip", help="Where to write it; never overwritten.")],
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME...", help="Profiles; none for all.", show_default=False)
    ] = None,
) -> None:
    """Write the keys and a script that opens backups without this program."""
    from actions import keys as vault
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    contained = vault.recovery_kit(LOCAL_ADMINISTRATOR, tuple(names or ()), file)
    out.answer({"file": str(file), "profiles": contained}, render.done(f"{file} is written"), _listed(contained))
    out.note(render.warning(KIT_WARNING))


@command(keys, "import")
def import_kit(
    out: Output, file: Annotated[Path, typer.Argument(metavar="FILE", help="A recovery kit, or its keys.json.")]
) -> None:
    """Bring keys back from a recovery kit."""
    from actions import keys as vault
    from actions.door import LOCAL_ADMINISTRATOR
    from cli import render

    with out.waiting("saving"):
        brought = vault.import_keys(LOCAL_ADMINISTRATOR, file)
    out.answer({"profiles": brought}, render.done("these keys are here now"), _listed(brought))


def _listed(profiles: list[Profile]) -> RenderableType:
    from cli import render

    if not profiles:
        return render.note("there is no profile yet; make one: dbackup key create NAME")
    return render.table(("Profile", "Key", "Older keys"), [(one.name, *_key_ids(one)) for one in profiles])


def _key_ids(profile: Profile) -> tuple[str, str]:
    newest, *older = profile.key_ids
    return newest, ", ".join(older)
