"""``laimbench audit``: what a corpus holds that nobody should be trained on."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from laimbench.cli.output import JsonOption, console_for, emit_json

SHOWN = 3  # places of each kind on the console


def audit(
    source: Annotated[str, typer.Argument(help="builtin:python, file:PATH or dir:PATH.", metavar="SOURCE")],
    redact: Annotated[
        Path | None, typer.Option(help="Also write a copy with placeholders to this new folder.", metavar="OUT")
    ] = None,
    text_field: Annotated[str, typer.Option(help="Key or column of the text in JSON lines and Parquet.")] = "text",
    store: Annotated[Path | None, typer.Option(help="Also keep the result in this store, for its report.")] = None,
    json: JsonOption = None,
) -> None:
    """Scan a text source for personal data and secrets; examples are shown masked only."""
    console = console_for(json)
    document = privacy_part(console, source, text_field, redact)
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


def keep(store: Path, parts: dict[str, Any]) -> None:
    """Add the parts of an audit to the store as one document, with where they came from."""
    from laimbench import provenance
    from laimbench.responsible.section import DOCUMENT_KIND
    from laimbench.store import Store

    with Store(store) as opened:
        opened.save_document(DOCUMENT_KIND, parts | {"machine": provenance.collect()})
