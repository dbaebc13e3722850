"""What does ``laimbench track`` find of planted changes? Slow kernels and mistakes of training, each in a copy of the package.

Run by ``make study-planted`` (QUICK=1: three of them, with few rounds and seeds). A change is a replacement of text in the copy; it has to be found where it is (the
study fails on a text that is no longer there). For a mistake the kind of what differs first has to be named rightly too.
"""

import dataclasses
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from study_result import command_line, save
from track_sides import SUITE, copy_of_package

from laimbench.track.compare import Settings, compare
from laimbench.track.process import Side
from laimbench.track.verdict import learning_word, speed_word

SLOWED = """
import time


class _Slowed:
    def __getattr__(self, name):
        op = getattr(torch.ops.laimbench, name)

        def call(*arguments):
            started = time.process_time()
            result = op(*arguments)
            now = time.process_time()
            end = now + SHARE * (now - started)
            while time.process_time() < end:
                pass
            return result

        return call


_ops = _Slowed()
"""
SHARES = (0.02, 0.05, 0.10, 0.30)
OPS = ("attention", "mlp", "layer_norm")
# Kinds of numbers by what they tell of; the other kinds are their own.
PLACES = {"output": "forward", "loss": "forward", "loss after": "training", "": "training"}
# name: file, text, what it becomes, what the first number that differs tells of ("training": a later loss, or the final losses alone)
MISTAKES = {
    "attention scale": ("ops/attention.py", "channels**-0.5 if", "channels**-0.6 if", "forward"),
    "attention not causal": ("ops/attention.py", "v, bool(causal),", "v, False,", "forward"),
    "attention drops dK": ("ops/attention.py", "return *gradients,", "return gradients[0], 0 * gradients[1], gradients[2],", "gradient"),
    "attention dV 10 % short": ("ops/attention.py", "return *gradients,", "return gradients[0], gradients[1], 0.9 * gradients[2],", "gradient"),
    "attention in bf16": ("ops/attention.py", "    return _ops.attention(q, k, v,", "    return _ops.attention(q.bfloat16().float(), k, v,", "forward"),
    "norm eps 1e-2": ("models/gpt.py", "eps: float = 1e-5", "eps: float = 1e-2", "forward"),
    "norm drops its bias gradient": ("ops/layer_norm.py", "db if ctx.has_bias", "0 * db if ctx.has_bias", "gradient"),
    "norm halves its weight gradient": ("ops/layer_norm.py", "None if weight is None else dw,", "None if weight is None else dw / 2,", "gradient"),
    "norm drops the residual's gradient": ("ops/layer_norm.py", "dx if ctx.has_residual", "gradient_sum if ctx.has_residual", "gradient"),
    "gelu by tanh": ("models/blocks.py", "activation=self.kind)", 'activation="gelu_tanh")', "forward"),
    "mlp input in bf16": ("models/blocks.py", "return self.ops.mlp(x_BSC,", "return self.ops.mlp(x_BSC.bfloat16().float(),", "forward"),
    "head input in bf16": ("models/gpt.py", "linear_cross_entropy(self.hidden(tokens_BS), self.head.weight, targets_BS)", "linear_cross_entropy(self.hidden(tokens_BS).bfloat16().float(), self.head.weight, targets_BS)", "forward"),
    "mlp drops its first bias": ("models/blocks.py", "x_BSC, up.weight, up.bias,", "x_BSC, up.weight, 0 * up.bias,", "gradient"),
    "schedule off by one": ("train/schedule.py", "        return (step + 1) / warmup\n    progress", "        return step / warmup\n    progress", "first update"),
    "no warm-up": ("train/schedule.py", "return max(1, round(total_steps * warmup_fraction))", "return 1", "first update"),
    "schedule ends at zero": ("train/schedule.py", "FINAL = 0.1", "FINAL = 0.0", "training"),
    "learning rate halved": ("train/rules.py", "return chosen.lr *", "return 0.5 * chosen.lr *", "first update"),
    "gradients clipped at a tenth": ("train/config.py", "grad_clip: float = 1.0", "grad_clip: float = 0.1", "first update"),
    "Adam's beta2 0.5": ("train/trainer.py", "betas=(0.9, 0.95)", "betas=(0.9, 0.5)", "training"),
    "no momentum": ("train/trainer.py", "betas=(0.9, 0.95)", "betas=(0.0, 0.95)", "training"),
    "weight decay 10 times": ("train/config.py", "weight_decay: float = 0.1", "weight_decay: float = 1.0", "first update"),
    "every batch the first": ("data/text.py", "default_rng((seed, step))", "default_rng((seed, 0))", "batch"),
    "seeds ignored": ("data/text.py", "default_rng((seed, step))", "default_rng((0, step))", "batch"),
    "targets not shifted": ("train/tasks/gpt.py", "rows[:, 1:].contiguous()", "rows[:, :-1].contiguous()", "batch"),
    "weights drawn twice as wide": ("models/blocks.py", "INIT_STD = 0.02", "INIT_STD = 0.04", "initial weights"),
    "residual layers drawn as the others": ("models/blocks.py", "draw(layer, len(writers) ** -0.5)", "draw(layer)", "initial weights"),
    "positions forgotten": ("models/gpt.py", "            x = x + self.positions(", "            x = x + 0 * self.positions(", "forward"),
    "head not tied": ("models/gpt.py", "        if config.tied:", "        if False:", "initial weights"),
}  # fmt: skip
SETTINGS = Settings(rounds=24, seeds=6, quick=True)


def plant(folder: Path, file: str, old: str, new: str) -> None:
    path = folder / "laimbench" / file
    content = path.read_text(encoding="utf-8")
    if content.count(old) != 1:
        raise SystemExit(f"{file} has {old!r} {content.count(old)} times, expected once")
    path.write_text(content.replace(old, new), encoding="utf-8")


def compared(root: Path, base: Side, name: str, change: tuple[str, str, str], settings: Settings) -> Any:
    folder = root / "changed"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(base.folder, folder)
    plant(folder, *change)
    return compare(base, Side(name, folder), SUITE, settings)


def run(quick: bool) -> dict[str, Any]:
    slow, mistakes = [], []
    settings = dataclasses.replace(SETTINGS, rounds=4, seeds=2) if quick else SETTINGS
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        base = copy_of_package(root / "base")
        for op in OPS[:1] if quick else OPS:
            for share in SHARES[-1:] if quick else SHARES:
                started = time.perf_counter()
                change = (f"ops/{op}.py", "_ops = torch.ops.laimbench\n", SLOWED.replace("SHARE", str(share)))
                found = compared(
                    root, base, f"{op} {share:.0%} slower", change, dataclasses.replace(settings, only=(op,))
                )
                slow.append({"op": op, "share": share, "word": speed_word(found.timings), "seconds": time.perf_counter() - started,
                             **found.timings[0].to_dict()})  # fmt: skip
                print(f"{op} slower by {share:.0%}: {slow[-1]['word']}, {slow[-1]['time_ratio']:.3f}", flush=True)
        for what in list(MISTAKES)[:2] if quick else MISTAKES:
            started = time.perf_counter()
            *change, kind = MISTAKES[what]
            found = compared(root, base, what, tuple(change), dataclasses.replace(settings, only=("gpt",)))
            first = found.learnings[0].difference
            named = first.kind if first else ""
            word = learning_word(found.learnings)
            mistakes.append({"what": what, "word": word, "kind": kind, "named": named, "name": first.name if first else "",
                             "found": word in ("worse", "better", "changed"), "rightly": word != "same" and PLACES.get(named, named) == kind,
                             "seconds": time.perf_counter() - started})  # fmt: skip
            print(f"{what}: {word}, first {mistakes[-1]['name'] or 'nothing'}", flush=True)
    large = [row for row in slow if row["share"] >= 0.05]
    return {"slow": slow, "mistakes": mistakes,
            "slow_found": f"{sum(row['word'] == 'slower' for row in large)} of {len(large)} from 5 %",
            "mistakes_found": f"{sum(row['found'] for row in mistakes)} of {len(mistakes)}",
            "kind_right": f"{sum(row['rightly'] for row in mistakes)} of {len(mistakes)}"}  # fmt: skip


if __name__ == "__main__":
    arguments = command_line(__doc__).parse_args()
    save("planted", run(arguments.quick), None, arguments.quick)
