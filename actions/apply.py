"""Making a system agree with a file: first the difference, then each step of it through the action that it is.

Secrets are compared and never shown: a difference says that one is set, changed or removed. What a file does not say of
a thing that it names goes back to its default. Things that it does not name stay, unless they are to be pruned; keys of
profiles are never removed nor replaced. References to secrets are resolved in this process, so only what runs for
whoever owns it, the command line, may read files for this.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from actions import forms, groups, jobs, keys, saved
from actions.differences import Difference, of_job, of_place, wanted_place
from actions.door import Identity, action
from core.errors import ConfigurationError, DBackupError
from core.marked_yaml import MarkedFile
from core.permissions import Permission
from core.rights import Grant
from core.wanted import Wanted, WantedGroup, WantedJob
from services.accounts.groups import Group

if TYPE_CHECKING:
    from blocks.saved import Kind

Verb = Literal["create", "change", "remove"]
_PAST = {"create": "created", "change": "changed", "remove": "removed"}
_MOST_GROUPS = 10_000


class Stopped(DBackupError):
    """A step failed; those before it are done, and those after it are not."""


@dataclass(frozen=True)
class Step:
    """One thing to create, change or remove, and how."""

    verb: Verb
    kind: str
    name: str
    differences: tuple[Difference, ...] = ()
    perform: Callable[[Identity], object] = field(default=lambda who: None, repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.shown} {_PAST[self.verb]}"

    @property
    def shown(self) -> str:
        """What it is about, as people call it."""
        return f"{'channel' if self.kind == 'notification' else self.kind} {self.name}"


@dataclass(frozen=True)
class Plan:
    """The steps in the order in which they work, and how many things agree already."""

    steps: tuple[Step, ...]
    unchanged: int


@dataclass(frozen=True)
class _Section:
    """A kind of place, and the actions that manage it."""

    name: str
    kind: str
    permission: Permission
    add: Callable[..., None]
    change: Callable[..., None]
    remove: Callable[..., None]


_PLACES = (
    _Section("sources", "source", Permission.SOURCES_WRITE,
             forms.add_source, forms.change_source, saved.remove_source),
    _Section("storages", "storage", Permission.STORAGES_WRITE,
             forms.add_storage, forms.change_storage, saved.remove_storage),
    _Section("channels", "notification", Permission.NOTIFICATIONS_WRITE,
             forms.add_channel, forms.change_channel, saved.remove_channel),
)  # fmt: skip
_OTHERS = {
    "profiles": Permission.VAULT_WRITE,
    "jobs": Permission.JOBS_WRITE,
    "groups": Permission.GROUPS_WRITE,
}


@action(Permission.SYSTEM_READ, target=lambda file, *_args, **_named: file.path.name)
def plan(who: Identity, file: MarkedFile, wanted: Wanted, *, prune: bool = False) -> Plan:
    """What has to be done until the system agrees with a file. It changes nothing.

    Raises WrongFile for what cannot be used or names what there is not, ConfigurationError for what cannot be pruned.
    """
    for name in sorted(wanted.model_fields_set):
        who.require_everywhere(next((one.permission for one in _PLACES if one.name == name), None) or _OTHERS[name])
    return _Planner(who, file, wanted, prune).plan()


@action(Permission.SYSTEM_WRITE, target=lambda planned, *_args, **_named: f"{len(planned.steps)} steps")
def apply(who: Identity, planned: Plan, tell: Callable[[Step], object]) -> None:
    """Do every step and tell of it, each with its own permission and entry in the audit.

    Raises Stopped at the first that fails, with what was done before it.
    """
    done: list[str] = []
    for step in planned.steps:
        try:
            step.perform(who)
        except DBackupError as error:
            told = f"done before: {', '.join(done)}" if done else "nothing was done before"
            raise Stopped(
                f"stopped at the {step.shown}: {error.message}; {told}",
                hint=error.hint,
                permanent=error.permanent,
            ) from None
        done.append(str(step))
        tell(step)


class _Planner:
    """Compares one file with the system."""

    def __init__(self, who: Identity, file: MarkedFile, wanted: Wanted, prune: bool) -> None:
        from blocks.saved import Kind
        from deployments.jobs import everything

        self._who, self._file, self._wanted, self._prune = who, file, wanted, prune
        self._saved: dict[str, Mapping[str, Any]] = {kind.value: _everything(kind) for kind in Kind}
        self._jobs = everything()
        self._steps: list[Step] = []
        self._removals: list[Step] = []
        self._agreeing = 0

    def plan(self) -> Plan:
        self._profiles()
        for section in _PLACES:
            self._places(section)
        self._jobs_wanted()
        self._groups()
        self._require_unneeded()
        return Plan((*self._steps, *reversed(self._removals)), self._agreeing)

    def _profiles(self) -> None:
        for name in self._wanted.profiles or ():
            missing = name not in self._saved["profile"]
            self._note("profile", name, not missing, (), _doing(keys.create, name))

    def _places(self, section: _Section) -> None:
        said: Mapping[str, Any] | None = getattr(self._wanted, section.name)
        here = self._saved[section.kind]
        for name, one in (said or {}).items():
            place = wanted_place(self._file, (section.name, name), section.kind, one)
            old = here.get(name)
            if old is None:
                act = _doing(section.add, name, place.label, place.given)
                self._note(section.kind, name, False, of_place(place, None), act)
            else:
                differences = of_place(place, old)
                self._note(section.kind, name, True, differences, _doing(section.change, name, place.whole))
        self._removed(said, here, section.kind, section.remove)

    def _jobs_wanted(self) -> None:
        here = {spec.name: spec for spec in self._jobs.readable}
        broken = {one.name for one in self._jobs.unreadable}
        for name, job in (self._wanted.jobs or {}).items():
            self._require_known(name, job)
            exists = name in here or name in broken
            differences = of_job(self._file, name, job, here.get(name), self._jobs.timetables.get(name))
            self._note("job", name, exists, differences, _doing(_save_job, name, job, exists))
        self._removed(self._wanted.jobs, {**here, **dict.fromkeys(broken)}, "job", jobs.delete)

    def _groups(self) -> None:
        if self._wanted.groups is None:
            return
        found = groups.page(self._who, limit=_MOST_GROUPS)
        here = {one.name.strip().casefold(): one for one in found}
        for name, group in self._wanted.groups.items():
            old = here.pop(name.strip().casefold(), None)
            if old and old.protected:
                raise self._file.wrong(("groups", name), "this group may do everything, and cannot be changed")
            self._require_sources(name, group)
            grant = Grant(group.permitted, None if group.sources is None else frozenset(group.sources))
            act = _doing(groups.change if old else groups.create, name, grant)
            self._note("group", name, old is not None, _of_group(grant, old), act)
        ordinary = {one.name: one for one in here.values() if not one.protected}
        self._removed({}, ordinary, "group", groups.delete)

    def _note(
        self, kind: str, name: str, exists: bool, differences: tuple[Difference, ...], act: Callable[[Identity], object]
    ) -> None:
        if exists and not differences:
            self._agreeing += 1
            return
        self._steps.append(Step("change" if exists else "create", kind, name, differences, act))

    def _removed(
        self, said: Mapping[str, Any] | None, here: Mapping[str, Any], kind: str, remove: Callable[..., object]
    ) -> None:
        if self._prune and said is not None:
            extra = sorted(here.keys() - said.keys())
            self._removals += [Step("remove", kind, name, (), _doing(remove, name)) for name in extra]

    def _require_known(self, name: str, job: WantedJob) -> None:
        """Every name that a job says has to be saved, or in the file."""
        for kind, section, where, one in _named_by(job):
            known = set(self._saved[kind]) | set(getattr(self._wanted, section) or ())
            if one not in known:
                others = ", ".join(sorted(known)) or "none"
                raise self._file.wrong(
                    ("jobs", name, *where),
                    f"there is no {kind} named {one}",
                    f"put it under {section}, or name one that there is: {others}",
                )

    def _require_sources(self, name: str, group: WantedGroup) -> None:
        known = set(self._saved["source"]) | set(self._wanted.sources or ())
        for number, one in enumerate(group.sources or ()):
            if one not in known:
                raise self._file.wrong(
                    ("groups", name, "sources", number), f"there is no source named {one}", "put it under sources"
                )

    def _require_unneeded(self) -> None:
        """Nothing is pruned that a job needs which is there afterwards."""
        gone = {(step.kind, step.name) for step in self._removals}
        staying = {spec.name: _named_by(spec) for spec in self._jobs.readable if ("job", spec.name) not in gone}
        staying |= {name: _named_by(job) for name, job in (self._wanted.jobs or {}).items()}
        for job, named in staying.items():
            for kind, section, _, one in named:
                if (kind, one) in gone:
                    raise ConfigurationError(
                        f"the {kind} {one} cannot be pruned: the job {job} needs it",
                        hint=f"put {one} under {section} of the file, or change the job",
                    )


def _everything(kind: Kind) -> Mapping[str, Any]:
    from blocks.saved import everything

    return everything(kind)


def _doing(function: Callable[..., object], *arguments: object) -> Callable[[Identity], object]:
    return lambda who: function(who, *arguments)


def _save_job(who: Identity, name: str, job: WantedJob, exists: bool) -> None:
    (jobs.edit if exists else jobs.create)(who, job.called(name), job.cron)
    if not job.cron:
        return
    now = jobs.timetable(who, name)
    if now is not None and now.paused != job.paused:
        (jobs.pause if job.paused else jobs.resume)(who, name)


def _of_group(grant: Grant, old: Group | None) -> tuple[Difference, ...]:
    def told(permissions: frozenset[Permission], sources: frozenset[str] | None) -> dict[str, str]:
        where = "all" if sources is None else ", ".join(sorted(sources)) or "none"
        return {"permissions": ", ".join(sorted(permissions)) or "nothing", "sources": where}

    after = told(grant.permissions, grant.sources)
    before = told(old.permissions, old.sources) if old else {}
    return tuple(
        Difference(name, before.get(name, ""), value) for name, value in after.items() if before.get(name) != value
    )


def _named_by(job: Any) -> list[tuple[str, str, tuple[str | int, ...], str]]:
    """What a job needs: of which kind, in which section, where in the job it is said, and its name."""
    needs: list[tuple[str, str, tuple[str | int, ...], str]] = [("source", "sources", ("source",), str(job.source))]
    needs += [
        ("storage", "storages", ("destinations", number), str(one)) for number, one in enumerate(job.destinations)
    ]
    needs += [("notification", "channels", ("notify", number), one.channel) for number, one in enumerate(job.notify)]
    return [*needs, ("profile", "profiles", ("profile",), job.profile)] if job.profile else needs
