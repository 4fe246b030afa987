"""Failed logins in a row, counted in the transaction of the caller."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import delete
from sqlalchemy.orm import Session

from db.account_models import AttemptRow
from db.upserts import insert_into


def locked(session: Session, subject: str, now: datetime) -> AttemptRow:
    """The row of a subject, made when missing, and kept from everybody else until the transaction ends."""
    made = insert_into(session, AttemptRow).values(subject=subject, failures=0, last_at=now)
    session.execute(made.on_conflict_do_update(index_elements=["subject"], set_={"failures": AttemptRow.failures}))
    return session.get_one(AttemptRow, subject, populate_existing=True)


def forget(session: Session, subject: str) -> None:
    """Nothing has failed."""
    session.execute(delete(AttemptRow).where(AttemptRow.subject == subject))


def forget_before(session: Session, moment: datetime) -> None:
    """Forget whatever is older, so that the table stays small."""
    session.execute(delete(AttemptRow).where(AttemptRow.last_at < moment))
