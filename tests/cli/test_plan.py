"""``laimbench plan``: every budget, what people read, what programs read, one line for what is wrong."""

import json

import pytest

from laimbench.cli import main

LAW = ["--law", "E=1.8172,A=482.01,alpha=0.3478,B=2085.43,beta=0.3658"]


def run_json(capsys, *arguments):
    capsys.readouterr()
    assert main(["plan", *map(str, arguments), "--json", "-"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("options", "flops"),
    [(["--flops", "1e21"], 1e21), (["--flops", "3PF-days"], 3 * 86400e15), (["--gpu-hours", "500", "--gpu", "H100"], 500 * 3600 * 989.4e12 * 0.4),
     (["--money", "$2000", "--price", "2.5", "--gpu", "A100", "--utilisation", "0.5"], 800 * 3600 * 312e12 * 0.5),
     (["--hours", "24", "--devices", "8", "--gpu", "H100"], 8 * 86400 * 989.4e12 * 0.4),
     (["--hours", "90min", "--gpu", "cpu", "--peak", "120TFLOPS", "--utilisation", "1"], 5400 * 120e12),
     (["--flops", "1e21", "--gpu", "H100", "--devices", "8"], 1e21)],
)  # fmt: skip
def test_every_budget_ends_in_its_flops(capsys, options, flops):
    assert run_json(capsys, *LAW, *options)["compute"] == pytest.approx(flops, rel=1e-12)


def test_from_a_table_over_a_fit_to_a_plan(capsys, tmp_path):
    table = tmp_path / "runs.csv"
    grid = [(n, d, 1.8 + 480 / n**0.35 + 2100 / d**0.37) for n in (1e7, 1e8, 1e9) for d in (1e9, 1e10, 1e11)]
    lines = [f"{n},{d},{loss * (1 + 0.002 * (-1) ** i)}\n" for i, (n, d, loss) in enumerate(grid)]
    table.write_text("params,tokens,loss\n" + "".join(lines))
    law = tmp_path / "law.json"
    assert main(["fit", str(table), "--bootstrap", "40", "--json", str(law)]) == 0
    document = run_json(capsys, law, "--flops", "1e20")
    best = document["allocation"]["params"]
    assert best["low"] < best["value"] < best["high"]
    assert document["beyond"] == {"params": 1.0, "tokens": 1.0, "compute": 1.0}
    assert document["candidates"][0]["shape"]["vocab_size"] == 50304


def test_what_people_read(capsys):
    command = ["plan", *LAW, "--gpu-hours", "500", "--gpu", "H100", "--unique-tokens", "5B", "--served-tokens", "1e12"]
    assert (
        main([*command, "--vocab-size", "32000", "--architecture", "llama", "--kv-ratio", "4", "--seqlen", "4096"]) == 0
    )
    text = capsys.readouterr().out
    for words in ("500 H100-hours x 3600 s", "parameters N*", "tokens per parameter", "0.5 N*", "Buildable: llama", "AdamW moments",
                  "served", "Limited data: 5B unique tokens make", "warning: the law has no bootstrap draws"):  # fmt: skip
        assert words in text, words


def test_a_loss_wanted(capsys):
    found = run_json(capsys, *LAW, "--loss", "2.1")
    assert found["required"]["reachable"] and found["allocation"]["loss"]["value"] == pytest.approx(2.1)
    found = run_json(capsys, *LAW, "--loss", "1.8")
    assert found["required"]["reachable"] is False and found["candidates"] == []
    assert main(["plan", *LAW, "--loss", "1.8"]) == 0
    assert "Loss 1.8: not reachable at any compute; the law's floor is 1.8172 nats" in capsys.readouterr().out


def test_a_law_in_compute_alone(capsys):
    assert main(["plan", "--law", "E=1.5,a=100,b=0.1", "--form", "power", "--flops", "1e20"]) == 0
    text = capsys.readouterr().out
    assert "Expected loss: 2.5000" in text and "does not say how to split" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [([*LAW], ["0 budgets", "--flops"]), ([*LAW, "--flops", "1e20", "--loss", "2"], ["2 budgets", "--loss"]),
     (["--flops", "1e20"], ["exactly one law"]), (["law.json", *LAW, "--flops", "1e20"], ["exactly one law"]),
     (["/nowhere/law.json", "--flops", "1e20"], ["/nowhere/law.json"]), ([*LAW, "--flops", "lots"], ["--flops", "'lots'"]),
     ([*LAW, "--gpu-hours", "5"], ["--gpu-hours", "--gpu"]), ([*LAW, "--gpu-hours", "5", "--gpu", "TPU9"], ["TPU9", "H100", "peak"]),
     ([*LAW, "--money", "$5", "--gpu", "H100"], ["--price"]), ([*LAW, "--flops", "1e9"], ["smaller than the smallest", "--vocab-size"]),
     ([*LAW, "--flops", "1e50"], ["larger than the largest"]), ([*LAW, "--flops", "1"], ["at least one"]),
     ([*LAW, "--flops", "1e20", "--zero", "7"], ["zero_stage"]), ([*LAW, "--flops", "1e20", "--vocab-size", "1.5"], ["--vocab-size"]),
     ([*LAW, "--flops", "1e20", "--architecture", "rnn"], ["rnn", "llama"]), ([*LAW, "--flops", "1e20", "--kv-ratio", "2"], ["kv_ratio"]),
     ([*LAW, "--flops", "1e20", "--convention", "7ND"], ["7ND"]), ([*LAW, "--flops", "1e20", "--params", "some"], ["some"]),
     ([*LAW, "--gpu-hours", "5", "--gpu", "H100", "--utilisation", "2"], ["utilisation"]),
     ([*LAW, "--flops", "1e20", "--gpu", "H100", "--utilisation", "0"], ["utilisation"]),
     (["--law", "E=1.8,A=482,alpha=0,B=2085,beta=0.37", "--flops", "1e20"], ["alpha is 0"])],
)  # fmt: skip
def test_wrong_input_is_one_line(fails, arguments, words):
    line = fails(2, "plan", *arguments)
    for word in words:
        assert word in line
