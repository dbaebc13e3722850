"""From older tables to the present ones, by Alembic, for every database. A new version is a file in versions/ and one more in schema.py."""

from pathlib import Path

from sqlalchemy import Connection

VERSION_TABLE = "laimbench_version"


def migrate(connection: Connection, known: int) -> None:
    """Bring the tables from version ``known`` (0: there are none) to the newest one, within the connection's transaction.

    Args:
        connection: in a transaction; nothing is committed.
        known: the version of the tables.
    """
    # Here, because it takes longer to import than a store takes to open, and is rarely needed.
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    if known:
        command.stamp(config, str(known))
    command.upgrade(config, "head")
