"""``laimbench generate``: text that continues prompts."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from laimbench.cli.output import JsonOption, console_for, emit_json
from laimbench.cli.using import CheckpointArgument, harmless, note, opened, with_input
from laimbench.errors import InputError

SAMPLING = "How tokens are drawn"


def generate(
    checkpoint: CheckpointArgument,
    prompts: Annotated[
        list[str] | None, typer.Argument(help="Texts to continue; - reads standard input.", metavar="[PROMPT]...")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="A file whose text is one more prompt.")] = None,
    new_tokens: Annotated[int, typer.Option(help="At most so many tokens for each prompt.")] = 64,
    stop: Annotated[list[str] | None, typer.Option(help="End before this string; may be given again.")] = None,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token.", rich_help_panel=SAMPLING)] = 0.8,
    top_k: Annotated[int, typer.Option(help="Of the k likeliest; 0: of all.", rich_help_panel=SAMPLING)] = 0,
    top_p: Annotated[
        float, typer.Option(help="Of the fewest that reach this probability.", rich_help_panel=SAMPLING)
    ] = 1.0,
    min_p: Annotated[
        float, typer.Option(help="Of those this times as likely as the likeliest.", rich_help_panel=SAMPLING)
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Of the first prompt; one more for each after it.")] = 0,
    json: JsonOption = None,
) -> None:
    """Continue prompts by a trained gpt; a single one appears as it is written."""
    import torch

    from laimbench.deploy import Generator
    from laimbench.deploy.text import completion
    from laimbench.models.decoding import Sampling

    console, aside = console_for(json), Console(stderr=True, highlight=False)
    sampling = Sampling(temperature, top_k, top_p, min_p, seed)
    texts = with_input([*(prompts or []), *([_read(file)] if file else [])])
    generator = opened(checkpoint, Generator)
    torch.set_num_threads(generator.threads)
    encoded = [generator.prompt(text, new_tokens) for text in texts]
    for number, prompt in enumerate(encoded, 1):
        note(aside, f"prompt {number}", prompt.note)
    rows: list[list[Any]] = [[] for _ in encoded]
    start = time.perf_counter()
    for step in generator.stream(encoded, new_tokens, sampling, stop or []):
        for piece in step:
            rows[piece.row].append(piece)
            if len(rows) == 1:
                _write(console, piece.text)
    seconds = time.perf_counter() - start
    completions = [completion(prompt, row) for prompt, row in zip(encoded, rows, strict=True)]
    if len(rows) == 1:
        _write(console, "\n")
    else:
        for number, one in enumerate(completions, 1):
            console.print(f"[bold]prompt {number}[/bold] ({one.finish_reason})")
            _write(console, one.text + "\n")
    tokens = sum(one.completion_tokens for one in completions)
    reasons = ", ".join(sorted({one.finish_reason for one in completions}))
    aside.print(f"[dim]{tokens} tokens, {tokens / seconds:,.0f} tokens/s, {escape(reasons)}[/dim]")
    emit_json(
        {
            "checkpoint": str(checkpoint),
            "sampling": asdict(sampling),
            "completions": [{"prompt": text, **asdict(one)} for text, one in zip(texts, completions, strict=True)],
            "seconds": seconds,
            "tokens_per_s": tokens / seconds,
        },
        json,
    )


def _write(console: Console, text: str) -> None:
    """Write text as it is, or to a terminal without what it would obey."""
    console.file.write(harmless(text) if console.is_terminal else text)
    console.file.flush()


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: not UTF-8 at byte {error.start}") from None
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror})") from None
