"""Runs, their evaluations, documents."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "1", None

WHOLE = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "runs",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("key", sa.String, nullable=False, unique=True),
        *(sa.Column(name, sa.String, nullable=False) for name in ("sweep", "family", "size", "backend", "dtype")),
        *(sa.Column(name, WHOLE, nullable=False) for name in ("seed", "params", "params_non_embedding", "tokens")),
        sa.Column("flops", sa.Double, nullable=False),
        *(sa.Column(name, sa.String, nullable=False) for name in ("status", "error")),
        *(sa.Column(name, sa.JSON, nullable=False) for name in ("config", "machine", "summary")),
        *(sa.Column(name, sa.String, nullable=False) for name in ("started_at", "finished_at")),
    )
    op.create_index("runs_by_sweep", "runs", ["sweep", "status"])
    op.create_table(
        "metrics",
        sa.Column("run_id", WHOLE, sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("step", WHOLE, primary_key=True),
        sa.Column("tokens", WHOLE, nullable=False),
        *(sa.Column(name, sa.Double, nullable=False) for name in ("flops", "train_s")),
        *(sa.Column(name, sa.Double) for name in ("train_loss", "val_loss", "tokens_per_s")),
    )
    op.create_table(
        "documents",
        sa.Column("id", WHOLE, primary_key=True),
        *(sa.Column(name, sa.String, nullable=False) for name in ("kind", "created_at")),
        sa.Column("body", sa.JSON, nullable=False),
    )
