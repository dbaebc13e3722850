"""``laimbench audit``: what a corpus holds that nobody should be trained on."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from laimbench.cli.output import JsonOption, console_for, emit_json
from laimbench.cli.stores import store_option
from laimbench.store_address import StoreAddress

SHOWN = 3  # places of each kind on the console


def audit(
    source: Annotated[str, typer.Argument(help="builtin:python, file:PATH or dir:PATH.", metavar="SOURCE")],
    redact: Annotated[
        Path | None, typer.Option(help="Also write a copy with placeholders to this new folder.", metavar="OUT")
    ] = None,
    text_field: Annotated[str, typer.Option(help="Key or column of the text in JSON lines and Parquet.")] = "text",
    model: Annotated[
        Path | None,
        typer.Option(help="Also probe this gpt checkpoint: what it memorised of its training.", metavar="CHECKPOINT"),
    ] = None,
    templates: Annotated[
        Path | None, typer.Option(help="With --model: probe its bias by these templates.", metavar="FILE.toml")
    ] = None,
    store: Annotated[StoreAddress | None, store_option("Also keep the result in this store, for its report")] = None,
    json: JsonOption = None,
) -> None:
    """Scan a text source for personal data and secrets; examples are shown masked only. Probe a model trained on it."""
    from laimbench.errors import InputError

    if templates is not None and model is None:
        raise InputError(f"templates {templates}: which model? expected --model CHECKPOINT with them")
    console = console_for(json)
    checkpoint = None
    if model is not None:  # what is wrong with it is said before the scan, which may take minutes
        from laimbench.evaluate.language_model import read_language_model

        checkpoint = read_language_model(model)
    document = privacy_part(console, source, text_field, redact)
    if checkpoint is not None:
        document |= model_parts(console, checkpoint, templates)
    if store is not None:
        keep(store, document)
    emit_json(document, json)


def privacy_part(console: Console, source: str, text_field: str, redact: Path | None) -> dict[str, Any]:
    """Scan, print, and return {"privacy": …}."""
    from laimbench.responsible.privacy import scan

    found = scan(source, text_field=text_field, redacted=redact)
    shown = Table(title=escape(f"{source}: {found.documents:,} documents, {found.characters:,} characters"))
    for column, justify in (("kind", "left"), ("found", "right"), ("documents", "right"), ("first places", "left")):
        shown.add_column(column, justify=justify, overflow="fold")
    for kind, count in found.counts.items():
        first = "\n".join(escape(f"{p.document}:{p.line}  {p.masked}") for p in found.places[kind][:SHOWN])
        shown.add_row(kind, f"{count:,}", f"{found.documents_with[kind]:,}", first)
    console.print(shown)
    if found.left_out:
        more = f" (and {len(found.left_out) - 1} more)" if len(found.left_out) > 1 else ""
        console.print(escape(f"note: left out or replaced: {found.left_out[0]}{more}"))
    if redact is not None:
        console.print(escape(f"redacted copy: dir:{redact}"), soft_wrap=True)
    return {"privacy": found.to_dict()}


def model_parts(console: Console, checkpoint: Any, templates: Path | None) -> dict[str, Any]:
    """Probe a gpt checkpoint, print, and return {"memorisation": …}, with templates {"bias": …} as well."""
    from laimbench.evaluate.language_model import bias_of, memorisation_of

    folder = checkpoint.folder
    parts = memorisation_of(checkpoint)
    one = parts["memorisation"]
    about = f"next {one['continuation']} tokens exact after {one['prefix']}"
    shown = Table(title=escape(f"{folder}: trained on {checkpoint.config.data}, {about}"))
    for column in ("windows", "reproduced", "share", "95 %"):
        shown.add_column(column, justify="left" if column == "windows" else "right")
    for name, side in (("training", one["training"]), ("held out", one["held_out"])):
        low, high = side["interval"]
        reproduced = f"{side['reproduced']} of {side['windows']}"
        shown.add_row(name, reproduced, f"{side['share']:.4f}", f"{low:.4f} to {high:.4f}")
    low, high = one["difference_interval"]
    shown.add_row("difference", "", f"{one['difference']:+.4f}", f"{low:+.4f} to {high:+.4f}")
    console.print(shown)
    if templates is not None:
        parts |= bias_of(checkpoint, templates)
        shown = Table(
            title=escape(f"{folder}: loss after names of the first group less after the second, nats per token")
        )
        for column in ("first", "second", "difference", "95 % over templates"):
            shown.add_column(column, justify="left" if column in ("first", "second") else "right")
        for pair in parts["bias"]:
            ends = "none" if pair["interval"] is None else "{:+.4f} to {:+.4f}".format(*pair["interval"])
            shown.add_row(escape(pair["first"]), escape(pair["second"]), f"{pair['mean']:+.4f}", ends)
        console.print(shown)
    return parts


def keep(store: StoreAddress, parts: dict[str, Any]) -> None:
    """Add the parts of an audit to the store as one document, with where they came from."""
    from laimbench import provenance
    from laimbench.responsible.section import DOCUMENT_KIND
    from laimbench.store import Store

    with Store(store) as opened:
        opened.save_document(DOCUMENT_KIND, parts | {"machine": provenance.collect()})
