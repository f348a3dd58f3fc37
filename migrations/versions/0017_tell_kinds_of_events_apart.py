"""tell the kinds of events apart.

Revision: 0017
Follows: 0016
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("events", sa.Column("kind", sa.String(32), nullable=False, server_default="nodes"))
    op.drop_index("events_by_reachability", "events")
    op.create_index("events_by_kind", "events", ["kind", "is_reachability", "id"])
