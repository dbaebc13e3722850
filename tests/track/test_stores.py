import pytest

from laimbench.errors import InputError
from laimbench.store import Store
from laimbench.store_address import StoreAddress
from laimbench.track.compare import Settings
from laimbench.track.stores import compare_stores
from laimbench.track.verdict import speed_word

M = 1.5  # of compute: what the second store's runs are worth


def fill(path, *, slower=1.0, multiplier=1.0, widths=(16, 32, 64), seeds=range(6)):
    with Store(path) as store:
        for width in widths:
            for seed in seeds:
                flops, luck = 1e9 * width**2, 0.001 * (seed % 5)
                config = {"family": "gpt", "width": width, "seed": seed, "backend": "laim"}
                facts = {"family": "gpt", "size": f"d2-w{width}", "backend": "laim", "dtype": "fp32", "seed": seed, "params": 1,
                         "params_non_embedding": 1, "tokens": 1, "flops": flops}  # fmt: skip
                run = store.begin_run(f"{width}-{seed}", "s", config, facts, {})
                store.log(run, [{"step": 1, "tokens": 1, "flops": flops, "train_s": width * slower, "train_loss": 1.0,
                                 "val_loss": 20 * (multiplier * flops) ** -0.1 + luck, "tokens_per_s": 1.0}])  # fmt: skip
                store.finish_run(run, "done", {})


def test_two_stores_are_compared_by_runs_of_the_same_configuration(tmp_path):
    a, b = tmp_path / "a.sqlite", tmp_path / "b.sqlite"
    fill(a)
    fill(b, slower=1.25, multiplier=M, widths=(32, 64, 128))
    found = compare_stores(a, b, Settings())
    (timing,), (learning,) = found.timings, found.learnings
    assert (timing.name, timing.verdict) == ("gpt fp32 laim", "slower")
    assert timing.ratio == pytest.approx(1.25)
    assert len(learning.pairs) == 12
    assert learning.verdict == "better"
    assert speed_word(found.timings) == "slower"
    assert found.compute[learning.name].value == pytest.approx(M, rel=0.02)
    # FLOPs go with the square of the seconds here.
    assert found.wall_time[learning.name].value == pytest.approx(M**0.5 / 1.25, rel=0.02)


def test_stores_without_a_common_run_and_what_is_a_store(tmp_path):
    a, b = tmp_path / "a.sqlite", tmp_path / "b.sqlite"
    fill(a, widths=(16,))
    fill(b, widths=(32,))
    with pytest.raises(InputError, match="no finished run of the same configuration"):
        compare_stores(a, b, Settings())
    (tmp_path / "text").write_text("SQLite")
    assert StoreAddress.of(a).is_store()
    assert not any(StoreAddress.of(tmp_path / name).is_store() for name in ("text", "nothing", "."))
