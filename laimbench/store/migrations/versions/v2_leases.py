"""Leases, so that several processes may work on one store."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "2", "1"

WHOLE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "leases",
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("token", WHOLE, nullable=False),
        sa.Column("owner", sa.String, nullable=False),
        *(sa.Column(name, WHOLE, nullable=False) for name in ("beats", "deaths", "reached")),
    )
