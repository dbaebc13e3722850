"""Stores of which the truth is known."""

import numpy as np

from laimbench.store import MetricRow, RunRow

MACHINE = {"machine": "Test CPU", "cores": 2, "memory_gib": 8, "isa": "avx2", "threads": 2, "torch": "2.13.0",
           "python": "3.11", "version": "0", "commit": "abc", "command": "laimbench sweep"}  # fmt: skip


def run(
    id, *, width=32, tokens=1000, seed=0, backend="torch", dtype="fp32", train_s=1.0, loss=3.0, status="done", **other
):
    """One run of a made-up GPT with 100 w² parameters."""
    params = 100 * width**2
    config = {"family": "gpt", "width": width, "tokens": tokens, "seed": seed, "backend": backend, "dtype": dtype}
    facts = {
        "id": id, "key": f"key{id}", "sweep": "s", "family": "gpt", "size": f"d2-w{width}", "backend": backend, "dtype": dtype,
        "seed": seed, "params": params, "params_non_embedding": params, "tokens": tokens, "flops": 6.0 * params * tokens,
        "status": status, "error": "", "train_s": train_s, "final_train_loss": loss, "final_val_loss": loss,
        "config": config, "machine": MACHINE, "summary": {}, "started_at": "", "finished_at": "",
    }  # fmt: skip
    return RunRow(**(facts | other))


def ladder(*, speed=1.25, offset=0.0, law=(1.5, 40.0, 0.12), dtype="fp32"):
    """Four widths, two budgets, two seeds at ±0.01, both backends, loss E + a C^-b; speed and offset may depend on the width."""
    e, a, b = law
    runs = []
    for width in (32, 64, 128, 256):
        for tokens in (1000, 4000):
            for seed in (0, 1):
                flops = 6.0 * 100 * width**2 * tokens
                loss, seconds = e + a * flops**-b + (0.01 if seed else -0.01), flops / 1e9
                factor = speed(width) if callable(speed) else speed
                shift = offset(width) if callable(offset) else offset
                same = {"width": width, "tokens": tokens, "seed": seed, "dtype": dtype}
                runs.append(run(len(runs) + 1, backend="torch", train_s=seconds, loss=loss, **same))
                runs.append(run(len(runs) + 1, backend="laim", train_s=seconds / factor, loss=loss + shift, **same))
    return runs


def curves(runs):
    """Three evaluations of each run."""
    return {
        r.id: [
            MetricRow(run_id=r.id, step=i, tokens=r.tokens * i // 3, flops=r.flops * i / 3, train_s=(r.train_s or 1.0) * i / 3,
                      train_loss=r.final_val_loss, val_loss=r.final_val_loss and r.final_val_loss + 1 - i / 3, tokens_per_s=1.0)
            for i in range(1, 4)
        ]
        for r in runs
    }  # fmt: skip


def bench(**changes):
    """A bench document of two rows, the second losing and busy."""
    rows = [
        {"suite": "kernels", "op": "attention", "shape": "B1", "dtype": "fp32", "direction": "forward", "gflop": 1.0, "gbytes": 0.02,
         "seconds": {"laim": [0.001, 0.001, 0.002], "torch": [0.002, 0.002, 0.003]}, "best_stock": "torch", "speedup": 2.0,
         "speedup_lo": 1.9, "speedup_hi": 2.1, "repetitions": 5, "other_cores": 0.0, "busy": False, "percent_of_peak": 50.0},
        {"suite": "kernels", "op": "mlp", "shape": "T1", "dtype": "fp32", "direction": "forward", "gflop": 1.0, "gbytes": 0.02,
         "seconds": {"laim": [0.004, 0.003, 0.005], "torch": [0.003, 0.002, 0.004]}, "best_stock": "torch", "speedup": 0.75,
         "speedup_lo": 0.7, "speedup_hi": 0.8, "repetitions": 5, "other_cores": 0.9, "busy": True, "percent_of_peak": 20.0},
    ]  # fmt: skip
    return {
        "kind": "bench",
        "suite": "quick",
        "machine": MACHINE,
        "peak_gflops": {"fp32": 100.0},
        "peak_gbytes_per_s": 20.0,
        "rows": rows,
    } | changes


def big_ladder(count, *, speed=1.15, evaluations=10, seed=0):
    """At least ``count`` runs of six widths and several budgets, loss by a law in parameters and tokens, with noise; and their curves."""
    random = np.random.default_rng(seed)
    widths, budgets = (64, 96, 128, 192, 256, 384), (0.5e6, 1e6, 2e6, 4e6)
    seeds = -(-count // (2 * len(widths) * len(budgets)))
    runs, metrics = [], {}
    for width in widths:
        for budget in budgets:
            for number in range(seeds):
                params, tokens = 100 * width**2, int(budget)
                flops, shift = 6.0 * params * tokens, random.normal(0, 0.01)
                fractions = np.arange(1, evaluations + 1) / evaluations
                losses = 1.9 + 40 / params**0.3 + 900 / (tokens * fractions) ** 0.5 + shift
                for backend, faster in (
                    ("torch", 1.0),
                    ("laim", speed * np.exp(random.normal(0, 0.03)) * (width / 128) ** 0.05),
                ):
                    seconds = flops / 4e10 / faster
                    curve = losses + random.normal(0, 0.0005, evaluations)
                    made = run(len(runs) + 1, width=width, tokens=tokens, seed=number, backend=backend, train_s=seconds,
                               loss=float(curve[-1]))  # fmt: skip
                    metrics[made.id] = [
                        MetricRow(run_id=made.id, step=i, tokens=int(tokens * f), flops=flops * f, train_s=seconds * f,
                                  train_loss=float(loss), val_loss=float(loss), tokens_per_s=1.0)
                        for i, (f, loss) in enumerate(zip(fractions, curve, strict=True), start=1)
                    ]  # fmt: skip
                    runs.append(made)
    return runs, metrics
