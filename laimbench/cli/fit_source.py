"""Where ``laimbench fit`` gets its runs: a store, or anybody's table."""

from pathlib import Path
from typing import Any

import numpy as np

from laimbench.errors import InputError
from laimbench.laws.table import Table, from_columns, read_table
from laimbench.store_address import StoreAddress


def read_source(source: StoreAddress | Path, columns: str, where: str) -> Table:
    """Return the table; of a store, a row per finished run with its configuration."""
    address = StoreAddress.of(source)
    if not address.is_store():
        return read_table(address.path, columns, where)
    return from_columns(columns_of_store(address), columns, where, source=f"store {address}")


def columns_of_store(address: StoreAddress | Path) -> dict[str, np.ndarray]:
    """Return params, tokens, flops, loss (the last validation loss), labels, and what the configurations hold besides."""
    from laimbench.store import Store

    with Store(address, must_exist=True) as store:
        runs = [run for run in store.runs(status="done") if run.final_val_loss is not None]
    if not runs:
        raise InputError(f"store {address}: no finished run, expected some; see `laimbench runs list`")
    facts = ("params", "params_non_embedding", "tokens", "flops", "family", "size", "backend", "dtype", "seed", "sweep")
    columns = {"run": [f"run {run.id}" for run in runs]}
    columns |= {name: [getattr(run, name) for run in runs] for name in facts}
    columns["loss"] = [run.final_val_loss for run in runs]
    columns["train_loss"] = [run.final_train_loss for run in runs]
    columns["train_s"] = [run.train_s for run in runs]
    configs = [_resolved(run.config) for run in runs]
    for records in (configs, [run.summary for run in runs]):
        for name in sorted({key for record in records for key in record} - columns.keys()):
            columns[name] = [record.get(name) for record in records]
    return columns


def _resolved(config: dict[str, Any]) -> dict[str, Any]:
    """Return a run's configuration with what its rules chose in place of the 0 that asks for them."""
    from laimbench.train import RunConfig

    run = RunConfig.from_dict(config)
    return config | {"heads": run.head_count, "lr": run.learning_rate}
