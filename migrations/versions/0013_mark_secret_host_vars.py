"""mark secret host vars.

Revision: 0013
Follows: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("nodes", sa.Column("secret_vars", sa.JSON(), server_default="[]", nullable=False))
