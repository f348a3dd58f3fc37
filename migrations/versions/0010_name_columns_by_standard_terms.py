"""name columns by standard terms.

Revision: 0010
Follows: 0009
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A rename in place keeps every row as it is; Alembic's batch mode would copy the tables.
    for table, old, new in (
        ("events", "news", "is_reachability"),
        ("job_steps", "unclaimed", "first_unattributed_line"),
        ("jobs", "head_end", "truncated_at"),
        ("jobs", "sealed", "encrypted"),
        ("nodes", "sealed", "encrypted"),
        ("settings", "sealed", "encrypted"),
    ):
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}")
    op.drop_index("events_by_news", "events")
    op.create_index("events_by_reachability", "events", ["is_reachability", "id"])
