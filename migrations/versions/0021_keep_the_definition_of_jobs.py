"""keep the definition of the action with each job, and name the action in events.

Revision: 0021
Follows: 0020
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("definition", sa.JSON()))
    op.add_column("job_steps", sa.Column("attempt", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("events", sa.Column("action", sa.String(32)))
