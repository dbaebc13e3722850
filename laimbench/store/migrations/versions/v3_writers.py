"""What each writer wrote last, so that a write whose end was not seen is not done twice."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "3", "2"


def upgrade() -> None:
    op.create_table(
        "writers",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("written", sa.String, nullable=False),
    )
