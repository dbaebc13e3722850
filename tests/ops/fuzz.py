"""Call the ops at random, most calls with one mistake in them: every mistake is to be named, every right call to return.

    python -m tests.ops.fuzz 10000 --seed 0

The mistakes are made from a right call, so that only one thing is wrong and it is known to be. A crash ends the process; that is why
``test_fuzz.py`` runs this in one of its own. Before each call its description goes to the file given by ``--trace``, which then tells
where it happened.
"""

import argparse
import json
import random
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from laimbench import ops

DTYPES = (torch.float64, torch.float32, torch.bfloat16)
OTHER_DTYPES = (torch.float16, torch.int64, torch.int8, torch.bool, torch.complex64)
NOT_TENSORS = ("text", 3, 2.5, [1.0, 2.0], (), object(), {"a": 1})
ACTIVATIONS = ("relu", "gelu", "gelu_tanh", "silu")
NOT_WORDS = ("tanh", "", "GELU", None, 1, [])


@dataclass
class Call:
    """One call by keyword: every argument can then be replaced by name."""

    op: str
    arguments: dict[str, Any]
    optional: tuple[str, ...] = ()  # tensors that may be None
    mistake: str = ""
    names: tuple[str, ...] = field(default=())  # what the error may name

    def describe(self) -> str:
        def show(value):
            return f"{tuple(value.shape)} {value.dtype} {value.device}" if isinstance(value, Tensor) else repr(value)

        return (
            f"{self.op}({', '.join(f'{k}={show(v)}' for k, v in self.arguments.items())}) [{self.mistake or 'right'}]"
        )


def right_call(rng: random.Random) -> Call:
    dtype, size = rng.choice(DTYPES), lambda: rng.choice((0, 1, 2, 3, 5, 8, 17, 33))
    value = rng.choice((1.0, 1.0, 1.0, 1e4, 1e-40, float("nan"), float("inf")))

    def make(*shape):
        tensor = (torch.randn(shape) * value).to(dtype)
        if rng.random() < 0.2 and tensor.dim() >= 2:
            tensor = tensor.transpose(-1, -2).contiguous().transpose(-1, -2)
        return tensor.requires_grad_(rng.random() < 0.5)

    def maybe(*shape):
        return make(*shape) if rng.random() < 0.6 else None

    rows, channels, hidden, outputs = rng.choice(((), (size(),), (2, size()))), size(), size(), size()
    op = rng.choice(("attention", "mlp", "gated_mlp", "linear", "layer_norm", "rms_norm", "linear_cross_entropy"))
    x = make(*rows, channels)
    if op == "attention":
        batch, heads, group = rng.choice((0, 1, 2)), rng.choice((1, 2)), rng.choice((1, 1, 3))
        queries, keys = rng.choice((0, 1, 7, 97, 130)), rng.choice((0, 1, 7, 97, 200))
        arguments = {
            "q": make(batch, heads * group, queries, channels),
            "k": make(batch, heads, keys, channels),
            "v": make(batch, heads, keys, channels),
            "causal": rng.random() < 0.5,
            "scale": rng.choice((None, None, 0.3, -1, 0)),
            "key_lengths": rng.choice((None, torch.randint(-3, 300, (batch,)))),
            "window": rng.choice((None, None, 1, 50, 2**63 - 1)),
        }
        return Call(op, arguments, ("key_lengths",))
    if op == "mlp":
        arguments = {
            "x": x, "w1": make(hidden, channels), "b1": maybe(hidden), "w2": make(outputs, hidden), "b2": maybe(outputs),
            "activation": rng.choice(ACTIVATIONS),
        }  # fmt: skip
        return Call(op, arguments, ("b1", "b2"))
    if op == "gated_mlp":
        weights = {"w_gate": make(hidden, channels), "w_up": make(hidden, channels), "w_down": make(outputs, hidden)}
        return Call(op, {"x": x, **weights, "activation": rng.choice(ACTIVATIONS)})
    if op == "linear":
        return Call(op, {"x": x, "w": make(outputs, channels), "b": maybe(outputs)}, ("b",))
    if op == "linear_cross_entropy":
        vocabulary = 1 + outputs
        target = torch.randint(0, vocabulary, rows)
        arguments = {
            "x": x, "weight": make(vocabulary, channels), "target": target, "bias": maybe(vocabulary),
            "ignore_index": rng.choice((-100, 0, -1)), "reduction": rng.choice(("mean", "sum", "none")),
        }  # fmt: skip
        return Call(op, arguments, ("bias",))
    vectors = {"weight": maybe(channels), **({"bias": maybe(channels)} if op == "layer_norm" else {})}
    arguments = {"x": x, **vectors, "eps": rng.choice((1e-5, 0.1, 1)), "residual": maybe(*rows, channels)}
    return Call(op, arguments, ("weight", "bias", "residual"))


def mistakes(call: Call, rng: random.Random) -> Iterator[tuple[str, dict[str, Any], tuple[str, ...]]]:
    """Yield what could be wrong: its name, the arguments to replace, and what an error about it may name."""
    tensors = {name: value for name, value in call.arguments.items() if isinstance(value, Tensor)}
    all_names = tuple(call.arguments)
    floating = {name: value for name, value in tensors.items() if value.is_floating_point()}
    for name, value in tensors.items():
        whole = value.detach()
        yield "not a tensor", {name: rng.choice(NOT_TENSORS)}, (name,)
        if name not in call.optional:
            yield "missing", {name: None}, (name,)
        yield "sparse", {name: whole.to_sparse() if whole.dim() else whole.reshape(1).to_sparse()}, (name,)
        if len(tensors) > 1:
            yield "other device", {name: whole.to("meta")}, all_names
        if whole.dim() > 0 and (len(tensors) > 1 or whole.dim() == 4):
            longer = torch.ones(*whole.shape[:-1], whole.shape[-1] + 1, dtype=whole.dtype)
            if name != "x" or len(tensors) > 1:
                yield "too long", {name: longer}, all_names
        if name != "x":
            yield "a dimension too many", {name: whole.unsqueeze(0)}, all_names
        if name in ("x", "q", "k", "v", "w", "w1", "w2", "weight"):
            yield "a scalar", {name: torch.ones((), dtype=whole.dtype)}, all_names
    for name, value in floating.items():
        yield (
            "unsupported dtype",
            {name: value.detach().nan_to_num(1.0).clamp(-9, 9).to(rng.choice(OTHER_DTYPES))},
            all_names,
        )
        if len(floating) > 1:
            other = rng.choice([dtype for dtype in DTYPES if dtype != value.dtype])
            yield "other dtype", {name: value.detach().to(other)}, all_names
    if "activation" in call.arguments:
        yield "activation", {"activation": rng.choice(NOT_WORDS)}, ("activation",)
    if "eps" in call.arguments:
        yield "eps", {"eps": rng.choice((-1e-9, float("nan"), float("inf"), "1", None, True, 10**400))}, ("eps",)
    if call.op == "attention":
        yield "scale", {"scale": rng.choice((float("nan"), float("inf"), "1", True, [], 10**400))}, ("scale",)
        yield "window", {"window": rng.choice((0, -1, -(10**9), 2.0, "3", True, 2**63, 10**30))}, ("window",)
        batch = call.arguments["q"].shape[0]
        yield "key_lengths", {"key_lengths": torch.zeros(batch + 1, dtype=torch.int64)}, ("key_lengths",)
        yield "key_lengths", {"key_lengths": torch.zeros(batch)}, ("key_lengths",)
        heads = torch.zeros(call.arguments["q"].shape).repeat(1, 2, 1, 1)[:, 1:].to(call.arguments["q"].dtype)
        if heads.shape[1] % call.arguments["k"].shape[1] != 0:
            yield "heads", {"q": heads}, all_names
    if call.op == "linear_cross_entropy":
        yield "reduction", {"reduction": rng.choice(NOT_WORDS)}, ("reduction",)
        yield "ignore_index", {"ignore_index": rng.choice((1.0, None, "0", True, 2**63))}, ("ignore_index",)
        yield (
            "target dtype",
            {"target": call.arguments["target"].to(rng.choice((torch.float32, torch.bool)))},
            ("target",),
        )
        target = call.arguments["target"].clone()
        if target.numel():
            beyond = (call.arguments["weight"].shape[0], -2, 2**40, -(2**63))
            target.view(-1)[rng.randrange(target.numel())] = rng.choice(beyond)
            yield "label out of range", {"target": target}, ("target",)


def random_call(rng: random.Random) -> Call:
    call = right_call(rng)
    if rng.random() < 0.2:
        return call
    possible = list(mistakes(call, rng))
    kind = rng.choice(sorted({name for name, _, _ in possible}))  # each kind as often, whatever the number of tensors
    name, replaced, names = rng.choice([mistake for mistake in possible if mistake[0] == kind])
    return Call(call.op, {**call.arguments, **replaced}, call.optional, name, names)


def run(call: Call) -> str:
    """Make the call; return what is wrong with the answer, an empty string when nothing is."""
    function: Callable[..., Any] = getattr(ops, call.op)
    try:
        out = function(**call.arguments)
    except (TypeError, ValueError) as error:
        text = str(error)
        if not call.mistake:
            return f"a right call was refused: {text}"
        if "\n" in text or not any(re.search(rf"\b{name}\b", text) for name in call.names):
            return f"the error names none of {', '.join(call.names)}: {text}"
        return ""
    except Exception as error:
        return f"{type(error).__name__} instead of TypeError or ValueError: {str(error).splitlines()[0]}"
    if call.mistake:
        return "the mistake was not noticed"
    outs = [o for o in (out if isinstance(out, tuple) else (out,)) if o.requires_grad]
    if outs:
        torch.autograd.backward(outs, [torch.ones_like(o) for o in outs])
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("calls", type=int, nargs="?", default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--trace", type=Path, help="write each call here before it is made")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    torch.manual_seed(options.seed)
    kinds: dict[str, int] = {}
    wrong: list[str] = []
    for number in range(options.calls):
        call = random_call(rng)
        if options.trace:
            options.trace.write_text(f"call {number} of seed {options.seed}: {call.describe()}")
        answer = run(call)
        if answer:
            wrong.append(f"call {number} of seed {options.seed}: {call.describe()}: {answer}")
        kinds[call.mistake or "right"] = kinds.get(call.mistake or "right", 0) + 1
    print(json.dumps({"calls": options.calls, "kinds": kinds, "wrong": wrong}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
