"""Results as asv 0.6 writes them, of a ladder whose losses are known."""

import json
from itertools import product

SIZES, TOKENS, SEEDS, BACKENDS = ["d1-w32", "d2-w64"], [65536, 131072, 262144], [0, 1, 2], ["laim", "torch"]
LADDER = [[repr(b) for b in BACKENDS], [repr(s) for s in SIZES], [str(t) for t in TOKENS], [str(s) for s in SEEDS]]
RATE = {"d1-w32": 1e5, "d2-w64": 6e5}  # FLOPs per token


def loss_of(flops, seed, multiplier):
    return 2.0 + 900.0 * (multiplier * flops) ** -0.25 + 0.004 * (seed - 1)


def write_results(folder, multipliers, machine="box"):
    """Write a commit for each multiplier, a day after another; None is a commit where nothing could be built."""
    (folder / machine).mkdir(parents=True)
    (folder / machine / "machine.json").write_text(json.dumps({"machine": machine, "version": 1}))
    units = {"ladder.Runs.track_final_loss": ("nats", ["backend", "size", "tokens", "seed"]),
             "ladder.Runs.track_flops": ("FLOPs", ["backend", "size", "tokens", "seed"]),
             "ladder.Law.track_exponent": ("unit", ["backend"]), "ladder.Law.track_exponent_standard_error": ("unit", ["backend"]),
             "build.Wheel.track_size": ("bytes", [])}  # fmt: skip
    described = {name: {"name": name, "unit": unit, "param_names": names} for name, (unit, names) in units.items()}
    (folder / "benchmarks.json").write_text(json.dumps({**described, "version": 2}))
    hashes = []
    for number, multiplier in enumerate(multipliers):
        commit = f"{number + 16:02x}" * 20
        hashes.append(commit)
        keys = list(product(BACKENDS, SIZES, TOKENS, SEEDS))
        flops = [RATE[size] * tokens for _, size, tokens, _ in keys]
        built = multiplier is not None
        loss = (
            [loss_of(c, key[-1], multiplier) for c, key in zip(flops, keys, strict=True)]
            if built
            else [None] * len(keys)
        )
        results = {
            "ladder.Runs.track_final_loss": [loss if built else None, LADDER, "v", 0, 1.0],
            "ladder.Runs.track_flops": [flops if built else None, LADDER, "v", 0, 1.0],
            "ladder.Law.track_exponent": [[0.05, 0.051] if built else None, [LADDER[0]], "v"],
            "ladder.Law.track_exponent_standard_error": [[0.001, float("nan")] if built else None, [LADDER[0]], "v"],
            "build.Wheel.track_size": [[1_000_000 + number] if built else None, [], "v"],
        }
        document = {"commit_hash": commit, "env_name": "env", "date": 1_790_000_000_000 + 86_400_000 * number, "params": {},
                    "result_columns": ["result", "params", "version", "started_at", "duration"], "results": results, "version": 2}  # fmt: skip
        (folder / machine / f"{commit[:8]}-env.json").write_text(json.dumps(document))
    return hashes
