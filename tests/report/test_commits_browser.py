"""Pages of many commits in a real Chromium: the slider, the legend, hostile labels, a report that has comparisons only."""

import pytest

from laimbench.cli.report import render_store
from laimbench.report.history_page import render_history
from laimbench.store import Store
from laimbench.track.history import read_history
from laimbench.track.section import DOCUMENT_KIND
from tests.report.browser import chromium, opened
from tests.report.test_page import HOSTILE
from tests.track.asv_results import write_results


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


def comparison(a, b, losses):
    runs = [{"size": size, "seed": seed, "flops": [10.0**size] * 2, "loss": [loss[0] + seed / 100, loss[1] + seed / 100]}
            for size, loss in zip((9, 10), losses, strict=True) for seed in (0, 1)]  # fmt: skip
    return {"a": a, "b": b, "verdict": {"speed": "same", "learning": "worse", "sentence": f"{b} is as fast as {a} and learns worse."},
            "tables": {"speed": [["mlp", "1.000", "0.99 to 1.01", "same", "6", "1.2", "1.2"]], "learning": []},
            "speed": [], "learning": [{"name": "gpt", "runs": runs}], "machine": {"time": "2026-01-01T00:00:00"}}  # fmt: skip


def test_the_slider_goes_through_commits(browser, tmp_path):
    write_results(tmp_path / "results", [1.0, 1.1, None, 1.5])
    page_path = tmp_path / "history.html"
    page_path.write_text(render_history(read_history(tmp_path / "results"), "here"), encoding="utf-8")
    with opened(browser, page_path.as_uri()) as page:
        slider, output = page.locator("#commits-slider"), page.locator("output[for=commits-slider]")
        assert output.inner_text().startswith("13131313")  # the newest at first
        strong = "#commits .plot path.stroke[stroke-opacity='1']"
        assert page.locator(strong).count() == 1
        before = page.locator(strong).get_attribute("d")
        slider.focus()
        page.keyboard.press("Home")
        assert output.inner_text().startswith("10101010") and slider.get_attribute("aria-valuetext").startswith(
            "10101010"
        )
        assert page.locator(strong).count() == 1 and page.locator(strong).get_attribute("d") != before
        assert page.locator("#commits .legend button").count() == 3  # nothing could be built of one
        assert page.locator("#multiplier .plot path").count() > 1


def test_ticks_that_are_close_have_labels_of_their_own(browser, tmp_path):
    write_results(tmp_path / "results", [1.0, 1.0001, 0.9999])
    page_path = tmp_path / "history.html"
    page_path.write_text(render_history(read_history(tmp_path / "results"), "here"), encoding="utf-8")
    with opened(browser, page_path.as_uri()) as page:
        for name in ("multiplier", "build-Wheel-track_size"):
            labels = page.locator(f"#{name} .plot text.tick").all_text_contents()
            assert len(labels) > 4 and len(set(labels)) == len(labels), labels


def test_comparisons_alone_make_a_report(browser, tmp_path):
    with Store(tmp_path / "runs.sqlite") as store:
        store.save_document(DOCUMENT_KIND, comparison("main", HOSTILE, ((3.0, 3.1), (2.5, 2.6))))
        store.save_document(DOCUMENT_KIND, comparison("main", "fix", ((3.0, 3.0), (2.5, 2.5))))
        answers, page_text = render_store(store)
    assert answers == []
    path = tmp_path / "index.html"
    path.write_text(page_text, encoding="utf-8")
    with opened(browser, path.as_uri()) as page:
        assert (
            "fix is as fast as main and learns worse."
            in page.locator("section", has_text="Compared commits").inner_text()
        )
        assert page.locator("#compared-commits .legend button").all_inner_texts() == [
            HOSTILE[:79] + "…" if len(HOSTILE) > 80 else HOSTILE,
            "main",
            "fix",
        ]
        page.locator("#compared-commits-slider").fill("0")
        assert page.locator("output[for=compared-commits-slider]").inner_text().strip()
        assert page.evaluate("window.hacked === undefined")
