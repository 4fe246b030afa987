"""The message model and the rules: what is told to whom, and that no text can be more than a text."""

from __future__ import annotations

import pickle
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from core.errors import ConfigurationError, RateLimited
from core.events import ALARMS, CHOICES, Event
from core.jobs import JobSpec, NotifyRule
from core.notifications import SHOWN_FAILURES, Notification
from core.reports import Failure

texts = st.text(st.characters(codec=None), max_size=300)


def spec(*notify: object) -> JobSpec:
    return JobSpec.model_validate({"source": "shop", "destinations": ["local"], "notify": notify})


def test_a_rule_without_events_leaves_the_choice_to_the_kind_of_channel() -> None:
    assert NotifyRule.parse("ops").events is None


def test_a_rule_is_read_and_written_the_same() -> None:
    assert NotifyRule.parse("ops:overdue, success").events == (Event.SUCCESS, Event.OVERDUE)
    assert str(NotifyRule.parse("ops:overdue,success")) == "ops:success,overdue"
    assert str(NotifyRule.parse("ops")) == "ops"


@given(st.sets(st.sampled_from(CHOICES), min_size=1))
def test_every_rule_survives_its_own_text(events: set[Event]) -> None:
    rule = NotifyRule.parse(f"ops:{','.join(events)}")
    assert NotifyRule.parse(str(rule)) == rule
    assert set(rule.events or ()) == events


@pytest.mark.parametrize("wrong", ["", "Ops", "ops:", "ops:never", "ops:test", "ops:success,", ":success", "smtp://x"])
def test_a_rule_that_cannot_be_is_refused(wrong: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        NotifyRule.parse(wrong)
    assert refusal.value.hint
    with pytest.raises(ValidationError):
        spec(wrong)


def test_a_job_keeps_its_rules_as_text() -> None:
    job = spec("ops", "boss:success")
    assert job.model_dump(mode="json")["notify"] == ["ops", "boss:success"]
    assert JobSpec.model_validate_json(job.model_dump_json()) == job
    assert JobSpec.model_json_schema()["properties"]["notify"]["items"] == {"type": "string"}


def test_a_channel_has_one_rule() -> None:
    with pytest.raises(ValidationError, match="named twice"):
        spec("ops", "ops:success")


@given(subject=texts, job=texts, reason=texts)
def test_whatever_a_name_holds_a_message_has_no_control_characters(subject: str, job: str, reason: str) -> None:
    failure = Failure.model_construct(subject=job, reason=reason, hint=reason)
    message = Notification(Event.FAILURE, subject, job=job, failures=(failure,))
    assert message.title.isprintable()
    assert all(fact.value.isprintable() and fact.value for fact in message.facts)
    assert message.text.count("\n") == len(message.facts) - 1
    message.text.encode()


def test_a_success_with_something_else_wrong_says_so_and_is_for_whoever_hears_of_alarms() -> None:
    owed = Failure(subject="b1 on far", reason="the disk is full", hint="make room")
    message = Notification(Event.SUCCESS, "Backup of x", also_wrong=(owed,))
    assert message.title == "Backup of x succeeded, but something else is wrong"
    assert "Also wrong: b1 on far: the disk is full\nWhat to do: make room" in message.text
    assert message.concerns(ALARMS)
    assert message.concerns((Event.SUCCESS,))
    assert not message.concerns((Event.OVERDUE, Event.INTEGRITY))
    assert not Notification(Event.SUCCESS, "Backup of x").concerns(ALARMS)


def test_of_many_failures_the_first_are_told_and_the_rest_is_counted() -> None:
    failures = tuple(Failure(subject=f"d{number}", reason="full", hint="make room") for number in range(9))
    facts = [(fact.name, fact.value) for fact in Notification(Event.FAILURE, "Backup of x", failures=failures).facts]
    assert [value for name, value in facts if name == "Reason"] == [f"d{n}: full" for n in range(SHOWN_FAILURES)]
    assert ("And", "4 more; the log of the run has all of them") in facts
    assert ("What to do", "make room") in facts


def test_an_overdue_backup_says_for_how_long() -> None:
    seconds = timedelta(hours=26).total_seconds()
    assert Notification(Event.OVERDUE, "The backup of shop", seconds=seconds).title == (
        "The backup of shop is overdue: no good one for 26 h 0 min"
    )


def test_a_limit_survives_a_pickle() -> None:
    limit = pickle.loads(pickle.dumps(RateLimited("slowly", hint="wait", retry_after=2.5)))
    assert (limit.retry_after, limit.hint, limit.permanent) == (2.5, "wait", False)
