"""store failures as rows.

Revision: 0015
Follows: 0014
"""

import json

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    failures = op.create_table(
        "job_failures",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("node", sa.String(), nullable=False),
        sa.Column("step", sa.String(32), nullable=False),
        sa.Column("play", sa.String()),
        sa.Column("task", sa.String()),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("line", sa.Integer()),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "number"),
    )
    op.create_index("job_failures_by_node", "job_failures", ["job_id", "step", "node"])
    stored = op.get_bind().exec_driver_sql(
        "SELECT id, CAST(failures AS VARCHAR) FROM jobs WHERE CAST(failures AS VARCHAR) NOT IN ('[]', '{}')"
    )
    for job_id, of_job in stored.all():
        rows = [{"job_id": job_id, "number": number, **failure} for number, failure in enumerate(json.loads(of_job), 1)]
        op.bulk_insert(failures, rows)
    op.execute("ALTER TABLE jobs DROP COLUMN failures")
