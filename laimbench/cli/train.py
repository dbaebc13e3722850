"""``laimbench train``: one run."""

from pathlib import Path
from typing import Annotated

import typer

from laimbench.cli.output import JsonOption, console_for, emit_json


def train(
    family: Annotated[str, typer.Option(help="gpt or mlp.")] = "gpt",
    width: Annotated[int, typer.Option(help="Channels of a gpt, hidden units of an mlp.")] = 128,
    depth: Annotated[int, typer.Option(help="Blocks of a gpt.")] = 2,
    data: Annotated[
        str, typer.Option(help="builtin:python, builtin:digits (mlp), file:PATH, dir:PATH, synthetic:KIND?...")
    ] = "",
    backend: Annotated[str, typer.Option(help="laim, torch, compile or laim+compile.")] = "laim",
    dtype: Annotated[str, typer.Option(help="fp32, or bf16 (autocast).")] = "fp32",
    tokens: Annotated[int, typer.Option(help="Training tokens; samples for an mlp.")] = 200_000,
    seqlen: Annotated[int, typer.Option(help="Tokens per sequence.")] = 128,
    batch_size: Annotated[int, typer.Option(help="Sequences or samples per step.")] = 8,
    vocab_size: Annotated[int, typer.Option(help="Of the tokenizer trained on the data.")] = 1024,
    tokenizer: Annotated[str, typer.Option(help="A tokenizer.json to use instead.", metavar="PATH")] = "",
    text_field: Annotated[str, typer.Option(help="Key or column of the text in JSON lines and Parquet.")] = "text",
    lr: Annotated[float, typer.Option(help="Peak learning rate; 0: by rule from the width.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of weights and data order.")] = 0,
    store: Annotated[Path | None, typer.Option(help="Also record the run in this store.")] = None,
    json: JsonOption = None,
) -> None:
    """Train one model and print its evaluations."""
    from laimbench.cli.progress import label
    from laimbench.ladder import Ladder, sweep
    from laimbench.ladder.sweep import Listener
    from laimbench.store import Store
    from laimbench.train import RunConfig, Trainer

    config = RunConfig(
        family=family, width=width, depth=depth, backend=backend, dtype=dtype, tokens=tokens, seqlen=seqlen,
        batch_size=batch_size, vocab_size=vocab_size, tokenizer=tokenizer, text_field=text_field, lr=lr, seed=seed,
        data=data or ("builtin:digits" if family == "mlp" else "builtin:python"),
    )  # fmt: skip
    console = console_for(json)
    evaluations, summary = [], {}

    class Lines(Listener):
        def skipped(self, config):
            console.print(f"{label(config)}: {store} holds this run already; `laimbench runs list {store}`")

        def note(self, message):
            console.print(f"note: {message}")

        def evaluated(self, config, trainer, evaluation):
            evaluations.append(evaluation.to_dict())
            console.print(
                f"step {evaluation.step:5}/{trainer.total_steps}  {evaluation.tokens:>10,} tokens  "
                f"train {evaluation.train_loss:.4f}  val {evaluation.val_loss:.4f}  {evaluation.tokens_per_s:,.0f} tokens/s"
            )

    if store is not None:
        from laimbench.cli.sweep import raise_failures

        with Store(store) as opened:
            raise_failures(sweep(Ladder("train", ((config,),)), opened, listener=Lines()))
            summary = opened.runs()[-1].summary
    else:
        trainer, lines = Trainer(config), Lines()
        for note in trainer.notes:
            lines.note(f"data {config.data}: {note}")
        console.print(f"{label(config)}: {trainer.params:,} parameters, {trainer.flops_per_step:.3g} FLOPs per step")
        while not trainer.finished:
            lines.evaluated(config, trainer, trainer.advance())
        summary = trainer.summary()
    for name, value in summary.items():
        console.print(f"{name} {value:.4f}")
    emit_json({"config": config.to_dict(), "evaluations": finite(evaluations), "summary": summary}, json)


def finite(rows: list[dict]) -> list[dict]:
    """JSON has no NaN: what is not there yet is null."""
    return [{k: None if v != v else v for k, v in row.items()} for row in rows]
