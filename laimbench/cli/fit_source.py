"""Where ``laimbench fit`` gets its runs: a store, or anybody's table."""

from pathlib import Path

import numpy as np

from laimbench.errors import InputError
from laimbench.laws.table import Table, from_columns, read_table

SQLITE_MAGIC = b"SQLite format 3\0"


def read_source(path: Path, columns: str, where: str) -> Table:
    """Return the table; of a store, a row per finished run with its configuration."""
    if not is_store(path):
        return read_table(path, columns, where)
    return from_columns(columns_of_store(path), columns, where, source=f"store {path}")


def is_store(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return stream.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC
    except OSError:
        return False


def columns_of_store(path: Path) -> dict[str, np.ndarray]:
    """Return params, tokens, flops, loss (the last validation loss), labels, and what the configurations hold besides."""
    from laimbench.store import Store

    with Store(path, must_exist=True) as store:
        runs = [run for run in store.runs(status="done") if run.final_val_loss is not None]
    if not runs:
        raise InputError(f"store {path}: no finished run, expected some; see `laimbench runs list`")
    facts = ("params", "params_non_embedding", "tokens", "flops", "family", "size", "backend", "dtype", "seed", "sweep")
    columns = {name: [getattr(run, name) for run in runs] for name in facts}
    columns["loss"] = [run.final_val_loss for run in runs]
    columns["train_loss"] = [run.final_train_loss for run in runs]
    columns["train_s"] = [run.train_s for run in runs]
    for kind in ("config", "summary"):
        for name in sorted({key for run in runs for key in getattr(run, kind)} - columns.keys()):
            values = [getattr(run, kind).get(name) for run in runs]
            if all(isinstance(value, int | float | str | None) for value in values):
                columns[name] = values
    return columns
