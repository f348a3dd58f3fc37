"""record the playbooks of jobs.

Revision: 0019
Follows: 0018
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "manifests",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.add_column("jobs", sa.Column("provenance", sa.JSON()))
    op.add_column("jobs", sa.Column("manifest", sa.String()))
    op.create_index("ix_jobs_manifest", "jobs", ["manifest"])
