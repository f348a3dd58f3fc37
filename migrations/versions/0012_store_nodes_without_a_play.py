"""store nodes without a play, and warnings of jobs.

Revision: 0012
Follows: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("job_steps", sa.Column("without_play", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("jobs", sa.Column("warnings", sa.JSON(), nullable=False, server_default="[]"))
