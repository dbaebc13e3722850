"""What goes wrong with states in parts while two processes train a run: done by the first, which returns what it saw, while the second one is
``hampered``.
"""

import resource
import shutil
from contextlib import contextmanager

import pytest

from laimbench.train import Keeper, StateError, stored
from laimbench.train.stored import PART


def train(trainer, until):
    while trainer.step < until:
        trainer.train_step()


def unwritable(folder, trainer):
    """The second process cannot write its part at step 3 (``hampered``); at step 4 it can."""
    keeper, names = Keeper(folder, trainer), []
    for step in (1, 2, 3, 4):
        train(trainer, step)
        try:
            keeper.save()
        except StateError as error:
            said = str(error)
        names.append(sorted(path.name for path in folder.iterdir()))
    for damage in ("damaged", "missing"):
        copy = shutil.copytree(folder, folder.with_name(damage))
        newest = next(path for path in copy.iterdir() if "-000000004-0000-part1-" in path.name)
        newest.unlink() if damage == "missing" else newest.write_bytes(newest.read_bytes()[:-1] + b"x")
    return said, names


def passed_over(folder, trainer):
    """Of both copies of ``unwritable`` the newest state is of no use."""
    rows = []
    for damage in ("damaged", "missing"):
        train(trainer, trainer.step + 1)
        notes = Keeper(folder.with_name(damage), trainer).resume()
        rows.append((notes, trainer.step, len(trainer.segment_losses)))
    return rows


def unshared(folder, trainer):
    """The second process does not see the folder (``hampered``)."""
    told, losses = [], []
    keeper = Keeper(folder, trainer, note=told.append)
    for step in (1, 2):
        train(trainer, step)
        keeper.save()
    for _ in range(2):
        train(trainer, 4)
        losses.append(trainer.segment_losses)
        assert keeper.resume() == [] and trainer.step == 2
    return told, [PART.fullmatch(path.name) is not None for path in folder.iterdir()], losses


FAULTS = {function.__name__: function for function in (unwritable, passed_over, unshared)}


@contextmanager
def hampered(what):
    """Hold up the second process."""
    calls, save_file = [], stored.save_file

    def limited(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        try:
            save_file(*arguments)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    with pytest.MonkeyPatch.context() as patch:
        if what == "unwritable":
            patch.setattr(stored, "save_file", limited)
        if what == "unshared":
            patch.setattr("os.access", lambda *_: False)
        yield
