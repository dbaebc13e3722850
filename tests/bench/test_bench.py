import json

import pytest
import torch

pytest.importorskip("laimbench._C")

from laimbench.bench import kernels, limits
from laimbench.bench.limits import Limits
from laimbench.cli import main
from laimbench.models import stock
from laimbench.store import Store

OWN = """
import torch.nn.functional as F

def mlp(x, w1, b1, w2, b2):
    return F.linear(F.gelu(F.linear(x, w1, b1){approximate}), w2, b2)
"""


@pytest.fixture
def tiny(monkeypatch):
    """A suite of two cases, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setitem(kernels.SUITES, "quick", [kernels.mlp(32, 16), kernels.layer_norm(32, 16, residual=False)])
    monkeypatch.setitem(limits.PEAK_SIZE, "cpu", 64)
    monkeypatch.setitem(limits.COPIED_FLOATS, "cpu", 1024)
    yield ["bench", "--no-compile", "--dtypes", "fp32"]
    torch.set_num_threads(threads)


def test_the_document(tiny, tmp_path):
    path, store = tmp_path / "bench.json", tmp_path / "s.sqlite"
    assert main([*tiny, "--ops", "mlp,layer_norm", "--json", str(path), "--store", str(store)]) == 0
    document = json.loads(path.read_text())
    assert (
        document["kind"] == "bench"
        and document["peak_gflops"]["fp32"] > 0
        and document["machine"]["torch"] == torch.__version__
    )
    assert [(row["op"], row["direction"]) for row in document["rows"]] == [
        (op, direction) for op in ("mlp", "layer_norm") for direction in ("forward", "forward+backward")
    ]
    for row in document["rows"]:
        assert set(row["seconds"]) == {"laim", "torch"} and row["best_stock"] == "torch"
        assert row["speedup_lo"] <= row["speedup"] <= row["speedup_hi"]
        for median, low, high in row["seconds"].values():
            assert 0 < low <= median <= high
        reached = row["gflop"] / row["seconds"]["laim"][0]
        assert row["percent_of_peak"] == pytest.approx(100 * reached / document["peak_gflops"]["fp32"])
        moved = row["gbytes"] / row["seconds"]["laim"][0]
        assert row["percent_of_bandwidth"] == pytest.approx(100 * moved / document["peak_gbytes_per_s"])
        assert row["percent_of_call"] * row["seconds"]["laim"][0] == pytest.approx(
            100 * document["call_s"][row["direction"]]
        )
    forward, both = (row["gflop"] for row in document["rows"][:2])
    assert forward == pytest.approx(2e-9 * 2 * 32 * 16 * 64) and both == pytest.approx(3 * forward)
    inputs, output = 32 * 16 + 2 * 64 * 16 + 64 + 16, 32 * 16  # x, both weights, both biases
    gbytes = [row["gbytes"] for row in document["rows"][:2]]
    assert gbytes == pytest.approx([4e-9 * (inputs + output), 4e-9 * (2 * inputs + 2 * output)])
    assert document["peak_gbytes_per_s"] > 0
    with Store(store) as opened:
        assert opened.documents("bench")[-1]["rows"] == document["rows"]


@pytest.mark.parametrize(
    ("gflop", "gbytes", "seconds", "bound"),
    [
        (60, 1, 1, "compute"),
        (40, 1, 1, "other"),
        (40, 6, 1, "memory"),
        (90, 60, 1, "compute"),
        (5, 60, 1, "caches"),
        (1e-6, 1e-6, 5e-6, "call"),
    ],
)
def test_what_bounds_a_row(gflop, gbytes, seconds, bound):
    reached = Limits({"fp32": 100.0}, 10.0, {"forward": 4e-6})
    row = {
        "gflop": gflop,
        "gbytes": gbytes,
        "dtype": "fp32",
        "direction": "forward",
        "seconds": {"laim": [seconds, 0, 0]},
    }
    assert reached.shares(row)["bound"] == bound


def test_every_way_of_stock_is_a_side_and_the_fastest_counts(tiny, monkeypatch, tmp_path):
    monkeypatch.setitem(kernels.SUITES, "quick", [kernels.linear_cross_entropy(64, 16, 300)])
    path = tmp_path / "bench.json"
    assert main([*tiny, "--ops", "linear_cross_entropy", "--json", str(path)]) == 0
    for row in json.loads(path.read_text())["rows"]:
        assert set(row["seconds"]) == {"laim", "torch", *stock.others("linear_cross_entropy", "cpu")}
        assert row["best_stock"] == min(
            (name for name in row["seconds"] if name != "laim"), key=lambda name: row["seconds"][name][0]
        )


def test_the_ways_of_stock_say_the_same():
    x, weight, target = kernels.linear_cross_entropy(64, 16, 300).make(torch.float64)
    expected = stock.linear_cross_entropy(x, weight, target)
    for other in stock.others("linear_cross_entropy", "cpu").values():
        torch.testing.assert_close(other(x, weight, target).float(), expected)


def test_a_way_of_stock_that_refuses_the_inputs_is_no_side(tiny, monkeypatch, tmp_path):
    def refuses(*tensors):
        raise RuntimeError("No available kernel. Aborting execution.")

    monkeypatch.setattr(stock, "others", lambda op, device: {"flash": refuses, "cudnn": stock.mlp})
    path = tmp_path / "bench.json"
    assert main([*tiny, "--ops", "mlp", "--json", str(path)]) == 0
    assert all(set(row["seconds"]) == {"laim", "torch", "cudnn"} for row in json.loads(path.read_text())["rows"])


def test_on_a_gpu_sdpas_backends_are_sides_too():
    assert set(stock.others("attention", "cuda")) == {"flash", "cudnn"} and stock.others("attention", "cpu") == {}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--device", "tpu"], "--device is 'tpu', expected one of cpu, cuda"),
        (["--device", "cuda"], "torch sees no CUDA device here"),
        (["--dtypes", "fp16"], "--dtypes has 'fp16', which the kernels have on cuda only"),
    ],
)
def test_a_device_that_is_not_here_is_named(tiny, arguments, said, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main([*tiny, *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_users_right_kernel_is_a_side(tiny, tmp_path):
    own, path = tmp_path / "own.py", tmp_path / "bench.json"
    own.write_text(OWN.format(approximate=""))
    assert main([*tiny, "--own", str(own), "--json", str(path)]) == 0
    rows = json.loads(path.read_text())["rows"]
    assert {row["op"] for row in rows} == {"mlp"}
    assert all(row["own_right"] and row["own_speedup"] > 0 and "own" in row["seconds"] for row in rows)


def test_a_users_wrong_kernel_is_named_and_not_timed(tiny, tmp_path, capsys):
    own, path = tmp_path / "own.py", tmp_path / "bench.json"
    own.write_text(OWN.format(approximate=' * 1.01, approximate="tanh"'))
    assert main([*tiny, "--own", str(own), "--json", str(path)]) == 2
    rows = json.loads(path.read_text())["rows"]
    assert all(row["own_right"] is False and "own" not in row["seconds"] for row in rows)
    assert "wrong in 2 rows, first mlp on T32 C16 F64 fp32 forward: output 0: error" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "expected"),
    [(None, "no such file"), ("def nothing(): ...", "no function named as an op"), ("1 / 0", "ZeroDivisionError")],
)
def test_an_unusable_file_is_one_line(tiny, tmp_path, capsys, content, expected):
    own = tmp_path / "own.py"
    if content is not None:
        own.write_text(content)
    assert main([*tiny, "--own", str(own)]) == 2
    message = capsys.readouterr().err
    assert expected in message and str(own) in message and message.count("\n") == 1


def test_wrong_options_are_one_line(capsys):
    for options in (["--suite", "slow"], ["--ops", "conv"], ["--dtypes", "fp8"]):
        assert main(["bench", *options]) == 2
        message = capsys.readouterr().err
        assert options[0] in message and repr(options[1]) in message and "expected" in message


def test_attention_work_counts_half_of_the_square_when_causal():
    full, causal = (kernels.attention(2, 3, 64, 8, causal=c).gflop for c in (False, True))
    assert full == pytest.approx(4e-9 * 2 * 3 * 64 * 64 * 8) and causal / full == pytest.approx(65 / 128)


def test_a_row_timed_on_a_busy_machine_is_marked(tiny, monkeypatch, capsys):
    monkeypatch.setattr("laimbench.bench.run.other_cores", lambda before, after: 0.8)
    assert main([*tiny, "--ops", "mlp"]) == 0
    text = capsys.readouterr().out
    assert "busy: others used 0.8 cores" in text and "2 of 2 rows, marked busy" in text
    monkeypatch.setattr("laimbench.bench.run.other_cores", lambda before, after: None)
    assert main([*tiny, "--ops", "mlp"]) == 0
    assert "busy" not in capsys.readouterr().out
