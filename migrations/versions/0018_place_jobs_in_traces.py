"""place jobs in distributed traces.

Revision: 0018
Follows: 0017
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("trace_id", "span_id", "parent_span_id"):
        op.add_column("jobs", sa.Column(name, sa.String()))
    op.add_column("jobs", sa.Column("sampled", sa.Boolean(), nullable=False, server_default="1"))
