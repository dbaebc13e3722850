"""asv's results of many commits, read back: multipliers that are known, commits that failed, files that are broken."""

import json
import re
import subprocess

import pytest

from laimbench.cli import main
from laimbench.errors import InputError
from laimbench.report.history_page import render_history
from laimbench.track.history import Benchmark, Commit, History, Run, curves, read_history
from laimbench.track.multiplier import Multiplier
from tests.track.asv_results import RATE, SEEDS, SIZES, TOKENS, loss_of, write_results


def test_the_multiplier_against_the_first_commit_is_the_known_one(tmp_path):
    write_results(tmp_path, [1.0, 1.0, 1.5, None, 0.8])
    found = read_history(tmp_path)
    worth = found.multipliers()
    assert [one.value for one in worth if isinstance(one, Multiplier)] == pytest.approx([1, 1, 1.5, 0.8], rel=1e-3)
    assert worth[3] == "no ladder" and worth[2].interval[0] <= worth[2].value <= worth[2].interval[1]
    assert worth[2].seeds == len(SEEDS)


def test_a_curve_is_the_mean_over_seeds_of_one_backend(tmp_path):
    write_results(tmp_path, [1.0, 1.5])
    drawn = curves(read_history(tmp_path).ladder()[0])
    assert len(drawn) == len(SIZES)
    flops, losses = drawn[0]
    assert flops == [RATE[SIZES[0]] * tokens for tokens in TOKENS]
    assert losses == pytest.approx([loss_of(c, 1, 1.0) for c in flops])  # seed 1 has the middle luck


def test_sizes_of_one_budget_each_make_one_curve():
    runs = [
        Run((size,), str(seed), flops, loss)
        for size, flops, loss in (("a", 1e9, 3.0), ("b", 4e9, 2.5))
        for seed in (0, 1)
    ]
    assert curves(runs) == [([1e9, 4e9], [3.0, 2.5])]
    assert curves([*runs, Run(("a",), "0", 2e9, 2.8)]) == [([1e9, 2e9], [3.0, 2.8]), ([4e9], [2.5])]
    assert curves([]) == []


def test_a_commit_that_did_not_build_is_said_to_have_no_figures(tmp_path):
    write_results(tmp_path, [1.0, None, 1.2])
    page = render_history(read_history(tmp_path), "here")
    assert page.count("5 of 5") == 2 and page.count("0 of 5") == 1


def test_commits_are_in_the_order_of_their_dates_and_have_their_subjects(tmp_path):
    hashes = write_results(tmp_path / "results", [1.0, 1.2])
    repository = tmp_path / "repository"
    git = ["git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "init", "-q", str(repository)], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "faster\tattention"], check=True)
    real = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    path = tmp_path / "results" / "box" / f"{hashes[0][:8]}-env.json"
    path.write_text(path.read_text().replace(hashes[0], real))
    commits = read_history(tmp_path / "results", repository).commits
    assert [commit.hash for commit in commits] == [real, hashes[1]]
    assert [commit.subject for commit in commits] == ["faster\tattention", ""]


def test_the_machine_with_most_commits_counts_unless_one_is_named(tmp_path):
    write_results(tmp_path, [1.0], "small")
    write_results(tmp_path, [1.0, 1.1], "large")
    assert read_history(tmp_path).machine == "large"
    assert len(read_history(tmp_path, machine="small").commits) == 1
    with pytest.raises(InputError, match="machine is 'none', expected one of large, small"):
        read_history(tmp_path, machine="none")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"commit_hash": "a"}', '{"commit_hash": "a", "date": 1, "result_columns": 3, "results": {"a": 1}}',
                                     '{"commit_hash": "a", "date": "x", "results": []}'])  # fmt: skip
def test_a_broken_file_is_named(tmp_path, content):
    hashes = write_results(tmp_path, [1.0])
    (tmp_path / "box" / f"{hashes[0][:8]}-env.json").write_text(content)
    with pytest.raises(InputError, match=hashes[0][:8]):
        read_history(tmp_path)


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"benchmarks\.json"):
        read_history(tmp_path)
    (tmp_path / "benchmarks.json").write_text("{}")
    with pytest.raises(InputError, match="no results of any machine"):
        read_history(tmp_path)


def test_a_page_without_a_ladder_still_shows_the_benchmarks(tmp_path):
    hashes = write_results(tmp_path, [1.0, 1.0])
    for commit in hashes:
        path = tmp_path / "box" / f"{commit[:8]}-env.json"
        document = json.loads(path.read_text())
        del document["results"]["ladder.Runs.track_flops"]
        path.write_text(json.dumps(document))
    page = render_history(read_history(tmp_path), "here")
    assert (
        "build-Wheel-track_size" in page
        and 'multiplier"' not in page
        and "data-commits" not in page.split("<script>")[0]
    )


def test_a_benchmark_of_many_lines_is_drawn_by_the_parameter_with_most_values():
    keys = [(op, dtype) for op in ("attention", "mlp", "norm") for dtype in ("bf16", "fp16", "fp32")]
    many = Benchmark("ratios.AgainstStock.track_speedup", "", ("op", "dtype"), [dict.fromkeys(keys, 1.5)])
    page = render_history(History("box", [Commit("ab" * 20, 0.0, "")], {many.name: many}), "here")
    titles = re.findall(r"<h3[^>]*>([^<]*)</h3>", page)
    assert titles == [f"Against stock: speedup: {op}" for op in ("attention", "mlp", "norm")]
    few = Benchmark(many.name, "", many.param_names, [dict.fromkeys(keys[:6], 1.5)])
    page = render_history(History("box", [Commit("ab" * 20, 0.0, "")], {few.name: few}), "here")
    assert re.findall(r"<h3[^>]*>([^<]*)</h3>", page) == ["Against stock: speedup"]
    wide = Benchmark(many.name, "", ("n",), [{(str(n),): 1.0 for n in range(33)}])
    assert "Against stock" not in render_history(
        History("box", [Commit("ab" * 20, 0.0, "")], {wide.name: wide}), "here"
    )


def test_the_command_writes_the_page(tmp_path, capsys):
    write_results(tmp_path / "results", [1.0, 1.5])
    page, summary = tmp_path / "history.html", tmp_path / "history.json"
    assert main(["history", str(tmp_path / "results"), "--out", str(page), "--json", str(summary)]) == 0
    found = json.loads(summary.read_text())
    assert [round(one["multiplier"]["value"], 2) for one in found["commits"]] == [1.0, 1.5]
    assert "data-commits" in page.read_text() and "effective compute multiplier" in capsys.readouterr().out
