"""Alembic's entry point: runs the migrations on the given connection, in one transaction."""

from typing import Any, Literal

from alembic import context
from sqlalchemy import DateTime, Enum, String

from clusterm.store.tables import SQLModel


def render_item(kind: str, item: Any, _: object) -> str | Literal[False]:
    """Render columns with SQLAlchemy's own types, so that migrations are independent of later changes of the code."""
    item = getattr(item, "impl", item)
    if kind == "type" and isinstance(item, DateTime):
        return "sa.DateTime()"
    if kind == "type" and isinstance(item, (Enum, String)):
        return f"sa.String({item.length or ''})"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    render_as_batch=True,  # SQLite cannot alter most of a table in place
    render_item=render_item,
    transactional_ddl=True,  # SQLite's DDL is, if transactions are begun explicitly
)
with context.begin_transaction():
    context.run_migrations()
