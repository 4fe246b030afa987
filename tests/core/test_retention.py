"""Retention as a decision: what each rule keeps, and what no policy can ever delete."""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from core.errors import ConfigurationError
from core.jobs import JobSpec
from core.retention import CLOCK_ALLOWANCE, Candidate, Decision, Retention, decide
from core.spans import Span

PAGE = Path(__file__).parents[2] / "docs" / "retention.md"
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
PLAIN = ZoneInfo("UTC")
RULES = ("last", "hourly", "daily", "weekly", "monthly", "yearly")


def at(*texts: str) -> list[Candidate]:
    """Backups started at these times, in UTC."""
    moments = [datetime.fromisoformat(text).replace(tzinfo=UTC) for text in texts]
    return [Candidate(f"{moment:%Y-%m-%d %H:%M}", moment) for moment in moments]


def kept(backups: Sequence[Candidate], policy: str, zone: ZoneInfo = PLAIN, now: datetime = NOW) -> list[str]:
    """The ids of what stays, oldest first. One backup always stays; a policy here says so itself when more do."""
    decided = decide(backups, Retention.parse(f"min_keep=1,{policy}"), zone, now)
    return sorted(one.backup.backup_id for one in decided if one.keep)


def reasons(decisions: Iterable[Decision]) -> dict[str, tuple[str, ...]]:
    return {one.backup.backup_id: one.reasons for one in decisions}


# --- the text of a policy ---


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("last=7,daily=7,weekly=4,monthly=12,yearly=3,within=30d,min_keep=3",
         "last=7,daily=7,weekly=4,monthly=12,yearly=3,within=30d"),
        (" daily = 7 , last=1 ", "last=1,daily=7"),
        ("hourly=24,within=1y5m7d2h,min_keep=5", "hourly=24,within=1y5m7d2h,min_keep=5"),
        ("daily=0", ""),
        ("", ""),
        ("min_keep=2", "min_keep=2"),
    ],
)  # fmt: skip
def test_a_policy_is_written_as_it_is_read(text: str, written: str) -> None:
    assert str(Retention.parse(text)) == written
    assert Retention.parse(written) == Retention.parse(text)


@pytest.mark.parametrize(
    "text",
    ["daily", "daily=", "daily=-1", "daily=+1", "daily=1.5", "daily=seven", "daily=٧", "daily=10000000", "=7",  # noqa: RUF001
     "minutely=5", "daily=1,daily=2", "daily=1,", ",", "last=1;daily=1", "min_keep=0", "within=", "within=30",
     "within=0d", "within=d", "within=1d2y", "within=30D", "within=-1d", "within=1d 2h", "within=9999999d",
     "keeps_everything=1"],
)  # fmt: skip
def test_a_policy_that_does_not_exist_is_refused_and_never_guessed(text: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Retention.parse(text)
    assert refused.value.hint


def test_a_form_takes_and_gives_the_written_policy() -> None:
    class Form(BaseModel):
        keep: Retention

    form = Form.model_validate_json('{"keep": "daily=7,within=2w"}')
    assert form.keep == Retention(daily=7, within=Span(weeks=2))
    assert form.model_dump(mode="json") == {"keep": "daily=7,within=2w"}
    assert Form(keep=form.keep) == form
    assert TypeAdapter(Retention).json_schema() == {"type": "string"}
    with pytest.raises(ValidationError, match="no rule 'minutely=1'"):
        Form.model_validate({"keep": "minutely=1"})


def job(**fields: object) -> JobSpec:
    return JobSpec.model_validate({"source": "shop", "destinations": ["local", "nas", "file:///srv/b"], **fields})


def test_a_job_keeps_by_its_own_rules_on_each_destination_and_survives_being_stored() -> None:
    spec = job(keep="daily=7", keep_at={"nas": "monthly=12"}, timezone="Europe/Berlin")
    assert [str(spec.retention_at(name)) for name in ("local", "nas", "/srv/b")] == ["daily=7", "monthly=12", "daily=7"]
    assert JobSpec.model_validate_json(spec.model_dump_json()) == spec
    assert job().keep.keeps_everything


@pytest.mark.parametrize(
    "fields",
    [{"keep_at": {"elsewhere": "daily=1"}}, {"keep_at": {"file:///srv/b": "daily=1"}}, {"keep_at": {"nas": "x"}},
     {"keep": "daily"}, {"timezone": "Mars/Olympus"}, {"timezone": ""}, {"timezone": "../../etc/passwd"},
     {"timezone": "Europe"}, {"timezone": "/etc/localtime"}],
)  # fmt: skip
def test_a_job_with_a_retention_that_cannot_work_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        job(**fields)


# --- what the rules keep ---


def test_a_policy_without_rules_keeps_everything() -> None:
    everything = [*at("2020-01-01", "2026-01-01", "2099-01-01"), *unfinished("2019-01-01")]
    decided = decide(everything, Retention(min_keep=1), PLAIN, NOW)
    assert all(one.keep and one.reasons == ("everything is kept, no rule is set",) for one in decided)


def unfinished(*texts: str) -> list[Candidate]:
    return [dataclasses.replace(one, complete=False) for one in at(*texts)]


def pinned(*texts: str) -> list[Candidate]:
    return [dataclasses.replace(one, pinned=True) for one in at(*texts)]


SUNDAYS = [f"2014-11-0{day}" for day in (2, 9)] + [f"2014-11-{day}" for day in (16, 23, 30)]


def test_four_daily_keep_the_last_four_days_that_have_one_however_far_apart() -> None:
    """restic's first example: a backup each Sunday, of which four days are wanted."""
    assert kept(at(*SUNDAYS), "daily=4") == [f"{day} 00:00" for day in SUNDAYS[1:]]


def test_only_the_newest_of_a_day_stays() -> None:
    hours = [f"2026-11-2{day}T{hour:02}:00" for day in (1, 2, 3) for hour in (1, 9, 17)]
    assert kept(at(*hours), "daily=2") == ["2026-11-22 17:00", "2026-11-23 17:00"]


def test_calendar_rules_together_keep_what_each_of_them_keeps() -> None:
    """restic's second example: daily backups for years under 7 daily, 5 weekly, 12 monthly and 75 yearly."""
    first = datetime(2024, 1, 1, 3, tzinfo=UTC)
    days = [first + timedelta(days=day) for day in range(1000)]
    newest = days[-1]  # Saturday, 2026-09-26
    backups = [Candidate(f"{day:%Y-%m-%d}", day) for day in days]
    expected = {f"{newest - timedelta(days=back):%Y-%m-%d}" for back in range(7)}
    expected |= {f"{newest:%Y-%m-%d}", "2026-09-20", "2026-09-13", "2026-09-06", "2026-08-30"}
    expected |= {"2026-08-31", "2026-07-31", "2026-06-30", "2026-05-31", "2026-04-30", "2026-03-31", "2026-02-28",
                 "2026-01-31", "2025-12-31", "2025-11-30", "2025-10-31"}  # fmt: skip
    expected |= {"2025-12-31", "2024-12-31", "2024-01-01"}  # the oldest of all: there are not yet 75 years
    assert kept(backups, "daily=7,weekly=5,monthly=12,yearly=75") == sorted(expected)


def test_the_oldest_stays_until_a_rule_has_its_full_count() -> None:
    backups = at("2026-11-01T01:00", "2026-11-01T05:00", "2026-11-02T05:00")
    decided = reasons(decide(backups, Retention(daily=3, min_keep=1), PLAIN, NOW))
    assert decided["2026-11-01 01:00"] == ("oldest, daily has room left",)
    assert kept(backups, "daily=2") == ["2026-11-01 05:00", "2026-11-02 05:00"]


def test_last_counts_backups_and_not_periods() -> None:
    assert kept(at("2026-11-01T01:00", "2026-11-01T01:01", "2026-11-01T01:02"), "last=2") == [
        "2026-11-01 01:01", "2026-11-01 01:02"]  # fmt: skip


def test_one_backup_may_satisfy_several_rules_and_says_so() -> None:
    backups = at("2026-11-22T03:00", "2026-11-23T03:00")
    decided = reasons(decide(backups, Retention.parse("last=1,daily=1,weekly=1,min_keep=1"), PLAIN, NOW))
    assert decided == {
        "2026-11-23 03:00": ("newest 1", "last 1", "daily 2026-11-23", "weekly 2026-W48"),
        "2026-11-22 03:00": ("no rule keeps it",),
    }


def test_within_counts_from_the_newest_backup_and_not_from_now() -> None:
    backups = at("2025-01-01", "2025-01-20", "2025-01-29", "2025-01-31")
    assert kept(backups, "within=2d") == ["2025-01-29 00:00", "2025-01-31 00:00"]
    assert kept(backups, "within=36h") == ["2025-01-31 00:00"]


@pytest.mark.parametrize(
    ("span", "newest", "edge"),
    [
        ("1m", "2026-03-31T10:00", "2026-02-28T10:00"),
        ("1y", "2024-02-29T10:00", "2023-02-28T10:00"),
        ("1y5m", "2026-03-15T10:00", "2024-10-15T10:00"),
        ("2w1d", "2026-03-16T10:00", "2026-03-01T10:00"),
        ("90h", "2026-03-05T10:00", "2026-03-01T16:00"),
    ],
)
def test_a_span_goes_by_the_calendar(span: str, newest: str, edge: str) -> None:
    (there,), (expected,) = at(newest), at(edge)
    assert Span.parse(span).before(there.started_at, PLAIN) == expected.started_at


def test_a_span_goes_by_the_clock_of_the_zone_across_a_change_of_the_clock() -> None:
    moment = datetime(2026, 3, 30, 3, tzinfo=BERLIN)  # summer time began on the 29th
    assert Span.parse("2d").before(moment, BERLIN) == datetime(2026, 3, 28, 3, tzinfo=BERLIN).astimezone(UTC)
    assert Span.parse("48h").before(moment, BERLIN) == moment.astimezone(UTC) - timedelta(hours=48)


def test_a_span_beyond_the_calendar_reaches_back_to_its_beginning() -> None:
    for span in ("9999y", "999999m", "999999w", "999999d"):
        assert Span.parse(span).before(NOW, PLAIN) <= datetime(1, 1, 1, tzinfo=UTC)


# --- time zones and calendars ---


def test_the_time_zone_decides_where_a_day_ends() -> None:
    backups = at("2026-11-22T22:30", "2026-11-22T23:30")  # in Berlin: 23:30 and, on the 23rd, 00:30
    assert kept(backups, "daily=2") == ["2026-11-22 22:30", "2026-11-22 23:30"]  # the oldest one, too
    assert kept([*at("2026-11-20"), *backups], "daily=2") == ["2026-11-20 00:00", "2026-11-22 23:30"]
    assert kept([*at("2026-11-20"), *backups], "daily=2", BERLIN) == ["2026-11-22 22:30", "2026-11-22 23:30"]


def test_an_hour_that_the_clock_repeats_is_two_hours() -> None:
    backups = at("2026-10-24T00:00", "2026-10-25T00:30", "2026-10-25T01:30")  # both 02:30 in Berlin
    decided = reasons(decide(backups, Retention(hourly=2, min_keep=1), BERLIN, NOW))
    assert decided["2026-10-25 00:30"] == ("hourly 2026-10-25 02:00 +0200",)
    assert decided["2026-10-25 01:30"] == ("newest 1", "hourly 2026-10-25 02:00 +0100")
    assert decided["2026-10-24 00:00"] == ("no rule keeps it",)


def test_a_day_of_25_hours_and_one_of_23_are_one_day_each() -> None:
    autumn = at("2026-10-23T12:00", "2026-10-24T22:00", "2026-10-25T22:59")  # 25th in Berlin, 00:00 to 23:59
    assert kept(autumn, "daily=2", BERLIN) == ["2026-10-23 12:00", "2026-10-25 22:59"]
    spring = at("2026-03-27T12:00", "2026-03-28T23:00", "2026-03-29T21:59")  # 29th in Berlin, 00:00 to 23:59
    assert kept(spring, "daily=2", BERLIN) == ["2026-03-27 12:00", "2026-03-29 21:59"]


def test_a_clock_set_back_across_midnight_makes_no_third_day() -> None:
    zone = ZoneInfo("America/St_Johns")  # until 2011 the clock went from 00:01 back to 23:01
    backups = at("2010-11-05T12:00", "2010-11-07T02:30:30", "2010-11-07T02:31:30", "2010-11-07T03:31:00")
    local = [one.started_at.astimezone(zone).day for one in backups]
    assert local == [5, 7, 6, 7]
    assert kept(backups, "daily=3", zone) == ["2010-11-05 12:00", "2010-11-07 02:31", "2010-11-07 03:31"]


def test_weeks_are_those_of_iso_with_a_53rd_across_the_end_of_a_year() -> None:
    backups = at("2020-12-27", "2020-12-28", "2020-12-31", "2021-01-03", "2021-01-04")
    decided = reasons(decide(backups, Retention(weekly=3, min_keep=1), PLAIN, NOW))
    assert decided["2021-01-04 00:00"] == ("newest 1", "weekly 2021-W01")
    assert decided["2021-01-03 00:00"] == ("weekly 2020-W53",)
    assert decided["2020-12-27 00:00"] == ("weekly 2020-W52",)
    assert decided["2020-12-31 00:00"] == decided["2020-12-28 00:00"] == ("no rule keeps it",)


def test_months_and_years_end_where_the_calendar_ends_them() -> None:
    backups = at("2023-06-01", "2024-12-31T22:30", "2024-12-31T23:30", "2025-01-01T00:30")
    assert kept(backups, "yearly=2") == ["2024-12-31 23:30", "2025-01-01 00:30"]
    assert kept(backups, "monthly=2", BERLIN) == ["2024-12-31 22:30", "2025-01-01 00:30"]


# --- what is not counted ---


def test_the_newest_few_stay_whatever_the_rules_say() -> None:
    backups = at(*(f"2026-11-01T{hour:02}:00" for hour in range(10)))
    assert kept(backups, "daily=1") == ["2026-11-01 09:00"]
    three = decide(backups, Retention(daily=1), PLAIN, NOW)
    assert [one.keep for one in three] == [True] * 3 + [False] * 7
    assert three[2].reasons == ("newest 3",)


def test_a_pinned_backup_stays_and_takes_nobody_s_place() -> None:
    backups = [*at("2026-11-01", "2026-11-02", "2026-11-03"), *pinned("2026-10-01", "2026-11-04")]
    assert kept(backups, "last=2") == ["2026-10-01 00:00", "2026-11-02 00:00", "2026-11-03 00:00", "2026-11-04 00:00"]


def test_a_backup_from_the_future_stays_is_told_and_shifts_nobody() -> None:
    backups = [*at("2026-11-01", "2026-11-02", "2026-11-03"), *at("2099-01-01")]
    decided = reasons(decide(backups, Retention.parse("last=2,within=1d,min_keep=1"), PLAIN, NOW))
    assert decided["2099-01-01 00:00"] == ("dated in the future",)
    assert decided["2026-11-03 00:00"] == ("newest 1", "last 2", "within 1d")
    assert decided["2026-11-01 00:00"] == ("no rule keeps it",)


def test_clocks_may_differ_a_little() -> None:
    edge = Candidate("edge", NOW + CLOCK_ALLOWANCE)
    beyond = Candidate("beyond", NOW + CLOCK_ALLOWANCE + timedelta(seconds=1))
    decided = reasons(decide([edge, beyond], Retention(last=1, min_keep=1), PLAIN, NOW))
    assert decided == {"beyond": ("dated in the future",), "edge": ("newest 1", "last 1")}


def test_an_incomplete_backup_goes_only_once_enough_newer_complete_ones_exist() -> None:
    days = at("2026-11-01", "2026-11-03", "2026-11-04")
    partial = unfinished("2026-11-02")
    policy = Retention.parse("daily=30,min_keep=2")
    assert reasons(decide([*days, *partial], policy, PLAIN, NOW))["2026-11-02 00:00"] == (
        "incomplete, and enough newer complete ones exist",
    )
    assert reasons(decide([*days[:2], *partial], policy, PLAIN, NOW))["2026-11-02 00:00"] == (
        "incomplete, and too few newer complete ones",
    )


def test_incomplete_and_pinned_backups_do_not_count_as_the_newest() -> None:
    backups = [*at("2026-11-01", "2026-11-02"), *unfinished("2026-11-03"), *pinned("2026-11-04")]
    assert kept(backups, "last=1") == [
        "2026-11-02 00:00", "2026-11-03 00:00", "2026-11-04 00:00"]  # fmt: skip


# --- what holds for every policy and every history ---

moments = st.one_of(
    st.datetimes(datetime(2024, 12, 20), datetime(2025, 1, 10), timezones=st.just(UTC)),  # crowded
    st.datetimes(datetime(2020, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)),  # far apart, and the future
)
counts = st.integers(0, 6)
spans = st.none() | st.builds(Span, st.integers(0, 2), st.integers(0, 14), st.integers(0, 5), st.integers(1, 40))
policies = st.builds(Retention, counts, counts, counts, counts, counts, counts, spans, st.integers(1, 5))
zones = st.sampled_from([PLAIN, BERLIN, ZoneInfo("America/St_Johns"), ZoneInfo("Pacific/Apia")])
states = st.tuples(moments, st.sampled_from([True] * 5 + [False]), st.sampled_from([False] * 5 + [True]))
histories = st.lists(states, max_size=40).map(
    lambda found: [Candidate(f"{number:03}", *state) for number, state in enumerate(found)]
)


def stays(backups: Sequence[Candidate], policy: Retention, zone: ZoneInfo) -> set[Candidate]:
    return {one.backup for one in decide(backups, policy, zone, NOW) if one.keep}


def countable(backups: Sequence[Candidate]) -> list[Candidate]:
    good = [one for one in backups if one.complete and not one.pinned and one.started_at <= NOW + CLOCK_ALLOWANCE]
    return sorted(good, key=lambda one: (one.started_at, one.backup_id), reverse=True)


@given(histories, policies, zones)
def test_every_backup_gets_one_decision_with_a_reason(
    backups: list[Candidate], policy: Retention, zone: ZoneInfo
) -> None:
    decided = decide(backups, policy, zone, NOW)
    assert sorted(one.backup.backup_id for one in decided) == sorted(one.backup_id for one in backups)
    assert all(one.reasons and all(one.reasons) for one in decided)


@given(histories, policies, zones)
def test_the_newest_and_the_pinned_and_the_future_are_never_deleted(
    backups: list[Candidate], policy: Retention, zone: ZoneInfo
) -> None:
    kept = stays(backups, policy, zone)
    assert set(countable(backups)[: policy.min_keep]) <= kept
    assert {one for one in backups if one.pinned or one.started_at > NOW + CLOCK_ALLOWANCE} <= kept


@given(histories, histories, policies, zones)
def test_what_a_clock_that_was_far_ahead_has_left_is_told_and_changes_no_other_decision(
    backups: list[Candidate], ahead: list[Candidate], policy: Retention, zone: ZoneInfo
) -> None:
    present = [one for one in backups if one.started_at <= NOW + CLOCK_ALLOWANCE]
    decades = timedelta(days=365 * 20)
    future = [
        dataclasses.replace(one, backup_id=f"future {one.backup_id}", started_at=one.started_at + decades)
        for one in ahead
    ]
    decided = decide([*present, *future], policy, zone, NOW)
    alone = decide(present, policy, zone, NOW)
    assert tuple(one for one in decided if one.backup in present) == alone
    assert all(one.keep for one in decided if one.backup in future)
    if not policy.keeps_everything:
        assert all("dated in the future" in one.reasons for one in decided if one.backup in future)


@given(histories, policies, zones, st.sampled_from(RULES), st.integers(1, 4))
def test_a_rule_more_or_a_higher_count_never_deletes_more(
    backups: list[Candidate], policy: Retention, zone: ZoneInfo, rule: str, more: int
) -> None:
    if not policy.keeps_everything:
        wider = dataclasses.replace(policy, **{rule: getattr(policy, rule) + more})
        assert stays(backups, policy, zone) <= stays(backups, wider, zone)


@given(histories, policies, zones)
def test_a_higher_min_keep_or_a_span_never_deletes_more(
    backups: list[Candidate], policy: Retention, zone: ZoneInfo
) -> None:
    if not policy.keeps_everything:
        for wider in ({"min_keep": policy.min_keep + 1}, {"within": policy.within or Span(days=3)}):
            assert stays(backups, policy, zone) <= stays(backups, dataclasses.replace(policy, **wider), zone)


@given(histories, policies, zones, st.randoms(use_true_random=False))
def test_the_order_in_which_backups_are_listed_does_not_matter(
    backups: list[Candidate], policy: Retention, zone: ZoneInfo, chance: random.Random
) -> None:
    assert decide(chance.sample(backups, len(backups)), policy, zone, NOW) == decide(backups, policy, zone, NOW)


@given(histories, policies, zones, st.randoms(use_true_random=False))
def test_deciding_again_changes_nothing_also_after_a_part_of_the_deletions(
    backups: list[Candidate], policy: Retention, zone: ZoneInfo, chance: random.Random
) -> None:
    kept = stays(backups, policy, zone)
    left = [one for one in backups if one in kept or chance.random() < 0.5]
    assert stays(left, policy, zone) == kept
    assert stays(sorted(kept, key=lambda one: one.backup_id), policy, zone) == kept


@given(histories, policies, zones)
def test_two_that_decide_at_once_one_of_them_after_a_new_backup_agree(
    backups: list[Candidate], policy: Retention, zone: ZoneInfo
) -> None:
    past = [one for one in backups if one.started_at <= NOW]
    new = Candidate("new", NOW)
    early, late = stays(past, policy, zone), stays([*past, new], policy, zone)
    assert late <= early | {new}


parts = st.frozensets(st.sampled_from("abc"), max_size=3)


@given(histories, st.lists(parts, min_size=40, max_size=40), policies, zones)
def test_for_each_database_stays_what_the_rules_keep_of_the_backups_that_hold_it(
    backups: list[Candidate], held: list[frozenset[str]], policy: Retention, zone: ZoneInfo
) -> None:
    mixed = [dataclasses.replace(one, holds=parts) for one, parts in zip(backups, held, strict=False)]
    kept = stays(mixed, policy, zone)
    for part in "abc":
        alone = {one.backup_id for one in mixed if part in one.holds}
        required = {one.backup_id for one in stays([one for one in backups if one.backup_id in alone], policy, zone)}
        assert required <= {one.backup_id for one in kept}
    everywhere = [dataclasses.replace(one, holds=frozenset("abc")) for one in backups]
    assert reasons(decide(everywhere, policy, zone, NOW)) == reasons(decide(backups, policy, zone, NOW))


def test_a_reason_says_for_which_databases_when_it_is_not_for_all() -> None:
    old, new = at("2026-11-01", "2026-11-02")
    history = [dataclasses.replace(old, holds=frozenset("ab")), dataclasses.replace(new, holds=frozenset("b"))]
    decided = reasons(decide(history, Retention.parse("last=1,min_keep=1"), PLAIN, NOW))
    assert decided[old.backup_id] == ("newest 1, for a", "last 1, for a")
    assert decided[new.backup_id] == ("newest 1", "last 1")


def test_the_example_of_the_documentation_is_true() -> None:
    rows = re.findall(r"^\| \w{3} (2026-\S+ \S+) \| (yes|no) \| (.+?)(?:: .+)? \|$", PAGE.read_text(), re.MULTILINE)
    assert len(rows) == 8
    backups = [
        dataclasses.replace(one, pinned=why == "pinned") for when, _, why in rows for one in at(when.replace(" ", "T"))
    ]
    decided = decide(backups, Retention.parse("daily=3,weekly=2,monthly=2,min_keep=1"), PLAIN, NOW)
    said = [(one.backup.backup_id, "yes" if one.keep else "no", "; ".join(one.reasons)) for one in decided]
    assert said == rows
