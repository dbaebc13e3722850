"""A run that was killed goes on bit for bit, whatever the moment; what is damaged is not gone on with."""

import errno
import os
import random
import shutil
import subprocess
import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from laimbench.cli.sweep import EVERY_S as CLI_EVERY_S
from laimbench.errors import InputError, RunError
from laimbench.train import Keeper, RunConfig, StateError, Trainer, stored
from laimbench.train.keeper import EVERY_S, MOST_OVERHEAD
from laimbench.train.state import capture, restore

GPT = {
    "family": "gpt",
    "width": 32,
    "depth": 1,
    "vocab_size": 300,
    "seqlen": 16,
    "tokens": 640,
    "batch_size": 8,
}  # 5 steps
FAMILIES = {
    "gpt": GPT,
    "gpt in bf16, stock, untied": {**GPT, "dtype": "bf16", "backend": "torch", "tied": False},
    "llama": {**GPT, "norm": "rms", "mlp": "swiglu", "positions": "rotary", "heads": 2, "kv_heads": 1, "schedule": "wsd"},
    "bert": {**GPT, "family": "bert"},
    "transformer": {"family": "transformer", "width": 32, "depth": 1, "tokens": 40, "batch_size": 8},
    "vit": {"family": "vit", "width": 32, "depth": 1, "tokens": 160, "batch_size": 32},
    "audio": {"family": "audio", "width": 32, "depth": 1, "tokens": 20, "batch_size": 4, "seconds": 0.1},
    "mlp": {"family": "mlp", "width": 16, "tokens": 160, "batch_size": 32},
}  # fmt: skip


class Killed(BaseException):
    """Ends a run as a kill does: nothing is tidied up by those who do not expect it."""


class Recording(Trainer):
    """Notes the loss of every step."""

    def __init__(self, config):
        self.losses = {}
        super().__init__(config)

    def train_step(self):
        step, loss = self.step, super().train_step()
        self.losses[step] = loss
        return loss


def finish(trainer):
    while not trainer.finished:
        trainer.advance()
    return trainer


def train_until(config, folder, step):
    """Train with a state after every step; stop as if killed after one of them."""
    trainer = Recording(config)
    keeper = Keeper(folder, trainer, every_s=0)
    keeper.resume()

    def on_step():
        keeper.after_step()
        if trainer.step == step:
            raise Killed

    trainer.on_step = on_step
    with pytest.raises(Killed):
        finish(trainer)
    return trainer


def same(one, other):
    pairs = zip(one.model.state_dict().items(), other.model.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for (_, a), b in pairs)


@pytest.fixture
def small(corpus):
    return RunConfig.from_dict({**GPT, "data": corpus, "evals": 2, "eval_tokens": 128})


@pytest.fixture(scope="module")
def noises(tmp_path_factory):
    """Wav files of two classes, loud and quiet."""
    folder, generator = tmp_path_factory.mktemp("noises"), np.random.default_rng(0)
    for name, loudness in (("loud", 8000), ("quiet", 300)):
        (folder / name).mkdir()
        for i in range(10):
            with wave.open(str(folder / name / f"{i}.wav"), "wb") as stream:
                stream.setparams((1, 2, 16_000, 0, "NONE", ""))
                stream.writeframes(generator.normal(0, loudness, 1600).astype("<i2").tobytes())
    return f"dir:{folder}"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_killed_run_goes_on_bit_for_bit(family, corpus, noises, tmp_path, monkeypatch):
    monkeypatch.setattr("laimbench.train.tasks.transformer.MOST_VALIDATION", 8)
    values = FAMILIES[family]
    data = {"gpt": {"data": corpus}, "bert": {"data": corpus}, "audio": {"data": noises}}.get(values["family"], {})
    config = RunConfig.from_dict({**values, **data, "evals": 2, "eval_tokens": 128})
    assert config.total_steps == 5
    whole = finish(Recording(config))
    losses = {}
    stops = (2, 3) if family == "gpt" else (2,)  # in the middle of a segment; before the evaluation at its end
    for stop in stops:
        losses |= train_until(config, tmp_path / "state", stop).losses
    last = Recording(config)
    assert Keeper(tmp_path / "state", last).resume() == [] and last.step == stops[-1]
    losses |= finish(last).losses
    assert losses == whole.losses and same(last, whole)
    for one, other in zip(last.evaluations, whole.evaluations, strict=True):
        assert (one.step, one.val_loss, one.flops) == (other.step, other.val_loss, other.flops)
        assert one.train_loss == other.train_loss or (one.train_loss != one.train_loss and one.step == 0)
    assert [e.train_s for e in last.evaluations] == sorted(e.train_s for e in last.evaluations)


def test_a_damaged_state_is_passed_over_for_the_one_before(small, tmp_path):
    whole = finish(Trainer(small))
    for damage in ("byte", "half", "empty"):
        folder = tmp_path / damage
        train_until(small, folder, 4)
        older, newest = sorted(folder.iterdir())
        content = bytearray(newest.read_bytes())
        content[random.Random(0).randrange(len(content))] ^= 1
        newest.write_bytes({"byte": content, "half": content[: len(content) // 2], "empty": b""}[damage])
        trainer = Trainer(small)
        (note,) = Keeper(folder, trainer).resume()
        assert newest.name in note and "SHA-256" in note and "\n" not in note
        assert trainer.step == 3 and older.exists() and same(finish(trainer), whole)


def test_no_whole_state_means_from_the_start(small, tmp_path):
    train_until(small, tmp_path / "state", 1)
    for path in (tmp_path / "state").iterdir():
        path.write_bytes(b"x")
    trainer = Trainer(small)
    assert Keeper(tmp_path / "state", trainer).resume() is None and trainer.step == 0
    assert Keeper(tmp_path / "none", trainer).resume() is None


@pytest.mark.parametrize("moment", ["save_file", "sha256", "publish"])
def test_killed_inside_the_writing(small, tmp_path, monkeypatch, moment):
    whole, folder = finish(Trainer(small)), tmp_path / "state"
    trainer = Trainer(small)
    keeper = Keeper(folder, trainer, every_s=0)
    trainer.on_step = keeper.after_step
    trainer.advance()
    keeper.save()
    for _ in range(3):
        trainer.train_step()

    def killed(*arguments):
        if moment == "save_file":
            arguments[1].write_bytes(b"half of it")
            (folder / ".tmp").write_bytes(b"half of it")  # to which safetensors writes before it renames it
        raise Killed

    monkeypatch.setattr(stored, moment, killed)
    monkeypatch.setattr("pathlib.Path.unlink", lambda *_, **__: None)  # a killed process tidies nothing up
    with pytest.raises(Killed):
        keeper.save()
    monkeypatch.undo()
    assert len(list(folder.iterdir())) == 2 + (moment == "save_file")  # the state before, and the beginning of this one
    again = Trainer(small)
    assert Keeper(folder, again).resume() == [] and again.step == 0 and len(again.evaluations) == 1
    assert len(list(folder.iterdir())) == 1 and same(finish(again), whole)


def test_nothing_is_written_in_the_middle_of_a_step(small, tmp_path, monkeypatch):
    trainer = Trainer(small)
    keeper = Keeper(tmp_path / "state", trainer)
    trainer.advance()
    monkeypatch.setattr(trainer.optimizer, "zero_grad", lambda **_: (_ for _ in ()).throw(Killed))
    with pytest.raises(Killed):
        trainer.train_step()
    keeper.save_last()
    assert not (tmp_path / "state").exists()


def test_the_last_states_are_kept_and_no_more(small, tmp_path):
    train_until(small, tmp_path / "state", 4)
    assert [path.name.split("-")[1:3] for path in sorted((tmp_path / "state").iterdir())] == [
        ["000000003", "0001"],
        ["000000004", "0002"],
    ]
    Keeper(tmp_path / "state", Trainer(small)).discard()
    assert not (tmp_path / "state").exists()


def test_writing_takes_its_share_of_the_time_and_no_more(small, tmp_path, monkeypatch):
    assert CLI_EVERY_S == EVERY_S
    trainer = Trainer(small)
    keeper = Keeper(tmp_path / "state", trainer)
    clock, written = [0.0], []

    def write():
        clock[0] += 2.0
        written.append(trainer.train_seconds)

    monkeypatch.setattr(keeper, "_write", write)
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    for _ in range(10_000):
        trainer.train_seconds += 0.1
        trainer.evaluations = [*trainer.evaluations, None][-2:]
        keeper.after_step()
        assert keeper.spent_s <= max(2.0, MOST_OVERHEAD * trainer.train_seconds + 1e-6)
    assert 20 <= len(written) <= 26 and written[0] == pytest.approx(
        EVERY_S, abs=0.2
    )  # 1,000 s: 50 s of writing allowed


def test_a_full_disk_is_one_line_and_keeps_the_state_before(small, tmp_path, monkeypatch):
    folder = tmp_path / "state"
    train_until(small, folder, 2)
    before = sorted(folder.iterdir())
    trainer = Trainer(small)
    keeper = Keeper(folder, trainer)
    keeper.resume()
    trainer.train_step()

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StateError, match=r"step 3 cannot be written .*No space left") as caught:
        keeper.save()
    assert "\n" not in str(caught.value) and sorted(folder.iterdir()) == before


def test_content_is_on_the_disk_before_its_name_and_that_before_the_old_ones_go(small, tmp_path, monkeypatch):
    """A power cut keeps what was synced: at each moment that must be a whole state, under its name."""
    folder, done = tmp_path / "state", []
    trainer = Trainer(small)
    keeper = Keeper(folder, trainer)
    for _ in range(2):
        trainer.train_step()
        keeper.save()
    fsync, replace_, unlink = os.fsync, Path.replace, Path.unlink

    def note(name, function):
        def noting(target, *arguments, **options):
            path = Path(f"/proc/self/fd/{target}").readlink() if name == "fsync" else target
            done.append(
                (name, "folder" if path == folder else "writing" if path.name.startswith(".writing") else "state")
            )
            return function(target, *arguments, **options)

        return noting

    monkeypatch.setattr("os.fsync", note("fsync", fsync))
    monkeypatch.setattr("pathlib.Path.replace", note("rename", replace_))
    monkeypatch.setattr("pathlib.Path.unlink", note("unlink", unlink))
    trainer.train_step()
    keeper.save()
    monkeypatch.undo()
    assert [step for step in done if step != ("unlink", "writing")] == [
        ("fsync", "writing"),
        ("rename", "writing"),
        ("fsync", "folder"),
        ("unlink", "state"),
    ]


def test_lack_of_memory_is_the_runs_failure(small, monkeypatch):
    trainer = Trainer(small)
    trainer.advance()

    def too_much(*_):
        torch.empty(10**15)

    monkeypatch.setattr(trainer, "_loss_of", too_much)
    with pytest.raises(RunError, match=r"out of memory at step 0 of 5; lower batch_size 8") as caught:
        trainer.advance()
    assert "\n" not in str(caught.value) and not trainer.between_steps
    monkeypatch.setattr("laimbench.train.trainer.make_task", too_much)
    with pytest.raises(RunError, match="out of memory before the first step"):
        Trainer(small)


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1000k", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.skipif(shutil.which("mount") is None, reason="needs mount")
def test_a_disk_that_is_really_full(small, small_disk):
    folder = small_disk / "state"
    train_until(small, folder, 2)
    before = sorted(folder.iterdir())
    (small_disk / "else").write_bytes(b"x" * (shutil.disk_usage(small_disk).free - 8192))
    trainer = Trainer(small)
    keeper = Keeper(folder, trainer)
    assert keeper.resume() == [] and trainer.step == 2
    trainer.train_step()
    with pytest.raises(StateError, match="No space left"):
        keeper.save()
    assert sorted(folder.iterdir()) == before
    (small_disk / "else").unlink()
    keeper.save()
    again = Trainer(small)
    assert Keeper(folder, again).resume() == [] and again.step == 3


def test_random_generators_go_on(small):
    trainer = Trainer(small)
    random.seed(3), np.random.seed(4), torch.manual_seed(5)  # noqa: NPY002
    np.random.normal()  # noqa: NPY002 - leaves a second value for the next call
    tensors, description = capture(trainer)
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}

    def draw():
        return random.gauss(0, 1), np.random.normal(size=3).tolist(), torch.rand(3).tolist()  # noqa: NPY002

    expected = draw()
    assert draw() != expected
    restore(trainer, tensors, description)
    assert draw() == expected


def test_a_state_of_another_run_is_not_taken(small, tmp_path):
    train_until(small, tmp_path / "state", 2)
    for other in (replace(small, seed=1), replace(small, width=64)):
        trainer = Trainer(other)
        assert Keeper(tmp_path / "state", trainer).resume() is None and trainer.step == 0
    trainer = Trainer(small)
    tensors, description = capture(trainer)
    tensors.pop("model.tokens.weight")
    with pytest.raises(InputError, match="not those of this model"):
        restore(trainer, tensors, description)


def test_other_surroundings_are_told(small, tmp_path):
    train_until(small, tmp_path / "state", 2)
    trainer = Trainer(small)
    torch.set_num_threads(1)
    (note,) = Keeper(tmp_path / "state", trainer).resume()
    assert note == "goes on, but not bit for bit: threads 2 is now 1"
