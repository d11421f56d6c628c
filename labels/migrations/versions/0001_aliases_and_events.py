"""Aliases of bundles, and the events that changed them."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make both tables."""
    op.create_table(
        "aliases",
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("bundle", sa.String(120), nullable=False),
    )
    op.create_table(
        "events",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("at", sa.String(40), nullable=False),
        sa.Column("who", sa.String(120), nullable=False),
        sa.Column("action", sa.String(40), nullable=False),
        sa.Column("alias", sa.String(40)),
        sa.Column("before", sa.String(120)),
        sa.Column("after", sa.String(120)),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("report", sa.JSON),
    )


def downgrade() -> None:
    """Drop both."""
    op.drop_table("events")
    op.drop_table("aliases")
