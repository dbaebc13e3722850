"""How long does it take to open and to list a store of 10,000 runs with 1,000 evaluations each, and to read one of them?

Run by ``make study-big-store`` (QUICK=1: 100 runs with 100 evaluations). The rows are written in bulk, past ``Store``, which would take hours; all that is
timed is ``Store``'s own. With ``--store URL`` the store is made there, in an empty database, in place of a file that goes at the end;
``--evaluations`` of each run then keep it small.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import insert
from study_result import command_line, save

from laimbench.store import Leases, Store
from laimbench.store.leases import leases_of
from laimbench.store.schema import Metric, Run
from laimbench.store_address import StoreAddress
from laimbench.train import RunConfig

RUNS, EVALUATIONS = 10_000, 1_000
QUICK = 100
REPEATS = 5
MOST_S = 1.0  # that listing may take
BATCH = 100  # runs


def fill(store: Store, runs: int, evaluations: int) -> None:
    """Put finished runs with their evaluations into an empty store."""
    config = RunConfig().to_dict()
    facts = {"sweep": "big", "family": "gpt", "size": "d4-w256", "backend": "laim", "dtype": "fp32", "params": 10**7,
             "params_non_embedding": 9 * 10**6, "tokens": 10**9, "flops": 6e16, "status": "done", "error": "", "config": config,
             "machine": {"machine": "none", "threads": 1}, "summary": {"accuracy": 0.5}, "started_at": "", "finished_at": ""}  # fmt: skip
    for first in range(1, runs + 1, BATCH):
        ids = range(first, min(first + BATCH, runs + 1))
        with store.writing() as session:
            connection = session.connection()
            connection.execute(insert(Run.__table__), [{"id": i, "key": f"{i:064x}", "seed": i, **facts} for i in ids])
            rows = [{"run_id": i, "step": step, "tokens": 1000 * step, "flops": 6e10 * step, "train_s": 0.1 * step, "train_loss": 3.0,
                     "val_loss": 2.0 + i / runs + 1 / (1 + step), "tokens_per_s": 1e5} for i in ids for step in range(evaluations)]  # fmt: skip
            connection.execute(insert(Metric.__table__), rows)


def seconds(work: Callable[[], Any]) -> dict[str, float]:
    """Return the median and the longest time of some calls; the first is one of them."""
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return {"median_s": round(statistics.median(times), 4), "longest_s": round(max(times), 4)}


def measure(address: StoreAddress, runs: int, evaluations: int) -> dict[str, Any]:
    started = time.perf_counter()
    with Store(address) as store:
        fill(store, runs, evaluations)
    filled = time.perf_counter() - started
    with Store(address, must_exist=True) as store:
        found = store.runs()
        assert len(found) == runs and all(run.train_s == 0.1 * (evaluations - 1) for run in found)
        middle = found[runs // 2]
        with Leases(store) as leases:
            times = {
                "open": seconds(lambda: Store(address, must_exist=True).close()),
                "runs": seconds(store.runs),
                "runs_of_one_sweep": seconds(lambda: store.runs(sweep="big")),
                "find": seconds(lambda: store.find(middle.key)),
                "metrics_of_a_run": seconds(lambda: store.metrics(middle.id)),
                "statuses": seconds(store.statuses),
                "leases": seconds(lambda: leases_of(store)),
                "claim": seconds(lambda: leases.claim(["0"])),
                "version": seconds(store.version),
            }
    return {"runs": runs, "evaluations": evaluations, "database": "postgresql" if address.is_url else "sqlite",
            "filled_s": round(filled, 1), "times": times, "most_s": MOST_S}  # fmt: skip


if __name__ == "__main__":
    parser = command_line(__doc__)
    parser.add_argument("--store", type=StoreAddress.of, help="an empty database in place of a file")
    parser.add_argument("--evaluations", type=int)
    arguments = parser.parse_args()
    runs, evaluations = (QUICK, QUICK) if arguments.quick else (RUNS, arguments.evaluations or EVALUATIONS)
    with tempfile.TemporaryDirectory() as folder:
        result = measure(arguments.store or StoreAddress.of(Path(folder) / "runs.sqlite"), runs, evaluations)
    for name, measured in result["times"].items():
        print(f"{name:18} {measured['median_s']:.4f} s, at most {measured['longest_s']:.4f} s")
    save(f"big-store{'-postgresql' * (arguments.store is not None)}", result, None, arguments.quick)
    sys.exit(result["times"]["runs"]["median_s"] > MOST_S)
