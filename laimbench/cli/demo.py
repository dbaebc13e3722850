"""``laimbench demo``: the whole story on data that is on every machine, minutes on two cores."""

from pathlib import Path
from typing import Annotated

import typer

from laimbench.cli.output import JsonOption, console_for, emit_json


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the store and the page.")] = Path("report"),
    smoke: Annotated[bool, typer.Option("--smoke", help="The smallest form, for tests: seconds, no bench.")] = False,
    json: JsonOption = None,
) -> None:
    """Bench the kernels, train a ladder with laim and with stock, fit the law, write the page. Goes on where it was stopped."""
    from laimbench.bench import bench
    from laimbench.cli.bench import line
    from laimbench.cli.report import make_report
    from laimbench.cli.sweep import raise_failures, run_ladder
    from laimbench.ladder.builtin import demo_ladders
    from laimbench.provenance import has_native_bf16
    from laimbench.store import Store

    console = console_for(json)
    store = out / "demo.sqlite"
    with Store(store) as opened:
        if not smoke and not opened.documents("bench"):
            console.rule("kernels and training steps, laim against stock")
            dtypes = ("fp32", "bf16") if has_native_bf16() else ("fp32",)
            if "bf16" not in dtypes:
                console.print(
                    "bf16 is left out here: this processor does it in software, slowly; `laimbench bench` times it"
                )
            report = lambda row: console.print(line(row))  # noqa: E731
            document = bench("quick", dtypes=dtypes, with_compile=False, budget_s=0.2, report=report)
            opened.save_document("bench", document)
    failures = []
    for ladder in demo_ladders(smoke, has_native_bf16()):
        console.rule(f"{ladder.name}: {len(ladder.runs)} runs")
        outcome = run_ladder(console, ladder, store)
        failures.append(outcome)
    console.rule("the answer")
    answers = make_report(console, store, out / "index.html")
    emit_json({"page": str(out / "index.html"), "store": str(store), "answers": [a.to_dict() for a in answers]}, json)
    for outcome in failures:
        raise_failures(outcome.failures)
