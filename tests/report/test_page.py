"""The page: self-contained, whole with pieces missing, and inert whatever the store holds."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from laimbench.report import answer, write_page
from tests.report.synthetic import bench, curves, ladder, run

HOSTILE = '</script><script>window.hacked=1</script><img src=x onerror="window.hacked=1">\'"&<!-- plotly -->'
LOADING = {"src", "href", "srcset", "action", "data", "poster", "background"}


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.loaded, self.handlers, self.text, self._inside = [], [], [], [], []
        self.plots = {}
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
            if "data-plot" in attributes:
                self.plots[attributes["data-plot"]] = json.loads(data)
        elif tag != "style":
            self.text.append(data)


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
    assert set(found.plots) == {
        "compute-gpt-fp32",
        "time-gpt-fp32",
        "pairs-gpt-fp32",
        "speed-gpt-fp32",
        "bench-kernels",
    }
    ends = [t for t in found.plots["compute-gpt-fp32"]["data"] if t.get("mode") == "markers"]
    assert sorted(t["y"][0] for t in ends) == pytest.approx(sorted(r.final_val_loss for r in runs))
    assert "laim is slower in 1 of 2 rows" in text and "0.75 busy" in text and "Test CPU" in text


def test_nothing_is_loaded_from_anywhere(tmp_path):
    found, text = page(tmp_path, ladder(), bench())
    assert found.loaded == [] and not {"link", "iframe", "object", "embed", "base"} & set(found.tags)
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
    assert found.handlers == [] and found.loaded == []
    assert any(HOSTILE in text for text in found.text)  # shown, as text


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
