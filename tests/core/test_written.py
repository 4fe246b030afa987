"""What is written as one piece of text is the same wherever it is given: in Python, in JSON, in a job."""

from __future__ import annotations

import pickle

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from core.compression import Compression
from core.jobs import NotifyRule
from core.retention import Retention
from core.written import Written

VALUES: list[Written] = [
    Compression.parse("zstd:7"),
    Compression.parse("none"),
    Retention.parse("daily=7,within=2w"),
    Retention(),
    NotifyRule.parse("ops"),
    NotifyRule.parse("ops:success,overdue"),
]
each_value = pytest.mark.parametrize("value", VALUES, ids=repr)


@each_value
def test_a_value_and_its_text_give_each_other(value: Written) -> None:
    assert type(value).parse(str(value)) == value


@each_value
def test_a_field_takes_the_value_or_its_text_and_is_stored_as_text(value: Written) -> None:
    field = TypeAdapter[Written](type(value))
    assert field.validate_python(value) is value
    assert field.validate_python(str(value)) == value
    assert field.dump_python(value, mode="json") == str(value)
    assert field.validate_json(field.dump_json(value)) == value


@each_value
def test_a_value_survives_the_way_to_another_process(value: Written) -> None:
    assert pickle.loads(pickle.dumps(value)) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [(Compression, "zstd:99"), (Retention, "minutely=1"), (NotifyRule, "ops:nothing")],
    ids=["compression", "retention", "rule"],
)
def test_a_field_refuses_with_the_advice_of_the_value(kind: type[Written], text: str) -> None:
    class Form(BaseModel):
        field: kind  # type: ignore[valid-type]

    with pytest.raises(ValidationError, match=r": (choose|write) "):
        Form.model_validate({"field": text})
