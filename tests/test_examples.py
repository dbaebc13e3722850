"""The examples run, and say what they promise."""

import runpy
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from laimbench.ladder import Ladder, load_ladder, plan_ladder, sweep
from laimbench.store import Store
from laimbench.train import RunConfig, Trainer, describe, load_checkpoint, save_checkpoint
from laimbench.train.rules import FAMILIES

ROOT = Path(__file__).parents[1]


def test_a_family_of_ones_own(corpus, tmp_path):
    from laimbench.train.tasks import TASKS

    try:
        runpy.run_path(str(ROOT / "examples" / "own_family.py"))
        losses = {}
        config = RunConfig.from_dict({"family": "shift", "data": corpus, "width": 32, "depth": 2, "vocab_size": 300, "seqlen": 32,
                                      "tokens": 8192, "evals": 1, "eval_tokens": 1024})  # fmt: skip
        for backend in ("torch", "laim"):
            trainer = Trainer(replace(config, backend=backend))
            losses[backend] = [trainer.advance().val_loss, trainer.advance().val_loss]
        assert (
            losses["laim"] == pytest.approx(losses["torch"], rel=1e-4) and losses["laim"][1] < 0.9 * losses["laim"][0]
        )
        assert describe(config).params == trainer.params
        save_checkpoint(tmp_path / "model", trainer, {})
        assert load_checkpoint(tmp_path / "model").config.family == "shift"
    finally:
        FAMILIES.pop("shift", None)
        TASKS.pop("shift", None)


@pytest.mark.parametrize("path", sorted((ROOT / "configs").rglob("*.toml")), ids=lambda path: path.stem)
def test_ladders_are_planned(path):
    """Of the data nothing is loaded here but what the machine has: the speech ladder needs espeak-ng only when it is run."""
    ladder = load_ladder(path)
    assert len({run.size for run in ladder.runs}) >= 2
    if ladder.runs[0].data in ("builtin:digits", "builtin:dates"):
        plans = list(plan_ladder(ladder, measure=False))
        assert all(plan.flops > 0 for plan in plans)
        sizes = list(dict.fromkeys(plan.params for plan in plans))
        assert sizes == sorted(sizes)


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "families").glob("*.toml")), ids=lambda path: path.stem)
def test_ladders_of_every_family_run(path, tmp_path):
    """All sizes and backends of the committed ladder at a quarter of their width, two steps each."""
    ladder = load_ladder(path)
    if ladder.runs[0].family == "audio" and shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed: builtin:spoken-digits cannot be made")
    groups = tuple(
        tuple(
            replace(run, width=run.width // 4, tokens=2 * run.tokens_per_step, evals=1, eval_tokens=run.seqlen * 4)
            for run in group
        )
        for group in ladder.groups
        if group[0].seed == 0
    )
    with Store(tmp_path / "runs.sqlite") as store:
        outcome = sweep(Ladder(ladder.name, groups), store, checkpoints=tmp_path / "models")
        assert (outcome.trained, outcome.failures) == (6, [])
        losses = {(run.size, run.backend): run.final_val_loss for run in store.runs()}
    for size, backend in losses:
        assert losses[size, backend] == pytest.approx(losses[size, "torch"], rel=1e-4)
    assert len(list((tmp_path / "models").iterdir())) == 6
