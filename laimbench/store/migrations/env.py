"""What Alembic runs for each of its commands: the connection comes from ``migrate``."""

from alembic import context

from laimbench.store.migrations import VERSION_TABLE
from laimbench.store.schema import Base

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Base.metadata, version_table=VERSION_TABLE
)
with context.begin_transaction():  # none of its own within the caller's
    context.run_migrations()
