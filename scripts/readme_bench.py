"""Write the speed-ups of a bench result into a Markdown file, between <!-- bench --> and <!-- /bench -->.

Usage: python scripts/readme_bench.py RESULT.json README.md
"""

import json
import re
import sys
from pathlib import Path

COLUMNS = [(dtype, direction) for dtype in ("fp32", "bf16") for direction in ("forward", "forward+backward")]


def span(ratios: list[float]) -> str:
    """Return the range of some ratios, '' where there are none."""
    if not ratios:
        return ""
    low, high = f"{min(ratios):.2f}", f"{max(ratios):.2f}"
    return low if low == high else f"{low}–{high}"


def markdown(document: dict) -> str:
    """Return one row per op, one column per dtype and direction, the range over shapes in each cell."""
    lines = ["| op | " + " | ".join(f"{dtype} {direction}" for dtype, direction in COLUMNS) + " |", "| --- " * 5 + "|"]
    for op in dict.fromkeys(row["op"] for row in document["rows"]):
        cells = []
        for dtype, direction in COLUMNS:
            wanted = {direction, "step"} if direction == "forward+backward" else {direction}
            cells.append(span([row["speedup"] for row in document["rows"]
                               if (row["op"], row["dtype"]) == (op, dtype) and row["direction"] in wanted]))  # fmt: skip
        lines.append(f"| {op} | " + " | ".join(cells) + " |")
    losing = sum(row["speedup"] < 1 for row in document["rows"])
    machine = document["machine"]
    return (
        f"{machine['machine']}, {machine['isa']}, {machine['threads']} threads, torch {machine['torch']}; more than 1: laim is faster "
        "than the best of eager and `torch.compile`; ranges are over shapes.\n\n"
        + "\n".join(lines)
        + f"\n\nlaim is slower in {losing} of {len(document['rows'])} rows; all of them, with intervals, are in the JSON.\n"
    )


def write_between(page: Path, name: str, content: str) -> None:
    """Put content between a page's <!-- name --> and <!-- /name -->."""
    text, count = re.subn(
        rf"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)",
        lambda _: content,
        page.read_text(encoding="utf-8"),
        flags=re.DOTALL,
    )
    if count != 1:
        sys.exit(f"{page}: expected <!-- {name} --> and <!-- /{name} --> once")
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    result, page = map(Path, sys.argv[1:])
    write_between(page, "bench", markdown(json.loads(result.read_text())))
