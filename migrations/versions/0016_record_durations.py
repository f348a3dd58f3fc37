"""record durations by the monotonic clock.

Revision: 0016
Follows: 0015
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("created_clock", "waited", "seconds"):
        op.add_column("jobs", sa.Column(name, sa.Float()))
    for name in ("started_clock", "seconds"):
        op.add_column("job_steps", sa.Column(name, sa.Float()))
    for table, name, start, end in (
        ("jobs", "seconds", "started_at", "finished_at"),
        ("jobs", "waited", "created_at", "started_at"),
        ("job_steps", "seconds", "started_at", "finished_at"),
    ):
        if op.get_bind().dialect.name == "postgresql":
            lasted = f"greatest(extract(epoch FROM {end} - {start}), 0.0)"
        else:
            lasted = f"max((julianday({end}) - julianday({start})) * 86400.0, 0.0)"
        op.execute(f"UPDATE {table} SET {name} = {lasted}")  # noqa: S608 -- names of columns
