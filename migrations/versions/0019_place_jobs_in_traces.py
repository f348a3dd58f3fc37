"""place jobs in distributed traces.

Revision: 0019
Follows: 0016
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("trace_id", "span_id", "parent_span_id"):
        op.add_column("jobs", sa.Column(name, sa.String()))
    op.add_column("jobs", sa.Column("sampled", sa.Boolean(), nullable=False, server_default="1"))
