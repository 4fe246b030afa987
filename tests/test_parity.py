"""The command line and the pages can do the same, but for what is said here, with the reason.

An action is reached from a room when a module there names it. What only one room reaches stands in one of the two
tables below: either the other does the same by another action, or it makes no sense there.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = ("cli", "dashboard")
GUARD = "action"

SAME_BY_FORM = "sources and the like are added by a URL here, and by a form there: forms.add_*"
SAME_BY_QUEUE = "runs in this process; a page puts it into the queue: jobs.enqueue, restores.start, integrity.start"
ONLY_COMMANDS = {
    "apply.apply": "reads a file and secrets of this machine with the rights of who types",
    "apply.plan": "see apply.apply",
    "backups.clean": "the janitor does it every night by itself; by hand it is for who repairs a destination",
    "backups.locate": "what a command asks about before it deletes; a page shows the backup already",
    "backups.foreign": "dbackup clean counts them; nothing here ever touches them",
    "backups.on_storage": "lists a destination without the catalog, which is what pages stand on",
    "backups.rebuild_catalog": "the system does it every night by itself; by hand it brings back a lost catalog",
    "backups.show": "a page shows more of it: inventory.detail",
    "jobs.check_freshness": "the system does it every hour by itself; pages show what it found: overview.everything",
    "jobs.heal": "every run of a job does it; by hand it is for who repairs a destination",
    "jobs.run": SAME_BY_QUEUE,
    "jobs.run_in_queue": SAME_BY_QUEUE,
    "keys.import_keys": "the file is on this machine; a page takes it from the browser: keys.import_uploaded",
    "keys.recovery_kit": "writes on this machine; a page asks for the password again: keys.revealed_kit",
    "keys.reseal": "needs the old and the new ENCRYPTION_KEY, which lie on this machine",
    "queue.run": "is the system that serves the pages",
    "retention.prune": "every run of a job does it; pages show what it would do: retention.preview",
    "runs.back_up": SAME_BY_QUEUE,
    "runs.restore": SAME_BY_QUEUE,
    "runs.verify": SAME_BY_QUEUE,
    "saved.add_channel": SAME_BY_FORM,
    "saved.add_provider": SAME_BY_FORM,
    "saved.add_source": SAME_BY_FORM,
    "saved.add_storage": SAME_BY_FORM,
    "tokens.create_for": "a script that has no page to log in at; people make their own: tokens.create",
    "unfinished.found": "after a restore was killed, by who looks at that server and decides: dbackup clean",
    "unfinished.remove": "after a restore was killed, by who looks at that server and decides: dbackup clean",
    "users.get": "a page has the user in its table: users.page",
    "users.invite_administrator": "made where no administrator can log in yet",
}

OWN = "one's own account, of a person who is logged in; an administrator sets it for others by dbackup user"
SEARCHED = "a command reads the same from the catalog or the storage itself: backups.in_catalog, backups.show"
BEGUN = "a command does it in its own process and shows what comes of it: runs.restore, runs.verify"
PAGED = "a page of a table has to know how many more there are; a command lists them all"
ONLY_PAGES = {
    "account.begin_second_factor": OWN,
    "account.change_password": OWN,
    "account.confirm_second_factor": OWN,
    "account.end_session": OWN,
    "account.own": OWN,
    "account.remove_second_factor": OWN,
    "account.sessions": OWN,
    "audit.count": PAGED,
    "audit.every": "for a spreadsheet; a command gives the same with --json: audit.entries",
    "forms.add_channel": SAME_BY_FORM,
    "forms.add_provider": SAME_BY_FORM,
    "forms.add_source": SAME_BY_FORM,
    "forms.add_storage": SAME_BY_FORM,
    "forms.channel_forms": "an empty form; dbackup notification add takes a URL",
    "forms.provider_forms": "an empty form; dbackup sso add takes a URL",
    "forms.source_forms": "an empty form; dbackup source add takes a URL",
    "forms.storage_forms": "an empty form; dbackup storage add takes a URL",
    "groups.count": PAGED,
    "integrity.checks": "dbackup list and dbackup verify tell it of each backup",
    "integrity.follow": BEGUN,
    "integrity.past": "dbackup run list --kind integrity",
    "integrity.start": BEGUN,
    "inventory.choices": SEARCHED,
    "inventory.detail": SEARCHED,
    "inventory.search": SEARCHED,
    "keys.import_uploaded": "a command reads the file where it lies: keys.import_keys",
    "keys.revealed_kit": "a command writes the kit where it is typed: keys.recovery_kit",
    "overview.everything": "dbackup job list and dbackup job overdue tell it",
    "overview.history": "sums for charts: dbackup list and dbackup run list have what they are of",
    "restores.follow": BEGUN,
    "restores.plan": "a restore looks at all of it before a byte moves, and refuses what exists",
    "restores.start": BEGUN,
    "restores.targets": "dbackup source list",
    "retention.preview": "dbackup job prune --dry-run: retention.prune",
    "system.configuration": "dbackup doctor tells it: doctor.examine",
    "system.healthy": "asked by a load balancer at /health; dbackup doctor tells more",
    "system.versions": "dbackup --version and dbackup doctor",
    "tokens.create": "one's own token; dbackup token create makes it for whoever is named: tokens.create_for",
    "tokens.own": OWN,
    "tokens.own_count": PAGED,
    "tokens.revoke": OWN,
    "users.count": PAGED,
}


def actions() -> set[str]:
    """Every guarded action, by module and name."""
    return {
        f"{path.stem}.{node.name}"
        for path in (ROOT / "actions").glob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and any(map(_guards, node.decorator_list))
    }


def _guards(decorator: ast.expr) -> bool:
    return isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Name) and decorator.func.id == GUARD


def reached() -> dict[str, set[str]]:
    """From which rooms each action is reached."""
    found: dict[str, set[str]] = defaultdict(set)
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            for name in _named(ast.parse(path.read_text())):
                found[name].add(room)
    return found


def _named(tree: ast.Module) -> Iterator[str]:
    """What a module names of the actions, as ``module.name``, by whatever name it has imported them."""
    modules, functions = {}, {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not node.module:
            continue
        package, _, module = node.module.partition(".")
        for one in node.names if package == "actions" else ():
            known = functions if module else modules
            known[one.asname or one.name] = f"{module}.{one.name}" if module else one.name
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            yield f"{modules[node.value.id]}.{node.attr}"
        elif isinstance(node, ast.Name) and node.id in functions:
            yield functions[node.id]


def test_every_action_can_be_reached() -> None:
    assert actions()
    assert actions() - reached().keys() == set()


def test_the_command_line_and_the_pages_reach_the_same_but_for_what_is_said() -> None:
    rooms, every = reached(), actions()
    assert {one for one in every if rooms[one] == {"cli"}} == ONLY_COMMANDS.keys()
    assert {one for one in every if rooms[one] == {"dashboard"}} == ONLY_PAGES.keys()
