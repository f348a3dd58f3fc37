"""name the outcome of nodes.

Revision: 0014
Follows: 0013
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE job_nodes RENAME COLUMN result TO outcome")
    op.execute("UPDATE job_nodes SET outcome = 'failed' WHERE outcome = 'fail'")
    # Without partial success, nodes that passed in a job that failed were treated as failed. In batches, earlier ones
    # counted; which they were is not stored with the node, so that all of them stay passed there.
    op.execute(
        "UPDATE job_nodes SET outcome = 'undone' WHERE outcome = 'pass' AND job_id IN (SELECT id FROM jobs WHERE "
        "status IN ('Errored', 'Cancelled') AND NOT partial_success AND limit_batch IS NULL)"
    )
    op.execute("UPDATE job_nodes SET outcome = 'passed' WHERE outcome = 'pass'")
