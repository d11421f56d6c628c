"""Alembic's way in: migrations run on the connection that `labels.database` hands over, in its transaction."""

from alembic import context

from labels.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
