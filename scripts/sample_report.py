"""Write the report of simulated runs, for docs/report.md: what a page looks like, without the minutes that a ladder takes.

    python scripts/sample_report.py PATH

The runs are those of the tests (a known law, a known speed-up, noise); the page says that they are simulated. The rows of kernels are
the measured ones of docs/results/bench.json.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from laimbench.report import answer, write_page  # noqa: E402 - from this tree
from tests.report.synthetic import big_ladder  # noqa: E402


def main(path: Path) -> None:
    runs, metrics = big_ladder(90)
    runs = [
        replace(
            run, sweep="simulated", machine=run.machine | {"machine": "simulated runs", "command": Path(__file__).name}
        )
        for run in runs
    ]
    bench = json.loads((ROOT / "docs/results/bench.json").read_text(encoding="utf-8"))
    write_page(path, answer(runs), runs, metrics, bench, "simulated")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
