"""Labels added by users, passages kept for labelling, and the jobs of the worker with their logs."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the four tables."""
    op.create_table(
        "labels",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("key", sa.String(200), nullable=False, unique=True),
        sa.Column("document", sa.String(300), nullable=False, index=True),
        sa.Column("passage", sa.String(64), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("context", sa.Text, nullable=False),
        sa.Column("tags", sa.JSON, nullable=False),
        sa.Column("annotator", sa.String(120), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("codebook", sa.String(20), nullable=False),
        sa.Column("suggested", sa.Boolean, nullable=False),
        sa.Column("source", sa.String(300), nullable=False),
        sa.Column("at", sa.String(40), nullable=False),
        sa.Column("supersedes", sa.Integer, sa.ForeignKey("labels.id")),
    )
    op.create_index("labels_of_annotator", "labels", ["passage", "document", "annotator"])
    op.create_table(
        "jobs",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("asked", sa.JSON, nullable=False),
        sa.Column("who", sa.String(120), nullable=False),
        sa.Column("at", sa.String(40), nullable=False),
        sa.Column("state", sa.String(20), nullable=False, index=True),
        sa.Column("worker", sa.String(120)),
        sa.Column("started", sa.String(40)),
        sa.Column("heartbeat", sa.Float),
        sa.Column("ended", sa.String(40)),
        sa.Column("step", sa.String(200)),
        sa.Column("result", sa.JSON),
    )
    op.create_table(
        "job_lines",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("job", sa.Integer, sa.ForeignKey("jobs.id"), nullable=False, index=True),
        sa.Column("at", sa.String(40), nullable=False),
        sa.Column("line", sa.Text, nullable=False),
    )
    op.create_table(
        "seen",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("document", sa.String(300), nullable=False),
        sa.Column("passage", sa.String(64), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("context", sa.Text, nullable=False),
        sa.Column("scores", sa.JSON, nullable=False),
        sa.Column("uncertainty", sa.Float, nullable=False, index=True),
        sa.Column("bundle", sa.String(120), nullable=False),
        sa.Column("at", sa.String(40), nullable=False),
        sa.UniqueConstraint("document", "passage", name="seen_once"),
    )


def downgrade() -> None:
    """Drop them."""
    for name in ("seen", "job_lines", "jobs", "labels"):
        op.drop_table(name)
