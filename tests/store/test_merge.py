"""Merging stores: every run once, finished ones first, nothing that is at work touched."""

import pytest

from laimbench.cli import main
from laimbench.errors import InputError
from laimbench.store import Leases, Store
from laimbench.store.merge import merge
from tests.store.test_store import FACTS, metric


def add(store, key, status, loss=2.0):
    run = store.begin_run(key, "s", {"width": 8}, FACTS, {})
    store.log(run, [metric(0, 3.0), metric(5, loss)])
    if status != "running":
        store.finish_run(run, status, {"accuracy": 0.5}, "nan" if status == "failed" else "")


def losses(store):
    return {run.key: (run.status, run.final_val_loss) for run in store.runs()}


@pytest.fixture(params=["sqlite sqlite", "sqlite postgresql", "postgresql sqlite", "postgresql postgresql"])
def stores(request, tmp_path):
    """The store to merge into and the one to merge, of each kind."""
    kinds = request.param.split()
    addresses = [tmp_path / f"{i}.sqlite" if kind == "sqlite" else request.getfixturevalue("postgres").new_database()
                 for i, kind in enumerate(kinds)]  # fmt: skip
    with Store(addresses[0]) as into, Store(addresses[1]) as source:
        yield into, source


def test_every_run_comes_once_and_finished_ones_win(stores):
    into, source = stores
    for key, status in (("both", "done"), ("was failed", "failed"), ("cut off", "running"), ("mine", "done")):
        add(into, key, status, 1.0)
    for key, status in (("theirs", "done"), ("both", "done"), ("was failed", "done"), ("cut off", "done"),
                        ("mine", "failed"), ("new failure", "failed"), ("still running", "running")):  # fmt: skip
        add(source, key, status, 2.0)
    into.save_document("bench", {"rows": [1]})
    source.save_document("bench", {"rows": [2]})
    before = losses(source)
    merged = merge(into, source)
    assert merged.to_dict() == {"added": 2, "replaced": 2, "known": 2, "unfinished": 1, "documents": 1}
    assert losses(into) == {"both": ("done", 1.0), "was failed": ("done", 2.0), "cut off": ("done", 2.0), "mine": ("done", 1.0),
                            "theirs": ("done", 2.0), "new failure": ("failed", 2.0)}  # fmt: skip
    assert all([row.step for row in into.metrics(run.id)] == [0, 5] for run in into.runs())
    theirs, ours = source.find("theirs"), into.find("theirs")
    assert ours.to_dict() == theirs.to_dict() | {"id": ours.id}  # times and machine are those of the training
    assert losses(source) == before
    again = merge(into, source)
    assert again.to_dict() == {"added": 0, "replaced": 0, "known": 6, "unfinished": 1, "documents": 0}
    assert len(into.runs()) == 6 and len(into.documents("bench")) == 2


def test_what_a_process_is_at_work_on_stays(stores):
    into, source = stores
    add(into, "a", "running")
    add(source, "a", "done")
    with Leases(into) as leases:
        (claim,) = leases.claim(["a"])
        assert merge(into, source).known == 1
        into.log(into.find("a").id, [metric(9)], claim)
    assert merge(into, source).replaced == 1


def test_a_store_is_not_merged_into_itself(stores):
    with Store(stores[0].address) as again, pytest.raises(InputError, match="is the store to merge into"):
        merge(stores[0], again)


def test_the_verb(stores, tmp_path, capsys):
    add(stores[1], "a", "done")
    arguments = ["runs", "merge", str(tmp_path / "new.sqlite"), stores[1].address.text]
    assert main(arguments) == 0 and "1 runs added" in capsys.readouterr().out
    assert main(arguments) == 0 and "0 runs added, 0 replaced, 1 there already" in capsys.readouterr().out
    assert main([*arguments[:2], str(tmp_path / "x.sqlite"), str(tmp_path / "none.sqlite")]) == 2
