"""keep the definition of the action with each job.

Revision: 0024
Follows: 0020
"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("definition", sa.JSON()))
