"""note which nodes passed.

Revision: 0003
Follows: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("job_steps", schema=None) as batch_op:
        batch_op.add_column(sa.Column("passed", sa.JSON(none_as_null=True), nullable=True))

    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("partial_success", sa.Boolean(), nullable=False, server_default="0"))

    op.create_index(
        "task_results_busy", "task_results", ["job_id"], unique=False, sqlite_where=sa.text("status IS NULL")
    )
