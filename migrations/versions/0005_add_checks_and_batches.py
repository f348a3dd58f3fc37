"""add checks and batches.

Revision: 0005
Follows: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("job_nodes", schema=None) as batch_op:
        batch_op.add_column(sa.Column("former_host_group", sa.String(), nullable=True))

    with op.batch_alter_table("job_steps", schema=None) as batch_op:
        batch_op.add_column(sa.Column("batch", sa.Integer(), nullable=True))

    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("check", sa.Boolean(), nullable=False, server_default="0"))
        batch_op.add_column(sa.Column("limit_batch", sa.Integer(), nullable=True))
