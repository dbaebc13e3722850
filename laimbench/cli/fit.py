"""``laimbench fit``: a law from a store or a table."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from laimbench.cli.fit_source import read_source
from laimbench.cli.fit_view import (
    show_analysis,
    show_approaches,
    show_check,
    show_conventions,
    show_profiles,
    show_selection,
)
from laimbench.cli.output import JsonOption, console_for, emit_json
from laimbench.cli.stores import FORM
from laimbench.errors import InputError
from laimbench.files import write_atomically
from laimbench.store_address import StoreAddress

if TYPE_CHECKING:
    from laimbench.laws.analysis import Analysis

JUDGE, LAW, SURE, SHOW = "Which runs", "Which law", "How sure", "What to show"


def fit(
    source: Annotated[StoreAddress, typer.Argument(parser=StoreAddress.of, metavar="SOURCE", help=f"A store ({FORM}), or a table: CSV, JSON (lines), Parquet.")],
    columns: Annotated[str, typer.Option(help="Ours = the table's: params=Model Size,tokens=D|flops=C,loss=val; the rest is guessed and told.", rich_help_panel=JUDGE)] = "",
    where: Annotated[str, typer.Option(help="Rows to use: \"backend=laim and params > 10M\".", rich_help_panel=JUDGE)] = "",
    quality: Annotated[str, typer.Option(help="Runs in doubt: flag, drop, off. None is dropped silently.", rich_help_panel=JUDGE)] = "flag",
    params: Annotated[str, typer.Option(help="Count parameters as total or non_embedding; by default as given.", rich_help_panel=JUDGE)] = "",
    flops: Annotated[str, typer.Option(help="Count FLOPs as 6ND, kaplan or exact; by default as given.", rich_help_panel=JUDGE)] = "",
    form: Annotated[str, typer.Option(help="chinchilla, kaplan, power, broken, repeated, sigmoid, or a sum of powers: 'E + A/N^a + B/D^b'.", rich_help_panel=LAW)] = "chinchilla",
    variables: Annotated[str, typer.Option(help="Of power, broken (one) and sigmoid (one or more): flops by default; params, tokens, tokens_per_param, width ...", rich_help_panel=LAW)] = "",
    metric: Annotated[str, typer.Option(help="The column of results: loss; accuracy, f1 ... for sigmoid.", rich_help_panel=LAW)] = "loss",
    loss_function: Annotated[str, typer.Option(help="Of residuals: huber, squared, cauchy.", rich_help_panel=LAW)] = "huber",
    delta: Annotated[float | None, typer.Option(help="Its scale; Huber by default 1e-3 in log loss.", rich_help_panel=LAW)] = None,
    fix: Annotated[str, typer.Option(help="Hold parameters: E=1.69,alpha=0.34.", rich_help_panel=LAW)] = "",
    bound: Annotated[str, typer.Option(help="Keep parameters within: alpha=0:1,E=0:2.", rich_help_panel=LAW)] = "",
    bootstrap: Annotated[int, typer.Option(min=0, help="Refits for the intervals.", rich_help_panel=SURE)] = 400,
    clusters: Annotated[str, typer.Option(help="Column whose equal values are resampled together; auto: seeds of a configuration; none.", rich_help_panel=SURE)] = "auto",
    resampling: Annotated[str, typer.Option(help="rows, clusters or parametric.", rich_help_panel=SURE)] = "rows",
    seed: Annotated[int, typer.Option(help="Of the resampling.", rich_help_panel=SURE)] = 0,
    check: Annotated[str, typer.Option(help="Anyone's parameters against our optimum: E=1.69,A=406.4,...", rich_help_panel=SHOW)] = "",
    profile: Annotated[bool, typer.Option("--profile", help="The profile of every parameter.", rich_help_panel=SHOW)] = False,
    conventions: Annotated[bool, typer.Option("--conventions", help="What counting parameters and FLOPs otherwise does to the exponents.", rich_help_panel=SHOW)] = False,
    approaches: Annotated[bool, typer.Option("--approaches", help="Envelope of curves, isoFLOP parabolas and this law side by side.", rich_help_panel=SHOW)] = False,
    select: Annotated[bool, typer.Option("--select", help="How forms predict runs of more compute than they were fitted to.", rich_help_panel=SHOW)] = False,
    pictures: Annotated[Path | None, typer.Option(help="A folder for PNG and SVG pictures (needs matplotlib).", rich_help_panel=SHOW)] = None,
    report: Annotated[Path | None, typer.Option(help="A file for all of it: .md, or .html with the pictures.", rich_help_panel=SHOW)] = None,
    json: JsonOption = None,
) -> None:  # fmt: skip
    """Fit a scaling law: many starts, the optimum to machine precision, BCa intervals, and what the data cannot say.

    Tokens, parameters or FLOPs that a table lacks follow from FLOPs = 6 N D. A store gives the last validation loss of every finished run,
    with FLOPs counted exactly.
    """
    from laimbench import laws
    from laimbench.laws import analysis

    chosen = tuple(name.strip() for name in variables.split(",") if name.strip())
    if form.isidentifier():  # a text waits for the table's columns
        try:
            laws.get_form(form, chosen)
        except InputError as error:
            raise InputError(f"--form: {error}") from None
    table = read_source(source, columns, where)
    options = analysis.Options(
        form=form,
        variables=chosen,
        target=metric,
        quality=quality,
        params_convention=params or None,
        flops_convention=flops or None,
        loss_function=loss_function,
        delta=delta,
        fixed=numbers(fix, "--fix"),
        bounds={name: ends(value, name) for name, value in pairs(bound, "--bound").items()},
        clusters=clusters,
        resampling=resampling,
        bootstrap=bootstrap,
        seed=seed,
    )
    console = console_for(json)
    found = analysis.analyse(table, options)
    document = {"kind": "fit", "where": where, "columns": columns, **found.to_dict()}
    show_analysis(console, found)
    if check:
        document["check"] = analysis.check(found.fit, numbers(check, "--check"))
        show_check(console, document["check"])
    if profile:
        document["profiles"] = [one.to_dict() for one in analysis.profiles(found.fit)]
        show_profiles(console, document["profiles"])
    if conventions:
        from laimbench.laws.conventions import compare

        effects, absent = compare(found.table.select(found.used))
        document["conventions"] = {"effects": [effect.to_dict() for effect in effects], "absent": absent}
        show_conventions(console, document["conventions"])
    if approaches:
        compared = analysis.approaches(found)
        document["approaches"] = compared.to_dict()
        show_approaches(console, compared)
    if select:
        selected = analysis.selection(found)
        document["selection"] = selected.to_dict()
        show_selection(console, selected)
    if report:
        write_report(report, document, found)
        console.print(f"wrote {report}")
    if pictures:
        from laimbench.laws.output.pictures import save_pictures

        for path in save_pictures(found.fit, pictures, target=metric, review=found.review, table=found.table):
            console.print(f"wrote {path}")
    emit_json(document, json)


def write_report(path: Path, document: dict[str, Any], found: "Analysis") -> None:
    from laimbench.laws.output.document import to_html, to_markdown
    from laimbench.laws.output.pictures import make_pictures

    if path.suffix not in (".md", ".html"):
        raise InputError(f"--report is {path}, expected a name that ends in .md or .html")
    if path.suffix == ".md":
        write_atomically(path, to_markdown(document))
    else:
        figures = make_pictures(found.fit, target=document["options"]["target"], review=found.review, table=found.table)
        write_atomically(path, to_html(document, figures))


def numbers(text: str, option: str) -> dict[str, float]:
    """Parse ``a=1,b=2``."""
    return {name: number(value, f"{option} {name}") for name, value in pairs(text, option).items()}


def ends(text: str, name: str) -> tuple[float, float]:
    """Parse ``low:high``; an end that is left out is open."""
    low, colon, high = text.partition(":")
    if not colon:
        raise InputError(f"--bound {name} is {text!r}, expected low:high")
    return (
        number(low, f"--bound {name}") if low else float("-inf"),
        number(high, f"--bound {name}") if high else float("inf"),
    )


def number(text: str, what: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{what} is {text!r}, expected a number") from None


def pairs(text: str, option: str) -> dict[str, Any]:
    """Parse ``a=b,c=d``."""
    found = {}
    for part in filter(None, text.split(",")):
        name, separator, value = (piece.strip() for piece in part.partition("="))
        if not separator or not name or not value or name in found:
            raise InputError(f"{option} has {part.strip()!r}, expected name=value, each name once")
        found[name] = value
    return found
