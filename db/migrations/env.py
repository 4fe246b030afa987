"""How Alembic runs our migrations: on the connection that :mod:`db.session` gives it."""

from alembic import context

import db.account_models  # noqa: F401 - its tables belong to the same metadata
from db.models import Table
from db.session import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
