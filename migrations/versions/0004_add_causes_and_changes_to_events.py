"""add causes and changes to events.

Revision: 0004
Follows: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("events", schema=None) as batch_op:
        batch_op.add_column(sa.Column("cause", sa.String(32), nullable=True))
        batch_op.add_column(sa.Column("by", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("changes", sa.JSON(), server_default="{}", nullable=False))
        batch_op.add_column(sa.Column("news", sa.Boolean(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("times", sa.Integer(), server_default="1", nullable=False))
        batch_op.add_column(sa.Column("since", sa.DateTime(), nullable=True))
        batch_op.create_index("events_by_news", ["news", "id"], unique=False)

    # So far only jobs and monitoring made events.
    op.execute(
        "UPDATE events SET cause = CASE WHEN job_id IS NULL THEN 'monitor' ELSE 'job' END, news = job_id IS NULL"
    )
