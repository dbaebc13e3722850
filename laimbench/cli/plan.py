"""``laimbench plan``: from a law and a budget to models that can be built."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from laimbench.cli.output import JsonOption, console_for, emit_json
from laimbench.errors import InputError

GIB = 2**30


def plan(
    source: Annotated[Path | None, typer.Argument(help="A law: the JSON of `laimbench fit --json`.")] = None,
    law: Annotated[str, typer.Option(help="Or a law typed: E=1.82,A=482,alpha=0.348,B=2085,beta=0.366.")] = "",
    form: Annotated[str, typer.Option(help="The form of a law typed: chinchilla, power...")] = "chinchilla",
    flops: Annotated[str, typer.Option(help="Budget: training FLOPs, 1e21 or 3PF-days.")] = "",
    gpu_hours: Annotated[str, typer.Option(help="Budget: hours of all accelerators together; with --gpu.")] = "",
    money: Annotated[str, typer.Option(help="Budget: $2000; with --gpu and --price.")] = "",
    hours: Annotated[
        str, typer.Option(help="Budget: wall clock, 24 (hours), 90min, 3d; with --gpu and --devices.")
    ] = "",
    loss: Annotated[str, typer.Option(help="Instead of a budget: the loss wanted, in nats.")] = "",
    gpu: Annotated[str, typer.Option(help="A100, H100, H200, B200, L40S, MI300X, or any other with --peak.")] = "",
    peak: Annotated[
        str, typer.Option(help="Peak of one accelerator, 120GFLOPS: measured, or of another precision.")
    ] = "",
    utilisation: Annotated[float, typer.Option(help="Model FLOPs utilisation: the share of the peak reached.")] = 0.4,
    devices: Annotated[int, typer.Option(min=1, help="Accelerators at once.")] = 1,
    price: Annotated[str, typer.Option(help="Of one accelerator-hour, in the currency of --money.")] = "",
    served_tokens: Annotated[str, typer.Option(help="Tokens to be served over the model's life.")] = "",
    unique_tokens: Annotated[str, typer.Option(help="Different training tokens that exist.")] = "",
    architecture: Annotated[str, typer.Option(help="gpt (as laimbench trains), or llama.")] = "gpt",
    vocab_size: Annotated[str, typer.Option(help="Vocabulary; rounded up to a multiple of 128.")] = "50304",
    seqlen: Annotated[str, typer.Option(help="Tokens per sequence.")] = "1024",
    tied: Annotated[
        bool | None, typer.Option("--tied/--untied", help="Output layer shares the embedding (gpt: yes, llama: no).")
    ] = None,
    kv_ratio: Annotated[int, typer.Option(min=1, help="llama: query heads per head of keys and values.")] = 1,
    params: Annotated[str, typer.Option(help="What the law's N counts: total or non_embedding.")] = "total",
    convention: Annotated[str, typer.Option(help="FLOPs of the split: 6ND, kaplan or exact.")] = "6ND",
    micro_batch: Annotated[int, typer.Option(min=1, help="Sequences per device at once, for the memory.")] = 1,
    zero: Annotated[int, typer.Option(help="ZeRO stage, for the memory: 0 to 3.")] = 0,
    precision: Annotated[str, typer.Option(help="bf16 (fp32 master weights) or fp32.")] = "bf16",
    candidates: Annotated[int, typer.Option(min=1, help="How many buildable models to show.")] = 6,
    json: JsonOption = None,
) -> None:
    """Plan a training run: optimal parameters and tokens, buildable models near them, memory, limits of data, and what is not known.

    Give a law and exactly one of --flops, --gpu-hours, --money, --hours, --loss.
    """
    from laimbench.laws.planning.buildable import Architecture
    from laimbench.laws.planning.law import load_law, parse_law
    from laimbench.laws.planning.plan import Training, make_plan
    from laimbench.laws.units import parse_count

    if (source is None) == (not law):
        raise InputError("expected exactly one law: the JSON of `laimbench fit --json`, or --law E=...,A=...")
    known = parse_law(law, form) if law else load_law(source)
    given = {"--flops": flops, "--gpu-hours": gpu_hours, "--money": money, "--hours": hours, "--loss": loss}
    chosen = [name for name, value in given.items() if value]
    if len(chosen) != 1:
        raise InputError(
            f"{len(chosen)} budgets are given ({', '.join(chosen) or 'none'}), expected exactly one of {', '.join(given)}"
        )
    found = make_plan(
        known,
        None if loss else _budget(chosen[0], given[chosen[0]], gpu, peak, utilisation, devices, price),
        loss=_read(parse_count, loss, "--loss") if loss else None,
        served_tokens=_read(parse_count, served_tokens, "--served-tokens") if served_tokens else 0.0,
        unique_tokens=_read(parse_count, unique_tokens, "--unique-tokens") if unique_tokens else None,
        architecture=Architecture(
            architecture, _whole(vocab_size, "--vocab-size"), _whole(seqlen, "--seqlen"),
            architecture == "gpt" if tied is None else tied, kv_ratio, params,
        ),
        convention=convention,
        training=Training(micro_batch, devices, zero, precision),
        limit=candidates,
    )  # fmt: skip
    _print(console_for(json), found, str(source or "typed by hand"))
    emit_json({"source": str(source or "typed by hand"), **found.to_dict()}, json)


def _budget(option: str, text: str, gpu: str, peak: str, utilisation: float, devices: int, price: str):
    from laimbench.laws.planning import budget
    from laimbench.laws.units import parse_count, parse_flops, parse_flops_per_second, parse_money, parse_seconds

    if option == "--flops" and not gpu:
        return budget.of_flops(_read(parse_flops, text, option))
    if not gpu:
        raise InputError(f"{option} needs --gpu: H100, say, or any name with its --peak")
    device = budget.accelerator(gpu, _read(parse_flops_per_second, peak, "--peak") if peak else None)
    if option == "--flops":
        wanted = _read(parse_flops, text, option)
        hours = wanted / (device.peak_flops * utilisation) / budget.SECONDS_PER_HOUR if utilisation > 0 else 0.0
        return budget.of_accelerator_hours(hours, device, utilisation, devices)
    if option == "--gpu-hours":
        return budget.of_accelerator_hours(_read(parse_count, text, option), device, utilisation, devices)
    if option == "--hours":
        seconds = _read(parse_seconds, text + "h" if text.replace(".", "", 1).isdecimal() else text, option)
        return budget.of_wall_clock(seconds, device, utilisation, devices)
    if not price:
        raise InputError("--money needs --price: of one accelerator-hour, in the same currency")
    return budget.of_money(
        _read(parse_money, text, option), _read(parse_money, price, "--price"), device, utilisation, devices
    )


def _read(parse: Callable[[str], float], text: str, option: str) -> float:
    try:
        return parse(text)
    except InputError as error:
        raise InputError(f"{option}: {error}") from None


def _whole(text: str, option: str) -> int:
    from laimbench.laws.units import parse_count

    value = _read(parse_count, text, option)
    if value != int(value):
        raise InputError(f"{option} is {text}, expected a whole number")
    return int(value)


def _print(console: Console, plan: Any, source: str) -> None:
    law = plan.law
    values = ", ".join(f"{name} {value:.5g}" for name, value in law["params"].items())
    console.print(
        f"Law: {law['equation']} ({escape(source)}): {values}; N is {plan.counted.replace('_', '-')} parameters"
    )
    if law.get("domain"):
        ranges = "; ".join(f"{name} {_count(low)} to {_count(high)}" for name, (low, high) in law["domain"].items())
        console.print(f"Data: {ranges}")
    for step in plan.budget.steps if plan.budget else ():
        console.print(f"Budget: {step}")
    if plan.required:
        _print_required(console, plan.required, plan.unique_tokens)
    if plan.allocation:
        _print_allocation(console, plan)
    elif plan.budget or plan.required.reachable:
        console.print(f"Expected loss: {_shown(plan.loss, '.4f')} nats")
    if plan.inference:
        _print_inference(console, plan)
    if plan.data:
        _print_data(console, plan.data)
    if plan.candidates:
        _print_candidates(console, plan)
        _print_memory(console, plan)
    for warning in plan.warnings:
        console.print(f"warning: {escape(warning)}")


def _print_required(console: Console, required: Any, unique: float | None) -> None:
    given = "" if unique is None else f" with {_count(unique)} unique tokens"
    floor = f"the law's floor{given} is {_shown(required.floor, '.4f')} nats"
    if not required.reachable:
        console.print(f"Loss {required.loss:g}: not reachable at any compute; {floor}")
        return
    console.print(f"Loss {required.loss:g} needs {_shown(required.compute, '.3g')} FLOPs; {floor}")
    if required.compute.unbounded:
        console.print(f"  not reachable at all in {required.compute.unbounded:.1%} of the bootstrap draws")


def _print_allocation(console: Console, plan: Any) -> None:
    best = plan.allocation
    limit = f", of {_count(plan.data.unique_tokens)} unique tokens" if plan.data else ""
    title = f"Optimal for {plan.compute:.4g} training FLOPs ({plan.convention}{limit}; {best.method})"
    table = _table(console, title, "", "value", "95 % interval")
    rows = (("parameters N*", best.params, _count), ("tokens D*", best.tokens, _count),
            ("tokens per parameter", best.tokens_per_param, _three), ("loss, nats", best.loss, _four),
            ("a: N* ~ C^a", best.a, _four), ("b: D* ~ C^b", best.b, _four))  # fmt: skip
    for name, estimate, form in rows:
        table.add_row(name, form(estimate.value), _interval(estimate, form))
    console.print(table)
    if plan.beyond is not None:
        parts = [
            f"{name} {f'{factor:.3g}x outside' if factor > 1 else 'within'}" for name, factor in plan.beyond.items()
        ]
        console.print(f"Against the range of the data: {', '.join(parts)}")
    _print_hours(console, plan, plan.compute)
    table = _table(console, "Cost of another size at the same compute", "size", "parameters", "tokens", "loss", "extra loss",
                   "the optimum gets there with")  # fmt: skip
    for row in plan.deviations:
        table.add_row(f"{row.factor:g} N*", _count(row.params), _count(row.tokens), _shown(row.loss, ".4f"),
                      _shown(row.extra_loss, ".4f"), f"{_shown(row.equivalent_compute, '.1%')} of C")  # fmt: skip
    console.print(table)


def _print_hours(console: Console, plan: Any, flops: float) -> None:
    if plan.budget and (hours := plan.budget.hours(flops)) is not None:
        console.print(f"Wall clock: {hours:.4g} h on {plan.budget.devices} {escape(plan.budget.accelerator.name)}")


def _print_inference(console: Console, plan: Any) -> None:
    found = plan.inference
    title = f"Cheapest over its life when {_count(found.served_tokens)} tokens are served, at the same loss {found.loss:.4f}"
    table = _table(console, title, "", "value", "95 % interval")
    for name, estimate, form in (("parameters", found.params, _count), ("tokens", found.tokens, _count),
                                 ("tokens per parameter", found.tokens_per_param, _three),
                                 ("saved in total", found.saving, "{:.1%}".format)):  # fmt: skip
        table.add_row(name, form(estimate.value), _interval(estimate, form))
    console.print(table)
    console.print(
        f"{found.training_flops:.4g} FLOPs to train ({found.training_flops / plan.compute:.2f} of the training optimum's), "
        f"{found.inference_flops:.4g} to serve; in total {found.total:.4g} against {found.reference_total:.4g}"
    )
    if plan.data:
        console.print(
            f"{found.tokens.value / plan.data.unique_tokens:.3g} epochs of {_count(plan.data.unique_tokens)} unique tokens"
        )
    _print_hours(console, plan, found.training_flops)


def _print_data(console: Console, found: Any) -> None:
    best, fresh = found.best, found.unlimited
    console.print(
        f"\nLimited data: {_count(found.unique_tokens)} unique tokens make {_shown(found.epochs, '.3g')} epochs. Fresh data would "
        f"allow N {_count(fresh.params.value)}, D {_count(fresh.tokens.value)}\n"
        f"and {_shown(found.extra_loss, '.4f')} nats less, or the same loss with {found.equivalent_compute:.1%} of the compute."
    )
    if found.next_token_worth is not None:
        pays = found.epochs.value < found.half_worth_epochs
        console.print(
            f"{_count(best.tokens.value)} tokens are worth {_count(found.effective_tokens)} fresh ones, the next one "
            f"{found.next_token_worth:.0%} of one; half after {found.half_worth_epochs:.3g} epochs, a tenth after "
            f"{found.worthless_epochs:.3g}: {'more epochs still pay' if pays else 'more epochs hardly pay, more data would'}"
        )
    table = _table(console, f"The same model, {_count(best.params.value)}, for more epochs", "epochs", "tokens", "FLOPs", "loss",
                   "tokens' worth", "next token's worth")  # fmt: skip
    for row in found.table:
        table.add_row(str(row["epochs"]), _count(row["tokens"]), f"{row['flops']:.3g}", f"{row['loss']:.4f}",
                      f"{row['worth']:.0%}" if "worth" in row else "",
                      f"{row['next_token_worth']:.0%}" if "next_token_worth" in row else "")  # fmt: skip
    console.print(table)


def _print_candidates(console: Console, plan: Any) -> None:
    first = plan.candidates[0].shape
    llama, total = first.architecture == "llama", plan.inference is not None
    table = _table(console,
        f"Buildable: {first.architecture}, vocabulary {first.vocab_size}, {'tied' if first.tied else 'untied'}, sequences of "
        f"{first.seqlen}; tokens by the models' exact FLOPs, best first",
        "width", "depth", "heads", *(["kv heads", "hidden"] if llama else []), "parameters", "non-embedding", "of N", "tokens",
        "loss", "train FLOPs", *(["total FLOPs"] if total else []), "tokens a step", "steps",
    )  # fmt: skip
    for c in plan.candidates:
        s = c.shape
        table.add_row(str(s.width), str(s.depth), f"{s.heads} of {s.head_size}",
                      *([str(s.kv_heads), str(s.hidden)] if llama else []), f"{s.params:,}", _count(s.params_non_embedding),
                      f"{c.distance:.3f}", _count(c.tokens), _four(c.loss.value), f"{c.training_flops:.4g}",
                      *([f"{c.total_flops:.4g}"] if total else []), f"{c.batch_tokens:,}", f"{c.steps:,}")  # fmt: skip
    console.print(table)
    interval = _interval(plan.candidates[0].loss, _four)
    console.print(
        f"The first one's loss: {_four(plan.candidates[0].loss.value)}{f' ({interval})' if interval else ''}. "
        "A law knows the size and not the shape: take the one that suits the hardware."
    )


def _print_memory(console: Console, plan: Any) -> None:
    kept, again = plan.memory
    first = plan.candidates[0].shape
    title = f"Memory per device, GiB: width {first.width}, depth {first.depth}, fused loss (logits are never held)"
    table = _table(console, title, "", "activations kept", "checkpointed")
    for name in dict.fromkeys([*kept.terms, *again.terms]):
        if any(m.terms.get(name) for m in (kept, again)):
            table.add_row(name, *(f"{m.terms[name] / GIB:.3g}" if name in m.terms else "" for m in (kept, again)))
    table.add_row("total", f"{kept.total / GIB:.3g}", f"{again.total / GIB:.3g}")
    console.print(table)
    if plan.fits:
        console.print(f"It {escape(plan.fits)}")


def _table(console: Console, title: str, *columns: str) -> Table:
    console.print(f"\n{escape(title)}")
    table = Table()
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left")
    return table


def _shown(estimate: Any, form: str | Callable[[float], str]) -> str:
    """Return the value with its interval, where it has one."""
    write = form if callable(form) else lambda value: format(value, form)
    interval = _interval(estimate, write)
    return write(estimate.value) + (f" ({interval})" if interval else "")


def _interval(estimate: Any, write: Callable[[float], str]) -> str:
    if estimate.low is None:
        return ""
    high = "no upper end" if estimate.high == float("inf") else write(estimate.high)
    return f"{write(estimate.low)} to {high}"


def _count(value: float) -> str:
    from laimbench.laws.units import format_count

    return format_count(value)


def _three(value: float) -> str:
    return f"{value:.3g}"


def _four(value: float) -> str:
    return f"{value:.4f}"
