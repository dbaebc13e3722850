"""States in parts, as far as one process shows it: what is read of them, what is left behind, and in which order files come and go."""

import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from laimbench.errors import InputError
from laimbench.train import Execution, Keeper, RunConfig, Trainer, parts
from laimbench.train.parallel import Shards, share
from laimbench.train.stored import PARTS, leftovers, opened, read_state, states, write_file
from tests.train.test_resume import Killed

WHOLE = {
    "weight": torch.arange(21.0).reshape(7, 3),
    "bias": torch.arange(2, dtype=torch.float64),
    "row": torch.ones(1, 4),
}
ORDER = "000001-000000005-0000"


def by(count, folder):
    """Write a state by so many processes, or what a kill between its parts and itself leaves."""
    folder.mkdir(exist_ok=True)
    names = []
    for rank in range(count):
        rows = {name: (*share(len(tensor), rank, count), tensor) for name, tensor in WHOLE.items()}
        tensors = {name: tensor[start:stop].clone() for name, (start, stop, tensor) in rows.items() if start < stop}
        header = {name: {"shape": list(rows[name][2].shape), "offset": rows[name][0]} for name in tensors}
        names.append(write_file(folder, f"{ORDER}-part{rank}", tensors, header))
    return names


@pytest.mark.parametrize("rows", range(9))
def test_a_tensor_is_divided_as_torch_divides_it(rows):
    tensor = torch.arange(rows)
    for count in range(1, 6):
        shares = [tensor[slice(*share(rows, rank, count))] for rank in range(count)]
        chunks = tensor.chunk(count) if rows else ()
        assert [part.tolist() for part in shares if len(part)] == [chunk.tolist() for chunk in chunks]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_any_number_of_processes_reads_what_any_number_wrote(count, tmp_path):
    names = by(count, tmp_path)
    state = tmp_path / write_file(tmp_path, ORDER, {"step": torch.tensor(5.0), "losses": torch.ones(0)}, {PARTS: names})
    tensors, description = read_state(state)
    assert description == {PARTS: names} and tensors.pop("step") == 5 and len(tensors.pop("losses")) == 0
    assert tensors.keys() == WHOLE.keys()
    assert all(torch.equal(tensors[name], tensor) for name, tensor in WHOLE.items())
    with opened(state) as stored:
        for others in (1, 2, 3, 4, 7):
            for name, tensor in WHOLE.items():
                for start, stop in (share(len(tensor), rank, others) for rank in range(others)):
                    assert start == stop or torch.equal(stored.rows(name, start, stop), tensor[start:stop])
    assert states(tmp_path) == [state] and leftovers(tmp_path, 9) == []


def test_a_state_without_some_rows_or_of_other_files_is_refused(tmp_path):
    names = by(3, tmp_path)
    for some in (names[:2], names[1:], names[::2]):
        with pytest.raises(InputError, match=r"rows \d to \d of [a-z]+ are in none of its parts"):
            read_state(tmp_path / write_file(tmp_path, ORDER, {}, {PARTS: some}))
    (tmp_path / "folder").mkdir()
    for outside in (f"../{names[0]}", f"{ORDER}-{'0' * 64}.safetensors"):
        with pytest.raises(InputError, match="expected names of parts"):
            read_state(tmp_path / "folder" / write_file(tmp_path / "folder", ORDER, {}, {PARTS: [outside]}))


def test_parts_of_no_state_are_left_over_but_for_those_of_a_newer_token(tmp_path):
    names = [
        f"{order}-part0-{'0' * 64}.safetensors" for order in ("000001-000000004-0000", ORDER, "000002-000000001-0000")
    ]
    for name in (*names, f"{ORDER}-{'0' * 64}.safetensors", "model.safetensors", ".writing-part0"):
        (tmp_path / name).touch()
    assert [path.name for path in leftovers(tmp_path, 0)] == []
    assert [path.name for path in leftovers(tmp_path, 1)] == names[:1]
    assert sorted(path.name for path in leftovers(tmp_path, 2)) == [names[0], names[2]]


@pytest.fixture
def trainer():
    """A run by fsdp of which this is the only process."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    values = {"family": "gpt", "width": 32, "depth": 1, "data": "synthetic:markov", "seqlen": 16, "batch_size": 4, "tokens": 640,
              "eval_tokens": 64}  # fmt: skip
    try:
        yield Trainer(RunConfig.from_dict(values), Execution(parallel="fsdp"), Shards())
    finally:
        dist.destroy_process_group()


def train(trainer, keeper, steps):
    for _ in range(steps):
        trainer.train_step()
        keeper.save()


@pytest.mark.parametrize("moment", ["in a part", "before its state"])
def test_killed_inside_the_writing(trainer, tmp_path, monkeypatch, moment):
    """What a kill leaves is removed when the run goes on, which it does from the state before."""
    keeper = Keeper(tmp_path, trainer)
    train(trainer, keeper, 2)
    before = sorted(tmp_path.iterdir())
    trainer.train_step()

    def killed(*_):
        raise Killed

    monkeypatch.setattr(
        *{"in a part": ("laimbench.train.stored.publish", killed), "before its state": (parts, "aside", killed)}[moment]
    )
    monkeypatch.setattr("pathlib.Path.unlink", lambda *_, **__: None)  # a killed process tidies nothing up
    with pytest.raises(Killed):
        keeper.save()
    monkeypatch.undo()
    (left,) = set(tmp_path.iterdir()) - set(before)
    assert left.name.startswith({"in a part": ".writing-", "before its state": "000000-000000003-0000-part0-"}[moment])
    assert Keeper(tmp_path, trainer).resume() == [] and trainer.step == 2
    assert sorted(tmp_path.iterdir()) == before


def test_parts_are_on_the_disk_before_their_state_and_that_before_the_old_ones_go(trainer, tmp_path, monkeypatch):
    """A power cut keeps what was synced: at each moment that must be a whole state, under its name."""
    keeper, done = Keeper(tmp_path, trainer), []
    train(trainer, keeper, 2)
    fsync, replace, unlink = os.fsync, Path.replace, Path.unlink

    def noting(name, function):
        def note(target, *arguments, **options):
            path = (
                arguments[0] if arguments else Path(f"/proc/self/fd/{target}").readlink() if name == "fsync" else target
            )
            kind = "folder" if path == tmp_path else "part" if "-part" in path.name else "state"
            if not path.name.startswith(".writing-") or name == "fsync":
                done.append((name, kind if not path.name.startswith(".writing-") else "writing"))
            return function(target, *arguments, **options)

        return note

    monkeypatch.setattr("os.fsync", noting("fsync", fsync))
    monkeypatch.setattr("pathlib.Path.replace", noting("rename", replace))
    monkeypatch.setattr("pathlib.Path.unlink", noting("unlink", unlink))
    train(trainer, keeper, 1)
    monkeypatch.undo()
    assert done == [
        ("fsync", "writing"), ("rename", "part"), ("fsync", "folder"),
        ("fsync", "writing"), ("rename", "state"), ("fsync", "folder"),
        ("unlink", "state"), ("unlink", "part"),
    ]  # fmt: skip
    assert len(list(tmp_path.iterdir())) == 4
