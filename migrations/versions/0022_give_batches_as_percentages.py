"""give the sizes of batches as numbers, percentages or lists of these.

Revision: 0022
Follows: 0021
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("max_failures", sa.JSON()))
    op.add_column("jobs", sa.Column("batch_limit", sa.JSON()))
    jobs = sa.table("jobs", sa.column("limit_batch", sa.Integer()), sa.column("batch_limit", sa.JSON()))
    as_json = sa.cast(sa.cast(jobs.c.limit_batch, sa.String()), sa.JSON())
    op.execute(jobs.update().where(jobs.c.limit_batch.is_not(None)).values(batch_limit=as_json))
    op.execute("ALTER TABLE jobs DROP COLUMN limit_batch")
    op.execute("ALTER TABLE jobs RENAME COLUMN batch_limit TO limit_batch")
