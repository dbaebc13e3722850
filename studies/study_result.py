"""Each study is a script that runs from nothing; this writes its result where docs quote it: docs/results/NAME.json with its provenance, and NAME.png."""

import argparse
import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

from laimbench import provenance
from laimbench.files import write_atomically

RESULTS = Path(__file__).resolve().parent.parent / "docs" / "results"
QUICK_RESULTS = Path("build") / "studies"  # a quick run proves that the study runs, its figures prove nothing


def save(name: str, result: dict[str, Any], picture: Callable[[dict, Path], None] | None, quick: bool) -> None:
    folder = QUICK_RESULTS if quick else RESULTS
    document = {"study": name, "quick": quick, "machine": provenance.collect(), **result}
    write_atomically(folder / f"{name}.json", json.dumps(document, indent=1, allow_nan=False) + "\n")
    if picture is not None:
        picture(result, folder / f"{name}.png")
    print(f"wrote {folder / f'{name}.json'}")


def rows_of_others(name: str, rows: str, families: list[str]) -> list[dict[str, Any]]:
    """Return what the last full run wrote under ``rows`` for other families than these, so that one family can be measured anew.

    Every row says on which machine and when it was measured; one that does not has its file's.
    """
    path = RESULTS / f"{name}.json"
    document = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {rows: []}
    return [{"machine": document["machine"], **row} for row in document[rows] if row["family"] not in families]


def save_figure(figure: Any, path: Path) -> None:
    """Write a matplotlib figure as PNG."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    write_atomically(path, buffer.getvalue())


def command_line(description: str | None) -> argparse.ArgumentParser:
    """Return the options that every study has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true")
    return parser
