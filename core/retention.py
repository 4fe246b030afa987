"""Which backups stay: a policy, and the decision with a reason for each backup. Pure: nothing is deleted here.

- Each rule keeps the newest backup of each of the last n periods that have one. Where there are fewer periods than n,
  the oldest backup of all is kept too, so that the history grows to its full length. One backup may satisfy several
  rules. ``within`` counts from the newest backup, not from now.
- Days and hours are those of a time zone, weeks are ISO weeks. An hour that the clock repeats is two hours.
- Pinned backups and those dated in the future are kept and not counted.
- The newest ``min_keep`` stay whatever the rules say, so the last backup never goes.
- What backups hold, each database, has a history of its own. A backup stays while the rules keep it in one of them, so
  that no other database's backup ever stands in for it.
- A backup that misses something it was asked for is not counted. It goes once ``min_keep`` newer complete ones exist.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Self

from core.errors import ConfigurationError
from core.spans import Span
from core.written import Written

LARGEST = 1_000_000  # of a count; more is a slip of the finger
DEFAULT_MIN_KEEP = 3
CLOCK_ALLOWANCE = timedelta(minutes=10)  # clocks of machines that share a destination differ by less
MOST_NAMED = 3  # of what a backup holds, in one reason
EVERYTHING = "everything is kept, no rule is set"
NOT_KEPT = "no rule keeps it"
PINNED = "pinned"
IN_THE_FUTURE = "dated in the future"
SPARE = "incomplete, and enough newer complete ones exist"
NOT_SPARE = "incomplete, and too few newer complete ones"
_EXAMPLE = "write for example last=7,daily=7,weekly=4,monthly=12,yearly=3,within=30d,min_keep=3"


@dataclass(frozen=True)
class Retention(Written):
    """A policy, written ``last=7,daily=7,weekly=4,monthly=12,yearly=3,within=30d,min_keep=3``.

    A rule that is left out keeps nothing; a policy without any rule keeps everything. Raises ConfigurationError.
    """

    last: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    within: Span | None = None
    min_keep: int = DEFAULT_MIN_KEEP

    def __post_init__(self) -> None:
        counts = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "within"}
        for name, count in counts.items():
            if not 0 <= count <= LARGEST:
                raise ConfigurationError(f"{name}={count} is not a count", hint=f"write a number up to {LARGEST:,}")
        if not self.min_keep:
            raise ConfigurationError("min_keep=0 could delete the last backup", hint="write min_keep=1 or more")

    @property
    def keeps_everything(self) -> bool:
        """Whether there is no rule, so that nothing is ever deleted."""
        return self == Retention(min_keep=self.min_keep)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``rule=value,…`` in any order; nothing at all keeps everything. Raises ConfigurationError."""
        values: dict[str, Any] = {}
        for part in text.split(",") if text.strip() else ():
            name, equals, value = (piece.strip() for piece in part.partition("="))
            if name not in {field.name for field in fields(cls)} or not equals:
                raise ConfigurationError(f"retention has no rule {part.strip()!r}", hint=_EXAMPLE)
            if name in values:
                raise ConfigurationError(f"the rule {name} is given twice", hint="give each rule once")
            values[name] = Span.parse(value) if name == "within" else _count(name, value)
        return cls(**values)

    def __str__(self) -> str:
        default = Retention()
        given = ((field.name, getattr(self, field.name)) for field in fields(self))
        return ",".join(f"{name}={value}" for name, value in given if value != getattr(default, name))


def _count(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST))):
        raise ConfigurationError(f"{name}={text} is not a count", hint=f"write a number up to {LARGEST:,}")
    return int(text)


@dataclass(frozen=True)
class Candidate:
    """One backup to decide about: when it was started (in UTC), whether it misses nothing, and whether it is pinned.

    ``holds`` names what is in it. Only backups that hold the same thing stand in for each other.
    """

    backup_id: str
    started_at: datetime
    complete: bool = True
    pinned: bool = False
    holds: frozenset[str] = frozenset({""})


@dataclass(frozen=True)
class Decision:
    """Whether a backup stays, and every reason for it."""

    backup: Candidate
    keep: bool
    reasons: tuple[str, ...]


def decide(backups: Sequence[Candidate], policy: Retention, zone: tzinfo, now: datetime) -> tuple[Decision, ...]:
    """Decide about every backup of one job and source on one destination, newest first.

    ``now`` only tells which backups are dated in the future.
    """
    ordered = sorted(backups, key=lambda one: (one.started_at, one.backup_id), reverse=True)
    if policy.keeps_everything:
        return tuple(Decision(one, True, (EVERYTHING,)) for one in ordered)
    latest = now.astimezone(UTC) + CLOCK_ALLOWANCE
    histories: dict[str, list[Candidate]] = {}
    for one in ordered:
        for part in sorted(one.holds) or [""]:
            histories.setdefault(part, []).append(one)
    found: dict[str, dict[str, Decision]] = {one.backup_id: {} for one in ordered}
    for part, history in histories.items():
        for decision in _decided_by_itself(history, policy, zone, latest):
            found[decision.backup.backup_id][part] = decision
    return tuple(_together(one, found[one.backup_id]) for one in ordered)


def _together(one: Candidate, found: Mapping[str, Decision]) -> Decision:
    """One decision from those in each history; a reason that holds in some only says in which."""
    keep = any(decision.keep for decision in found.values())
    parts: dict[str, list[str]] = {}
    for part, decision in found.items():
        for reason in decision.reasons if decision.keep == keep else ():
            parts.setdefault(reason, []).append(part)
    return Decision(one, keep, tuple(_said(reason, where, len(found)) for reason, where in parts.items()))


def _said(reason: str, where: Sequence[str], of: int) -> str:
    if len(where) == of:
        return reason
    return f"{reason}, for {', '.join(where) if len(where) <= MOST_NAMED else f'{len(where)} of {of}'}"


def _decided_by_itself(
    ordered: Sequence[Candidate], policy: Retention, zone: tzinfo, latest: datetime
) -> Iterator[Decision]:
    """The decisions in one history, newest first. What was started after ``latest`` is dated in the future."""
    counted = [one for one in ordered if one.complete and not one.pinned and one.started_at <= latest]
    reasons: dict[str, list[str]] = {}
    for backup, reason in _kept(counted, policy, zone):
        reasons.setdefault(backup.backup_id, []).append(reason)
    enough = counted[: policy.min_keep][-1].started_at if len(counted) >= policy.min_keep else None
    yield from (_decided(one, reasons.get(one.backup_id, ()), latest, enough) for one in ordered)


def _decided(one: Candidate, reasons: Sequence[str], latest: datetime, enough: datetime | None) -> Decision:
    """The decision about one backup. ``enough`` is when the min_keep-newest of those that count was started."""
    if one.pinned or one.started_at > latest:
        exempt = ((PINNED, one.pinned), (IN_THE_FUTURE, one.started_at > latest))
        return Decision(one, True, tuple(reason for reason, holds in exempt if holds))
    if not one.complete:
        spare = enough is not None and one.started_at < enough
        return Decision(one, not spare, (SPARE if spare else NOT_SPARE,))
    return Decision(one, bool(reasons), tuple(reasons) or (NOT_KEPT,))


def _kept(counted: Sequence[Candidate], policy: Retention, zone: tzinfo) -> Iterator[tuple[Candidate, str]]:
    """Every backup that something keeps, once with each reason. ``counted`` are ordered, newest first."""
    yield from ((one, f"newest {policy.min_keep}") for one in counted[: policy.min_keep])
    yield from ((one, f"last {policy.last}") for one in counted[: policy.last])
    if policy.within and counted:
        since = policy.within.before(counted[0].started_at, zone)
        yield from ((one, f"within {policy.within}") for one in counted if one.started_at >= since)
    for rule, period in _PERIODS.items():
        for one, label in _newest_of_each(counted, zone, period, getattr(policy, rule)):
            yield one, f"{rule} {label}" if label else f"oldest, {rule} has room left"


def _newest_of_each(
    counted: Sequence[Candidate], zone: tzinfo, period: Callable[[datetime], str], count: int
) -> Iterator[tuple[Candidate, str]]:
    """The newest backup of each of the last ``count`` periods, and the period.

    Where there are fewer periods, the oldest backup follows, with an empty period.
    """
    seen: set[str] = set()
    for one in counted if count else ():
        label = period(one.started_at.astimezone(zone))
        if label not in seen:
            yield one, label
            seen.add(label)
            if len(seen) == count:
                return
        elif one is counted[-1]:
            yield one, ""


def _hour(local: datetime) -> str:
    return f"{local:%Y-%m-%d %H:00 %z}"


def _day(local: datetime) -> str:
    return local.date().isoformat()


def _week(local: datetime) -> str:
    year, week, _ = local.isocalendar()
    return f"{year}-W{week:02}"


def _month(local: datetime) -> str:
    return f"{local.year}-{local.month:02}"


def _year(local: datetime) -> str:
    return str(local.year)


_PERIODS: dict[str, Callable[[datetime], str]] = {
    "hourly": _hour,
    "daily": _day,
    "weekly": _week,
    "monthly": _month,
    "yearly": _year,
}
