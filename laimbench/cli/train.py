"""``laimbench train``: one run."""

from contextlib import suppress
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from laimbench.cli.output import JsonOption, console_for, emit_json
from laimbench.cli.stores import store_option
from laimbench.cli.sweep import EVERY_S, SaveEveryOption, raise_failures
from laimbench.errors import RunError
from laimbench.store_address import StoreAddress

if TYPE_CHECKING:
    from laimbench.train import Execution, RunConfig
    from laimbench.train.parallel import Process

MODEL, DATA, TRAINING, RESULT = "The model", "What it learns from", "How it is trained", "What is kept"
EXECUTION = "How it is carried out (docs/big-runs.md)"
NOT_OF_THE_RUN = ("run", "store", "out", "save_every", "json")


def train(
    run: Annotated[
        Path | None,
        typer.Argument(help="A TOML file of these options by name; options go before it.", metavar="[RUN.toml]"),
    ] = None,
    family: Annotated[
        str | None,
        typer.Option(help="gpt (the default), bert, transformer, vit, audio or mlp.", rich_help_panel=MODEL),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            help="The one dial: N is N blocks of 64 N channels (mlp: N hidden units); or a name such as gpt2, "
            "llama3-8b, bert-base, vit-b16.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    width: Annotated[int | None, typer.Option(help="Channels; hidden units of an mlp.", rich_help_panel=MODEL)] = None,
    depth: Annotated[int | None, typer.Option(help="Blocks; linear layers of an mlp.", rich_help_panel=MODEL)] = None,
    heads: Annotated[int | None, typer.Option(help="By default of size 32 to 64.", rich_help_panel=MODEL)] = None,
    kv_heads: Annotated[
        int | None, typer.Option(help="Fewer than heads: grouped queries (gpt).", rich_help_panel=MODEL)
    ] = None,
    norm: Annotated[str | None, typer.Option(help="layer or rms.", rich_help_panel=MODEL)] = None,
    mlp: Annotated[str | None, typer.Option(help="gelu, gelu_tanh, relu or swiglu.", rich_help_panel=MODEL)] = None,
    positions: Annotated[str | None, typer.Option(help="learned or rotary (gpt).", rich_help_panel=MODEL)] = None,
    rope_base: Annotated[
        float | None, typer.Option(help="Base of rotary positions (gpt); by default 10,000.", rich_help_panel=MODEL)
    ] = None,
    eps: Annotated[
        float | None, typer.Option(help="Of the norms (gpt, bert), where --start needs its own.", rich_help_panel=MODEL)
    ] = None,
    tied: Annotated[
        bool | None, typer.Option(help="One matrix for tokens in and out (gpt).", rich_help_panel=MODEL)
    ] = None,
    patch: Annotated[int | None, typer.Option(help="Side of a patch (vit).", rich_help_panel=MODEL)] = None,
    objective: Annotated[str | None, typer.Option(help="masked or classes (bert).", rich_help_panel=MODEL)] = None,
    start: Annotated[
        str | None,
        typer.Option(help="A checkpoint to go on from, to fine-tune it.", metavar="FOLDER", rich_help_panel=MODEL),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="builtin:NAME, file:PATH, dir:PATH or synthetic:KIND?...; docs/data.md has all.", rich_help_panel=DATA
        ),
    ] = None,
    vocab_size: Annotated[
        int | None, typer.Option(help="Of the tokenizer trained on the data.", rich_help_panel=DATA)
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="A tokenizer.json to use instead.", metavar="PATH", rich_help_panel=DATA)
    ] = None,
    text_field: Annotated[
        str | None, typer.Option(help="Key or column of the text in JSON lines and Parquet.", rich_help_panel=DATA)
    ] = None,
    seqlen: Annotated[int | None, typer.Option(help="Tokens per sequence.", rich_help_panel=DATA)] = None,
    document_masks: Annotated[
        bool | None, typer.Option(help="No attention across the documents of a window (gpt).", rich_help_panel=DATA)
    ] = None,
    image_size: Annotated[int | None, typer.Option(help="Side of images from folders.", rich_help_panel=DATA)] = None,
    seconds: Annotated[float | None, typer.Option(help="Of clips from folders.", rich_help_panel=DATA)] = None,
    tokens: Annotated[
        int | None, typer.Option(help="Training tokens; samples where the data is not text.", rich_help_panel=TRAINING)
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Sequences or samples per step.", rich_help_panel=TRAINING)
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(help="laim (the default), torch, compile or laim+compile.", rich_help_panel=TRAINING),
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(help="fp32 (the default), or bf16 (autocast).", rich_help_panel=TRAINING)
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu (the default), or cuda (not yet run on a GPU).", rich_help_panel=TRAINING)
    ] = None,
    lr: Annotated[
        float | None, typer.Option(help="Peak learning rate; by rule from the width.", rich_help_panel=TRAINING)
    ] = None,
    schedule: Annotated[str | None, typer.Option(help="cosine, wsd or noam.", rich_help_panel=TRAINING)] = None,
    label_smoothing: Annotated[float | None, typer.Option(help="Of a transformer.", rich_help_panel=TRAINING)] = None,
    evals: Annotated[int | None, typer.Option(help="Evaluations.", rich_help_panel=TRAINING)] = None,
    eval_tokens: Annotated[int | None, typer.Option(help="Tokens of each.", rich_help_panel=TRAINING)] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of weights and data order; by default 0.", rich_help_panel=TRAINING)
    ] = None,
    parallel: Annotated[
        str | None,
        typer.Option(help="Under torchrun: ddp (the default there) or fsdp.", rich_help_panel=EXECUTION),
    ] = None,
    accumulate: Annotated[
        int | None, typer.Option(help="Micro-batches of a step, one after the other.", rich_help_panel=EXECUTION)
    ] = None,
    checkpointing: Annotated[
        bool | None,
        typer.Option(help="Compute blocks again in the backward, for memory.", rich_help_panel=EXECUTION),
    ] = None,
    store: Annotated[
        StoreAddress | None, store_option("Also record the run in this store", rich_help_panel=RESULT)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Keep the trained model in this folder.", metavar="FOLDER", rich_help_panel=RESULT),
    ] = None,
    save_every: SaveEveryOption = EVERY_S,
    json: JsonOption = None,
) -> None:
    """Train one model and print its evaluations. With --store or --out, it goes on where it stopped when started again. Under torchrun
    several processes train it together.
    """
    given = {name: value for name, value in locals().items() if name not in NOT_OF_THE_RUN and value is not None}
    from laimbench.train import RunConfig
    from laimbench.train.follower import follow
    from laimbench.train.parallel import ProcessLost, connected

    values, execution = settings(run, given)
    config = RunConfig.from_dict(values)
    with connected(execution.parallel, config.device) as processes:
        if processes.rank == 0:
            lead(config, execution, processes, store, out, save_every, json)
            return
        try:
            follow(config, execution, processes)
        except ProcessLost:  # the first process, or torchrun, says which and why
            raise typer.Exit(1) from None


def settings(run: Path | None, given: dict[str, Any]) -> tuple[dict[str, Any], "Execution"]:
    """Return the values of a run and how it is carried out, from its file and the options that go before it."""
    from laimbench.ladder.config import read_values
    from laimbench.train import Execution

    values = {**(read_values(run) if run else {}), **given}
    how = {field.name: values.pop(field.name) for field in fields(Execution) if field.name in values}
    return values, Execution(**how)


def lead(
    config: "RunConfig",
    execution: "Execution",
    processes: "Process",
    store: StoreAddress | None,
    out: Path | None,
    save_every: float,
    json: str | None,
) -> None:
    """Train a run, say how it goes, and keep what comes of it; other processes follow."""
    from laimbench.cli.progress import label
    from laimbench.ladder import Ladder, sweep
    from laimbench.ladder.interrupt import Interrupt
    from laimbench.ladder.plan import run_key
    from laimbench.ladder.sweep import Listener
    from laimbench.store import Store
    from laimbench.train import Keeper, Trainer, save_checkpoint
    from laimbench.train.rules import FAMILIES

    console = console_for(json)
    unit = "tokens" if FAMILIES[config.family].counts_tokens else "samples"
    evaluations, summary, kept = [], {}, {}

    class Lines(Listener):
        def skipped(self, config):
            console.print(f"{label(config)}: {store} holds this run already; `laimbench runs list {store}`")

        def note(self, message):
            console.print(f"note: {message}")

        def started(self, config, trainer):
            evaluations.extend(evaluation.to_dict() for evaluation in trainer.evaluations)
            console.print(
                f"{label(config)}: {trainer.params:,} parameters, {trainer.flops_per_step:.3g} FLOPs per step"
            )

        def stepped(self):
            interrupt.check()

        def evaluated(self, config, trainer, evaluation):
            if len(evaluations) < len(trainer.evaluations):
                evaluations.append(evaluation.to_dict())
            rate = f"{evaluation.tokens_per_s:,.0f} {unit}/s" if evaluation.step else ""
            train_loss = f"train {evaluation.train_loss:.4f}  " if evaluation.step else " " * 14
            console.print(
                f"step {evaluation.step:5}/{trainer.total_steps}  {evaluation.tokens:>10,} {unit}  "
                f"{train_loss}val {evaluation.val_loss:.4f}  {rate}"
            )
            if trainer.finished and out is not None:
                kept["sha256"] = save_checkpoint(out, trainer, evaluations[-1])

    lines = Lines()
    with Interrupt() as interrupt:
        if store is not None:
            with Store(store) as opened:
                ladder = Ladder("train", ((config,),))
                trainer = partial(Trainer, execution=execution, processes=processes)
                raise_failures(sweep(ladder, opened, listener=lines, trainer=trainer, save_every_s=save_every).failures)
                summary = opened.find(run_key(config)).summary
        else:
            trainer = Trainer(config, execution, processes)
            for note in trainer.notes:
                lines.note(f"data {config.data}: {note}")
            keeper = None if out is None else Keeper(Path(f"{out}.state"), trainer, every_s=save_every, note=lines.note)
            summary = train_alone(trainer, keeper, lines)
    for name, value in summary.items():
        console.print(f"{name} {value:.4f}")
    if kept:
        console.print(f"model: {out}")
    emit_json({"config": config.to_dict(), "evaluations": finite(evaluations), "summary": summary, **kept}, json)


def train_alone(trainer, keeper, listener) -> dict[str, float]:
    """Train a run that no store holds, from its kept state on if there is one; return its summary."""
    if keeper is not None:
        oddities = keeper.resume()
        if oddities is not None:
            for line in [*oddities, f"goes on from step {trainer.step} of {trainer.total_steps}"]:
                listener.note(line)
    trainer.on_step = lambda: (keeper and keeper.after_step(), listener.stepped())
    listener.started(trainer.config, trainer)
    try:
        if trainer.finished:  # it was killed after its last evaluation
            listener.evaluated(trainer.config, trainer, trainer.evaluations[-1])
        while not trainer.finished:
            evaluation = trainer.advance()
            if keeper is not None:
                keeper.after_evaluation()
            listener.evaluated(trainer.config, trainer, evaluation)
    except BaseException:
        if keeper is not None:
            with suppress(RunError):  # what ended the run is what is told
                keeper.save_last()
        raise
    summary = trainer.summary()
    if keeper is not None:
        keeper.discard()
    return summary


def finite(rows: list[dict]) -> list[dict]:
    """JSON has no NaN: what is not there yet is null."""
    return [{k: None if v != v else v for k, v in row.items()} for row in rows]
