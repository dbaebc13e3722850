"""Every verb on small input: what people read, what programs read, what it leaves behind."""

import csv
import html
import io
import json
import re

import pytest

from laimbench import __version__
from laimbench.cli import main


def run_json(capsys, *arguments):
    """Run a verb with --json -; return the document."""
    capsys.readouterr()
    assert main([*map(str, arguments), "--json", "-"]) == 0
    return json.loads(capsys.readouterr().out)


def test_version_and_help(capsys):
    assert main(["--version"]) == 0 and capsys.readouterr().out.strip() == __version__
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for verb in ("demo", "doctor", "bench", "train", "sweep", "runs", "fit", "plan", "eval", "generate", "classify",
                 "translate", "transcribe", "serve", "audit", "report", "dashboard"):  # fmt: skip
        assert re.search(rf"\b{verb}\b", text)


def test_dry_run_prints_the_plan_and_trains_nothing(capsys, ladder_file, tmp_path):
    store = tmp_path / "runs.sqlite"
    plans = run_json(capsys, "sweep", ladder_file, "--store", store, "--dry-run")
    assert len(plans) == 16 and all(plan["flops"] > 0 and plan["seconds"] > 0 for plan in plans)
    assert not store.exists()
    assert main(["sweep", str(ladder_file), "--dry-run", "--no-measure"]) == 0
    assert "16 runs" in capsys.readouterr().out


def test_runs_list_show_export_agree(capsys, swept, tmp_path):
    listed = run_json(capsys, "runs", "list", swept)
    assert len(listed) == 16 and {row["status"] for row in listed} == {"done"}
    shown = run_json(capsys, "runs", "show", listed[0]["key"][:8], "--store", swept)
    assert shown["id"] == listed[0]["id"] and shown["metrics"][-1]["val_loss"] == listed[0]["final_val_loss"]
    assert main(["runs", "export", str(swept)]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [float(row["final_val_loss"]) for row in rows] == [row["final_val_loss"] for row in listed]
    assert rows[0]["config.width"] == "8" and rows[0]["machine.torch"]
    out = tmp_path / "metrics.json"
    assert main(["runs", "export", str(swept), "--format", "json", "--metrics", "--out", str(out)]) == 0
    assert len(json.loads(out.read_text())) == sum(
        len(run_json(capsys, "runs", "show", row["id"], "--store", swept)["metrics"]) for row in listed
    )


def test_the_report_agrees_with_the_exported_rows(capsys, swept, tmp_path):
    page = tmp_path / "page.html"
    document = run_json(capsys, "report", swept, "--out", page)
    (one,) = document["answers"]
    rows = run_json(capsys, "runs", "list", swept)
    seconds = {(r["size"], r["tokens"], r["seed"], r["backend"]): r["train_s"] for r in rows}
    logs = {}
    for (size, tokens, seed, backend), stock in seconds.items():
        if backend == "torch":
            logs.setdefault(size, []).append(stock / seconds[size, tokens, seed, "laim"])
    product = 1.0
    for ratios in logs.values():
        for ratio in ratios:
            product *= ratio ** (1 / len(ratios) / len(logs))
    assert one["speed"]["value"] == pytest.approx(product)
    assert one["sentence"] in page.read_text()


def test_fit_of_a_table_and_of_a_store(capsys, swept, tmp_path):
    table = tmp_path / "runs.csv"
    grid = [(n, d, 1.7 + 400 / n**0.34 + 400 / d**0.28) for n in (1e6, 1e7, 1e8, 1e9) for d in (1e8, 1e9, 1e10)]
    table.write_text("N,tokens,loss\n" + "".join(f"{n},{d},{loss}\n" for n, d, loss in grid))
    found = run_json(capsys, "fit", table, "--columns", "params=N", "--bootstrap", 20)
    assert found["params"]["alpha"] == pytest.approx(0.34, abs=1e-3)
    assert found["params"]["E"] == pytest.approx(1.7, abs=1e-3)
    found = run_json(capsys, "fit", swept, "--form", "power", "--where", "backend=laim", "--bootstrap", 20)
    assert found["rows"] == 8 and set(found["params"]) == {"E", "a", "b"}


@pytest.mark.parametrize("backend", ["laim", "torch"])
def test_train_prints_its_metrics(capsys, backend, tmp_path):
    document = run_json(capsys, "train", "--family", "mlp", "--width", 16, "--tokens", 1280, "--backend", backend)
    assert document["config"]["backend"] == backend and 0 <= document["summary"]["f1"] <= 1
    assert document["evaluations"][-1]["tokens"] == 1280


def test_train_into_a_store_twice_trains_once(capsys, tmp_path):
    command = ["train", "--family", "mlp", "--width", "8", "--tokens", "640", "--store", str(tmp_path / "s.sqlite")]
    assert main(command) == 0
    capsys.readouterr()
    assert main(command) == 0 and "holds this run already" in capsys.readouterr().out


def test_the_demo_in_its_smallest_form(capsys, tmp_path):
    document = run_json(capsys, "demo", "--smoke", "--out", tmp_path / "report")
    assert document["answers"][0]["sentence"] in html.unescape((tmp_path / "report" / "index.html").read_text())
    assert {answer["family"] for answer in document["answers"]} == {"gpt", "mlp"}
    assert all(answer["pairs"] > 0 and answer["failed"] == 0 for answer in document["answers"])
    again = run_json(capsys, "demo", "--smoke", "--out", tmp_path / "report")  # nothing is trained twice
    assert again["answers"] == document["answers"]


def test_training_says_what_the_data_lacks_and_what_could_be_reached(capsys, tmp_path):
    rows = [
        json.dumps({"body": f"document {i} says " + " ".join(f"w{i * j % 97}" for j in range(60))}) for i in range(60)
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join([*rows, "{"]))
    small = ["--tokens", "500", "--width", "8", "--depth", "1", "--seqlen", "16", "--vocab-size", "300"]
    for extra in ([], ["--store", str(tmp_path / "runs.sqlite")]):
        data = f"file:{tmp_path / 'rows.jsonl'}"
        assert main(["train", *small, "--data", data, "--text-field", "body", *extra]) == 0
        assert "rows.jsonl:61: not JSON" in capsys.readouterr().out
    document = run_json(capsys, "train", *small, "--data", "synthetic:markov?states=8")
    summary = json.dumps(document)
    assert "entropy_rate_lower" in summary and "context_bound_upper" in summary
