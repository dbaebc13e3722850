"""pytest-benchmark's file as a bench document: known ratios, both sides needed, broken files named."""

import json

import pytest

from laimbench.bench.pytest_results import read_pytest_results
from laimbench.cli import main
from laimbench.errors import InputError
from laimbench.report.bench_section import bench_section
from laimbench.store import Store


def results(path, laim=1e-3, torch=2e-3, iqr=0.0, **changes):
    info = {
        "op": "mlp",
        "shape": "T8 C8",
        "dtype": "fp32",
        "direction": "forward",
        "gflop": 0.05,
        "peak_gflops": 100.0,
        "threads": 1,
    }
    info |= changes
    benchmarks = [
        {"name": f"test_op[{side}]", "extra_info": {**info, "side": side}, "stats": {"median": median, "iqr": iqr * median, "rounds": 100}}
        for side, median in (("laim", laim), ("torch", torch))
    ]  # fmt: skip
    path.write_text(json.dumps({"benchmarks": benchmarks}))
    return path


def test_medians_become_a_ratio_with_an_interval(tmp_path):
    document = read_pytest_results(results(tmp_path / "a.json", iqr=0.1))
    (row,) = document["rows"]
    assert (row["speedup"], row["best_stock"], row["percent_of_peak"]) == (2.0, "torch", pytest.approx(50.0))
    assert row["seconds"]["laim"] == pytest.approx([1e-3, 1e-3 * (1 - 0.0157), 1e-3 * (1 + 0.0157)])
    assert 1.9 < row["speedup_lo"] < 2.0 < row["speedup_hi"] < 2.1
    assert row["speedup_lo"] * row["speedup_hi"] == pytest.approx(4.0)
    assert "Speed-up by op" in bench_section(document)


def test_the_command_keeps_them_in_a_store_and_measures_nothing(tmp_path, capsys):
    store = tmp_path / "runs.sqlite"
    assert main(["bench", "--pytest", str(results(tmp_path / "a.json")), "--store", str(store)]) == 0
    assert "x2.00" in capsys.readouterr().out
    with Store(store) as opened:
        assert opened.documents("bench")[-1]["rows"][0]["speedup"] == 2.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["benchmarks"].pop(), "mlp T8 C8 fp32 forward has no side torch"),
        (lambda d: d["benchmarks"][0]["extra_info"].pop("peak_gflops"), r"test_op\[laim\] has no peak_gflops in extra_info"),
        (lambda d: d["benchmarks"].clear(), "holds no benchmarks"),
        (lambda d: d.pop("benchmarks"), "not results of pytest-benchmark"),
        (lambda d: d["benchmarks"][0]["stats"].update(median=0), "not positive"),
        (lambda d: d["benchmarks"][0].update(stats="fast"), "not results of pytest-benchmark"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named(tmp_path, change, message):
    path = results(tmp_path / "a.json")
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match=message):
        read_pytest_results(path)
