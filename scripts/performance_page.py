"""Write what `make study-cpu` measured into docs/performance.md, between <!-- cpu --> and <!-- /cpu -->.

Usage: python scripts/performance_page.py PAGE.md RESULT.json ...    (a result for each number of threads)
"""

import json
import sys
from pathlib import Path
from typing import Any

from readme_bench import write_between

DTYPES = ("fp32", "bf16")


def threads_of(document: dict[str, Any]) -> str:
    count = document["machine"]["threads"]
    return f"{count} thread{'s' if count > 1 else ''}"


def cell(row: dict[str, Any] | None) -> str:
    """Return a ratio, the share of the peak and what bounds laim; bold where it loses."""
    if row is None:
        return ""
    ratio = f"{row['speedup']:.2f}"
    against = "" if row["best_stock"] == "torch" else f" {row['best_stock']}"
    busy = ", busy" if row["busy"] else ""
    return f"{f'**{ratio}**' if row['speedup'] < 1 else ratio}{against}, {row['percent_of_peak']:.0f} % {row['bound']}{busy}"


def markdown(documents: list[dict[str, Any]]) -> str:
    """Return a table for each op, with a column for each dtype and number of threads."""
    machine = documents[0]["machine"]
    columns = [(dtype, document) for dtype in DTYPES for document in documents if dtype in document["peak_gflops"]]
    lines = [
        f"{machine['machine']}, {machine['isa']}, torch {machine['torch']}. Peaks (GFLOP/s of a large matrix product): "
        + "; ".join(f"{dtype}, {threads_of(document)}: {document['peak_gflops'][dtype]:.0f}" for dtype, document in columns)
        + ". Copying (GB/s): " + ", ".join(f"{document['peak_gbytes_per_s']:.0f}" for document in documents) + "."
    ]  # fmt: skip
    rows = {
        (row["op"], row["shape"], row["direction"], row["dtype"], document["machine"]["threads"]): row
        for document in documents
        for row in document["rows"]
    }
    heads = [f"{dtype}, {threads_of(document)}" for dtype, document in columns]
    for op in dict.fromkeys(key[0] for key in rows):
        lines += [
            "",
            f"### {op.replace('_', ' ')}",
            "",
            "| shape | direction | " + " | ".join(heads) + " |",
            "| --- " * (2 + len(heads)) + "|",
        ]
        for shape, direction in dict.fromkeys(key[1:3] for key in rows if key[0] == op):
            cells = [cell(rows.get((op, shape, direction, dtype, doc["machine"]["threads"]))) for dtype, doc in columns]
            lines.append(f"| {shape} | {direction} | " + " | ".join(cells) + " |")
    losing = sum(row["speedup"] < 1 for row in rows.values())
    lines += ["", f"laim is slower in {losing} of {len(rows)} rows."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    page, *results = map(Path, sys.argv[1:])
    write_between(page, "cpu", markdown([json.loads(path.read_text(encoding="utf-8")) for path in results]))
