"""index task results by node.

Revision: 0026
Follows: 0020
"""

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("task_results_by_node", "task_results", ["job_id", "node"])
