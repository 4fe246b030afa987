"""The form of a job, new or saved: what, where to and for how long, how, when, and who is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from actions import jobs, keys, saved
from actions.door import Identity
from core.compression import DEFAULT_LEVELS, LEVELS, Algorithm, Compression
from core.errors import ConfigurationError, DBackupError
from core.events import CHOICES
from core.fields import validated
from core.jobs import DEFAULT_QUEUE, Address, JobSpec, NotifyRule
from core.permissions import Permission
from core.retention import Retention
from dashboard.components import problems, retention, schedule

ALL, ONLY, BUT = "All of them, also those to come", "Only these", "All but some"
LISTED = "job-form-databases"  # what sources have answered while the form is open


@dataclass(frozen=True)
class Choices:
    """What is saved and can be named in a job."""

    sources: Sequence[str]
    storages: Sequence[str]
    channels: Sequence[str]
    profiles: Sequence[str]

    @classmethod
    def of(cls, who: Identity, spec: JobSpec | None) -> Choices:
        """What this person may see, and what the job names already."""
        rules = spec.notify if spec else ()

        def names(permission: Permission, look: Callable[[Identity], Sequence[Any]], *named: str) -> list[str]:
            seen = [str(one.name) for one in look(who)] if permission in who.permissions else []
            return sorted({*seen, *named})

        return cls(
            names(Permission.SOURCES_READ, saved.sources, *([spec.source] if spec else [])),
            names(Permission.STORAGES_READ, saved.storages, *(spec.destinations if spec else ())),
            names(Permission.NOTIFICATIONS_READ, saved.channels, *(rule.channel for rule in rules)),
            names(Permission.VAULT_READ, keys.profiles, *([spec.profile] if spec and spec.profile else [])),
        )


def draw(who: Identity, spec: JobSpec | None, cron: str, choices: Choices) -> str | None:
    """Draw the form of a job, or of a new one, and save what it says; gives the name of the job that was saved."""
    name = spec.name if spec else st.text_input(
        "Name *", key="job-name", placeholder="nightly-shop", help="Lower-case letters, digits and dashes."
    ).strip()  # fmt: skip
    try:
        given = {**_what(who, spec, choices), **_where(spec, choices), **_how(spec, choices)}
        st.subheader("When")
        line, given["timezone"] = schedule.choose(who, cron, spec.timezone if spec else st.context.timezone or "UTC")
        given |= {**_who_is_told(spec, choices), **_more(spec)}
    except ConfigurationError as error:  # a rule that is half typed
        problems.show(error)
        return None
    if not st.button("Save", type="primary", icon=":material/save:"):
        return None
    with problems.told():
        _save(who, spec, {"name": name, **given}, line, changed=line != cron)
        return name
    return None


def _save(who: Identity, spec: JobSpec | None, given: dict[str, Any], cron: str, *, changed: bool) -> None:
    made = validated(JobSpec, {**(dict(spec) if spec else {}), **given})
    if spec is None:
        jobs.create(who, made, cron)
    else:
        jobs.edit(who, made, cron if changed else None)


def _what(who: Identity, spec: JobSpec | None, choices: Choices) -> dict[str, Any]:
    st.subheader("What")
    said = choices.sources.index(spec.source) if spec else 0
    source = st.selectbox("Source *", choices.sources, said, key="job-source")
    if not source:
        return {"source": ""}
    now = ONLY if spec and spec.databases else BUT if spec and spec.exclude else ALL
    way = st.radio("Databases", ways := (ALL, ONLY, BUT), ways.index(now), key="job-scope", horizontal=True)
    databases: list[str] = []
    exclude: list[str] = []
    if way == ONLY:
        chosen = list(spec.databases) if spec and spec.source == source else []
        options = sorted({*_databases(who, source), *chosen})
        databases = st.multiselect(
            "Databases of it", options, chosen, key=f"job-databases-{source}", accept_new_options=True,
            placeholder="tick the databases",
        )  # fmt: skip
        if not databases:
            raise ConfigurationError("no database is ticked", hint="tick at least one, or take all of them")
    if way == BUT:
        exclude = _texts("Not the databases like this", spec.exclude if spec else (), "job-exclude", "test_*")
    return {"source": source, "databases": tuple(databases), "exclude": tuple(exclude)}


def _databases(who: Identity, source: str) -> list[str]:
    """The databases of a source; it is asked once while the form is open. Where it does not answer, its error shows."""
    known: dict[str, list[str]] = st.session_state.setdefault(LISTED, {})
    if source not in known:
        try:
            with st.spinner(f"Asking {source} for its databases …"):
                known[source] = [one.name for one in saved.test_source(who, Address(source))[1]]
        except DBackupError as error:
            problems.show(error)
            return []
    return known[source]


def _where(spec: JobSpec | None, choices: Choices) -> dict[str, Any]:
    st.subheader("Where to, and for how long")
    said = list(map(str, spec.destinations)) if spec else list(choices.storages[:1])
    chosen = st.multiselect("Destinations *", choices.storages, said, key="job-destinations")
    rules: dict[str, Retention] = {}
    for name in chosen:
        kept = spec.retention_at(name) if spec and name in said else Retention()
        rules[name] = retention.choose(f"Kept on {problems.escaped(name)}", kept, f"job-keep-{name}")
    first = next(iter(rules.values()), Retention())
    others = {name: one for name, one in rules.items() if one != first}
    return {"destinations": tuple(chosen), "keep": first, "keep_at": others}


def _how(spec: JobSpec | None, choices: Choices) -> dict[str, Any]:
    st.subheader("How")
    profiles = [None, *choices.profiles]
    with st.container(horizontal=True):
        profile = st.selectbox(
            "Encrypt with", profiles, profiles.index(spec.profile if spec else None), key="job-profile", width=260,
            format_func=lambda one: one or "nothing: not encrypted",
        )  # fmt: skip
        compression = _compression(spec.compression if spec else Compression())
    return {"profile": profile, "compression": compression}


def _compression(said: Compression) -> Compression:
    every = list(Algorithm)
    algorithm = st.selectbox("Compression", every, every.index(said.algorithm), key="job-compression", width=160)
    levels = LEVELS.get(algorithm)
    if levels is None:
        return Compression(algorithm)
    level = (algorithm is said.algorithm and said.level) or DEFAULT_LEVELS[algorithm]
    return Compression(
        algorithm,
        int(st.number_input("Level", levels[0], levels[-1], level, key=f"job-level-{algorithm}", width=140)),
    )


def _who_is_told(spec: JobSpec | None, choices: Choices) -> dict[str, Any]:
    st.subheader("Who is told")
    said = {rule.channel: rule for rule in spec.notify} if spec else {}
    chosen = st.multiselect(
        "Channels", choices.channels, list(said), key="job-channels", placeholder="nobody is told of this job"
    )
    rules = [_rule(name, said.get(name)) for name in chosen]
    overdue = st.number_input(
        "Overdue after so many hours without a good backup", 1, None, spec.overdue_after if spec else None,
        key="job-overdue", placeholder="nobody looks", help="Empty: nobody looks how old the last good backup is.",
    )  # fmt: skip
    return {"notify": tuple(rules), "overdue_after": None if overdue is None else int(overdue)}


def _rule(channel: str, said: NotifyRule | None) -> NotifyRule:
    events = st.multiselect(
        f"{problems.escaped(channel)} hears of", CHOICES, list(said.events or ()) if said else [],
        key=f"job-events-{channel}", placeholder="what its kind is for",
    )  # fmt: skip
    return NotifyRule(channel, tuple(one for one in CHOICES if one in events) or None)


def _more(spec: JobSpec | None) -> dict[str, Any]:
    with st.expander("More", icon=":material/tune:"):
        names = {
            "schemas": "Only these schemas",
            "exclude_schemas": "Not these schemas",
            "tables": "Only these tables",
            "exclude_tables": "Not these tables",
        }
        texts = {
            name: tuple(_texts(title, getattr(spec, name) if spec else (), f"job-{name}"))
            for name, title in names.items()
        }
        retries = st.number_input("Try a failed upload again", 0, 20, spec.retries if spec else 3, key="job-retries")
        exact = st.number_input(
            "Count tables of up to so many rows exactly", 0, None, spec.exact_rows if spec else 1_000_000,
            key="job-exact",
        )  # fmt: skip
        spool = st.radio(
            "Where bytes wait for a slow destination", ways := ("disk", "memory"),
            ways.index(spec.spool if spec else "disk"), key="job-spool", horizontal=True,
        )  # fmt: skip
        catch_up = st.checkbox(
            "Make up one run for those missed while nothing could run", spec.catch_up if spec else True,
            key="job-catch-up",
        )  # fmt: skip
        queue = st.text_input(
            "Only workers that serve this label of the queue take its runs", spec.queue if spec else DEFAULT_QUEUE,
            key="job-queue",
        ).strip()  # fmt: skip
    more = {"retries": int(retries), "exact_rows": int(exact), "spool": spool, "catch_up": catch_up, "queue": queue}
    return {**texts, **more}


def _texts(title: str, said: Sequence[str], key: str, example: str = "") -> list[str]:
    return list(
        st.multiselect(
            title, list(said), list(said), key=key, accept_new_options=True, placeholder=example or "none"
        )
    )  # fmt: skip
