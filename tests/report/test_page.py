"""The page: self-contained, whole with pieces missing, and inert whatever the store holds."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from laimbench.report import answer, render_page, write_page
from laimbench.report.figures import isoflop, loss_against_compute
from laimbench.responsible.energy import estimate
from tests.report.synthetic import bench, big_ladder, curves, ladder, run

HOSTILE = '</script><script>window.hacked=1</script><img src=x onerror="window.hacked=1">\'"&<!-- body -->'
LOADING = {"src", "href", "srcset", "action", "data", "poster", "background"}


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.loaded, self.handlers, self.text, self._inside = [], [], [], [], []
        self.data = {}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.loaded += [value for name, value in attributes if name in LOADING]
        self.handlers += [name for name, _ in attributes if name.startswith("on")]
        self._inside.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        while self._inside and self._inside.pop()[0] != tag:
            pass

    def handle_data(self, data):
        tag, attributes = self._inside[-1] if self._inside else ("", {})
        if tag == "script":
            kind = next((name for name in attributes if name.startswith("data-")), None)
            if kind:
                self.data[kind.removeprefix("data-"), attributes[kind]] = json.loads(data)
        elif tag != "style":
            self.text.append(data)

    @property
    def plots(self):
        return {name: document for (kind, name), document in self.data.items() if kind == "figure"}


def page(tmp_path, runs, bench_document=None, source="runs.sqlite"):
    path = tmp_path / "page.html"
    write_page(path, answer(runs), runs, curves(runs), bench_document, source)
    text = path.read_text(encoding="utf-8")
    return Page(text), text


def test_the_answer_and_every_figure_are_there(tmp_path):
    runs = ladder(speed=1.25)
    found, _ = page(tmp_path, runs, bench())
    text = " ".join(found.text)
    assert answer(runs)[0].sentence() in text
    names = ("compute-gpt-fp32", "time-gpt-fp32", "speed-gpt-fp32", "pairs-gpt-fp32", "difference-gpt-fp32",
             "energy-gpt-fp32", "heatmap", "roofline", "bench-kernels")  # fmt: skip
    assert set(found.plots) == set(names)
    ends = [s for s in found.plots["compute-gpt-fp32"]["series"] if s["kind"] == "points"]
    losses = {run: loss for series in ends for run, loss in zip(series["run"], series["y"], strict=True)}
    assert losses == pytest.approx({r.id: r.final_val_loss for r in runs})
    assert "laim is slower in 1 of 2 rows" in text and "0.75 busy" in text and "Test CPU" in text


def test_nothing_is_loaded_from_anywhere(tmp_path):
    found, text = page(tmp_path, ladder(), bench())
    assert [target for target in found.loaded if not target.startswith("#")] == [] and not {
        "link",
        "iframe",
        "object",
        "embed",
        "base",
    } & set(found.tags)
    assert "default-src 'none'" in text and "connect-src" not in text
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL).group(1)
    assert "url(" not in style and "@import" not in style


def test_hostile_text_is_inert(tmp_path):
    clean, _ = page(tmp_path, ladder(), bench())
    runs = [replace(r, sweep=HOSTILE, size=HOSTILE, error=HOSTILE,
                    machine=r.machine | {"machine": HOSTILE, "command": HOSTILE, "commit": HOSTILE}) for r in ladder()]  # fmt: skip
    document = bench()
    for row in document["rows"]:
        row |= {"op": HOSTILE, "shape": HOSTILE, "best_stock": HOSTILE}
    found, _ = page(tmp_path, runs, document, source=HOSTILE)
    assert found.tags.count("script") == clean.tags.count("script") and "img" not in found.tags
    assert found.handlers == [] and found.loaded == clean.loaded
    assert any(HOSTILE in text for text in found.text)  # shown, as text
    assert found.data["runs", "runs"]["rows"][0][1] == HOSTILE


def test_only_the_pages_own_scripts_may_run(tmp_path):
    _, text = page(tmp_path, ladder(), bench())
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    allowed = re.search(r"script-src ([^;]*);", text).group(1).split()
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert allowed == [f"'sha256-{digest}'" for digest in digests]


def test_a_book_in_a_name_is_cut(tmp_path):
    runs = [replace(r, sweep="x" * 10_000, error="y" * 10_000) for r in ladder()]
    _, text = page(tmp_path, runs)
    assert "x" * 299 in text and "x" * 301 not in text and "y" * 301 not in text


def test_the_isoflop_fan_is_read_at_equal_compute():
    runs, metrics = big_ladder(90)
    (one,) = answer(runs)
    fan = isoflop(one, metrics)
    assert len(fan["series"]) >= 3
    by_params = {p.ours.params: p.ours for p in one.pairs}
    compute = np.geomspace(min(r.flops for r in runs), max(r.flops for r in runs), 6)
    for series, level in zip(fan["series"], compute, strict=False):
        for params, loss in zip(series["x"][0], series["y"][0], strict=True):
            tokens = level / (6 * params)
            truth = 1.9 + 40 / params**0.3 + 900 / tokens**0.5
            assert loss == pytest.approx(truth, abs=0.08) and params in by_params
        assert series["x"][0] == sorted(series["x"][0])


def test_a_ladder_of_one_size_has_no_fan(tmp_path):
    found, _ = page(tmp_path, [r for r in ladder() if r.size == "d2-w32"])
    assert "isoflop-gpt-fp32" not in found.plots and any("No isoFLOP fan" in text for text in found.text)


def test_energy_is_what_the_estimate_says(tmp_path):
    runs = ladder(speed=2.0)
    found, _ = page(tmp_path, runs)
    for series in found.plots["energy-gpt-fp32"]["series"]:
        for run_id, millijoules in zip(series["run"], series["y"], strict=True):
            r = runs[run_id - 1]
            assert millijoules == pytest.approx(1e3 * estimate(r.train_s * 2, r.train_s).joules / r.tokens)
    assert "estimate, not a measurement" in " ".join(found.text)


def test_the_roofline_has_the_roofs_of_the_run(tmp_path):
    found, _ = page(tmp_path, ladder(), bench())
    roof, *points = found.plots["roofline"]["series"]
    assert max(roof["y"][0]) == 100 and all(
        y <= min(100, 20 * x) * 1.0001 for x, y in zip(roof["x"][0], roof["y"][0], strict=True)
    )
    assert [p["x"] for p in points] == [[50.0], [50.0]] and [p["y"] for p in points] == [[1000.0], [250.0]]


def test_a_document_without_bytes_has_no_roofline(tmp_path):
    document = bench()
    for row in document["rows"]:
        del row["gbytes"]
    found, _ = page(tmp_path, ladder(), document)
    assert "roofline" not in found.plots and "heatmap" in found.plots


def test_a_thousand_runs_are_less_than_five_megabytes():
    runs, metrics = big_ladder(1000, evaluations=100)
    text = render_page(answer(runs), runs, metrics, bench(), "runs.sqlite")
    assert len(runs) >= 1000 and len(text.encode()) < 5e6


@pytest.mark.parametrize(
    "runs",
    [
        [run(1, backend="laim")],  # no pair
        [run(1, backend="laim", loss=None, train_s=None, status="failed"), run(2)],
        [run(1, backend="laim"), run(2)],  # one pair: no interval, no law
        [r for r in ladder() if r.seed == 0 and r.tokens == 1000],
    ],
)
def test_missing_pieces_leave_a_page_that_says_so(tmp_path, runs):
    found, _ = page(tmp_path, runs)
    text = " ".join(found.text)
    assert "No bench result in the store" in text and "Runs" in text
    for note in answer(runs)[0].notes:
        assert note in text


def test_a_page_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    path.write_text("old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    runs = ladder()
    with pytest.raises(OSError, match="No space left"):
        write_page(path, answer(runs), runs, curves(runs), None, "s")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("factor", "cut"), [(1.001, False), (100.0, True)])
def test_a_band_far_wider_than_the_losses_is_cut_and_says_so(monkeypatch, factor, cut):
    runs = ladder()
    (one,) = answer(runs)
    middle = one.law.predict
    monkeypatch.setattr(type(one.law), "band", lambda self, c: (middle(c) / factor, middle(c) * factor))
    band = next(series for series in loss_against_compute(one, curves(runs))["series"] if series["kind"] == "band")
    losses = [run.final_val_loss for run in runs]
    assert band["name"].endswith("cut to the figure") == cut
    assert max(band["hi"]) <= max(losses) ** 2 / min(losses) * 1.001
