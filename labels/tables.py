"""The tables of the database, as the newest migration leaves them."""

from sqlalchemy import JSON, Boolean, Column, Float, ForeignKey, Index, Integer, MetaData, String, Table, Text, UniqueConstraint

WHO_LENGTH = 120
"""Of a name in the logs; longer ones are cut."""
metadata = MetaData()
aliases = Table(
    "aliases",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("bundle", String(120), nullable=False),
)
events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", String(40), nullable=False),
    Column("who", String(WHO_LENGTH), nullable=False),
    Column("action", String(40), nullable=False),
    Column("alias", String(40)),
    Column("before", String(120)),
    Column("after", String(120)),
    Column("why", Text, nullable=False),
    Column("report", JSON),
)
"""Append-only: nothing here is ever changed or deleted."""

labels = Table(
    "labels",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("key", String(200), nullable=False, unique=True),
    Column("document", String(300), nullable=False, index=True),
    Column("passage", String(64), nullable=False),
    Column("text", Text, nullable=False),
    Column("context", Text, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("annotator", String(120), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("codebook", String(20), nullable=False),
    Column("suggested", Boolean, nullable=False),
    Column("source", String(300), nullable=False),
    Column("at", String(40), nullable=False),
    Column("supersedes", Integer, ForeignKey("labels.id")),
    Index("labels_of_annotator", "passage", "document", "annotator"),
)
"""Append-only: a correction is a new row that names the one which it supersedes."""

jobs = Table(
    "jobs",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("kind", String(40), nullable=False),
    Column("asked", JSON, nullable=False),
    Column("who", String(WHO_LENGTH), nullable=False),
    Column("at", String(40), nullable=False),
    Column("state", String(20), nullable=False, index=True),
    Column("worker", String(120)),
    Column("started", String(40)),
    Column("heartbeat", Float),
    Column("ended", String(40)),
    Column("step", String(200)),
    Column("result", JSON),
)
"""What the worker is asked to do, and how far it is."""

job_lines = Table(
    "job_lines",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("job", Integer, ForeignKey("jobs.id"), nullable=False, index=True),
    Column("at", String(40), nullable=False),
    Column("line", Text, nullable=False),
)
"""The jobs' logs. Append-only."""

seen = Table(
    "seen",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("document", String(300), nullable=False),
    Column("passage", String(64), nullable=False),
    Column("text", Text, nullable=False),
    Column("context", Text, nullable=False),
    Column("scores", JSON, nullable=False),
    Column("uncertainty", Float, nullable=False, index=True),
    Column("bundle", String(120), nullable=False),
    Column("at", String(40), nullable=False),
    UniqueConstraint("document", "passage", name="seen_once"),
)
"""Passages that batch scoring was told to keep for labelling, with their scores."""
