"""The page in a real Chromium: clicks, sliders, filter, sort, downloads, colours, keyboard, hostile names, ten thousand runs."""

import csv
import re
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from laimbench import laws
from laimbench.report import answer, write_page
from laimbench.report.answer import find_pairs
from laimbench.report.planner import fit_split
from laimbench.responsible.energy import estimate
from tests.report.browser import chromium, opened, wait_until
from tests.report.synthetic import bench, big_ladder
from tests.report.test_page import HOSTILE

COMPUTE = "#compute-gpt-fp32"
BOOK = "book " * 2_000
RIGHT_TO_LEFT = "\u202eمرحبا\u202c"
EMOJI = "🧨👩‍👩‍👧"


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def runs():
    return big_ladder(90)


@pytest.fixture(scope="module")
def url(tmp_path_factory, runs):
    path = tmp_path_factory.mktemp("report") / "index.html"
    write_page(path, answer(runs[0]), *runs, bench(), "runs.sqlite")
    return path.as_uri()


def downloaded(page, label):
    with page.expect_download() as waiting:
        page.get_by_role("button", name=label, exact=True).click()
    return waiting.value.suggested_filename, waiting.value.path()


def test_every_figure_is_drawn_and_named(browser, url):
    with opened(browser, url) as page:
        assert page.title() == "laimbench report"
        figures = page.locator("figure")
        assert figures.count() == 11  # six of the family, three of the bench, energy, the planner's
        for i in range(figures.count()):
            assert figures.nth(i).locator(".plot svg path, .plot svg rect").count() > 1
            assert figures.nth(i).locator("[role=group][aria-roledescription=chart]").get_attribute("aria-label")
        assert page.locator(".answer").inner_text().startswith("On this machine")


def test_a_legend_entry_hides_its_series(browser, url):
    with opened(browser, url) as page:
        entry = page.locator(f"{COMPUTE} .legend button", has_text="stock, end of run")
        marks = page.locator(f"{COMPUTE} .plot g.c-stock")
        before = marks.count()
        entry.click()
        assert entry.get_attribute("aria-pressed") == "false" and marks.count() == before - 1
        entry.press("Enter")
        assert entry.get_attribute("aria-pressed") == "true" and marks.count() == before


def test_a_point_says_what_it_is_to_pointer_and_keyboard(browser, url, runs):
    with opened(browser, url) as page:
        plot = page.locator(f"{COMPUTE} .plot")
        plot.focus()
        page.keyboard.press("ArrowLeft")  # the last point: the last run of laim
        last = runs[0][-1]
        said = page.locator("#said").inner_text()
        assert f"run {last.id}" in said and last.size in said and f"{last.tokens:,} tokens" in said
        shown = page.locator("#tip").inner_text()
        assert said == ", ".join(shown.split("\n"))
        page.keyboard.press("Escape")
        assert page.locator("#tip").is_hidden()
        x, y = page.evaluate("figuresOfPage[0].hits.map((h) => [h.x, h.y]).at(-1)")
        box = plot.bounding_box()
        page.mouse.move(box["x"] + x + 3, box["y"] + y)
        assert page.locator("#tip").inner_text() == shown


def test_the_numbers_of_a_figure_are_a_table(browser, url, runs):
    with opened(browser, url) as page:
        folded = page.locator("#speed-gpt-fp32 details.numbers")
        folded.locator("summary").click()
        folded.locator("tbody tr").first.wait_for()  # the table is made when the browser says that it is open
        assert folded.locator("tbody tr").count() == len(runs[0]) // 2
        assert folded.locator("caption").inner_text() == "Training speed by size"


def test_the_law_in_the_page_is_the_library_s(browser, url, runs):
    known = [laws.parse_law("E=1.8172,A=482.01,alpha=0.3478,B=2085.43,beta=0.3658"), fit_split(answer(runs[0])[0])]
    with opened(browser, url) as page:
        for law in known:
            for compute in (1e12, 5.76e23, 1e27):
                best = laws.allocate(law, compute)
                found = page.evaluate("([law, compute]) => allocate(law, compute)", [law.params, compute])
                assert found["params"] == pytest.approx(best.params.value, rel=1e-6)
                assert found["tokens"] == pytest.approx(best.tokens.value, rel=1e-6)
                assert found["loss"] == pytest.approx(best.loss.value, rel=1e-6)
                there = page.evaluate("([law, n, d]) => lossAt(law, n, d)", [law.params, 3e6, 7e8])
                assert there == pytest.approx(float(law.predict(np.array([3e6]), np.array([7e8]))[0]), rel=1e-6)


def test_sliders_plan_again(browser, url, runs):
    law = fit_split(answer(runs[0])[0])
    with opened(browser, url) as page:
        sliders = page.locator(".planner input[type=range]")
        values = page.locator(".plan tr")

        def shown(row):
            text = values.filter(has_text=row).first.locator("td").first.inner_text()
            number, suffix = re.fullmatch(r"([\d.]+)([kMB]?)", text).groups()
            return float(number) * {"": 1, "k": 1e3, "M": 1e6, "B": 1e9}[suffix]

        for power in (13, 14.5, 16):
            sliders.first.evaluate(
                "(s, v) => { s.value = v; s.dispatchEvent(new Event('input', {bubbles: true})) }", power
            )
            best = laws.allocate(law, 10**power)
            assert shown("optimal parameters") == pytest.approx(
                best.params.value, rel=6e-3
            )  # as many digits as are shown
            assert shown("loss at the optimum") == pytest.approx(best.loss.value, rel=1e-3)
        assert "an extrapolation" in page.locator(".beyond").inner_text()
        before = page.locator("#planner-gpt-fp32 .plot svg").inner_html()
        assert shown("above the optimum") == 0
        sliders.last.focus()
        page.keyboard.press("End")  # ten times the optimal size
        tokens = 10**16 / 60 / best.params.value
        expected = float(law.predict(np.array([10 * best.params.value]), np.array([tokens]))[0]) - best.loss.value
        assert shown("above the optimum") == pytest.approx(expected, rel=1e-3)
        assert sliders.last.get_attribute("aria-valuetext") == "10 times the optimal size"
        assert page.locator("#planner-gpt-fp32 .plot svg").inner_html() != before


def test_own_factors_change_the_costs(browser, url, runs):
    seconds = sum(r.train_s * 2 for r in runs[0] if r.backend == "torch")
    with opened(browser, url) as page:
        row = page.locator("section", has_text="Cost and energy").locator("tr", has_text="stock")
        page.get_by_label("watts per core").fill("30")
        page.get_by_label("grid, g CO2 per kWh").fill("50")
        page.get_by_label("price of a core hour").fill("0.1")
        found = [float(cell) for cell in row.locator("td").all_inner_texts()[1:]]
        use = estimate(seconds, seconds, watts_per_core=30, grid_g_per_kwh=50)
        assert found == pytest.approx([seconds / 3600, use.kwh, use.co2_g, seconds / 36000], rel=1e-3)


def test_runs_filter_and_sort(browser, url, runs):
    with opened(browser, url) as page:
        column = lambda n: page.locator(f".runs tbody tr:not(.space) td:nth-child({n})").all_inner_texts()  # noqa: E731
        count = page.locator(".filter output")
        page.get_by_label("Filter").fill("laim d2-w64 seed=0")
        wanted = [r for r in runs[0] if r.backend == "laim" and r.size == "d2-w64" and r.seed == 0]
        assert (
            column(1) == [str(r.id) for r in wanted] and count.inner_text() == f"{len(wanted)} of {len(runs[0])} runs"
        )
        page.get_by_label("Filter").fill("val_loss<2.8 backend:torch")
        wanted = [r for r in runs[0] if r.final_val_loss < 2.8 and r.backend == "torch"]
        assert 0 < len(wanted) < 20 and column(1) == [str(r.id) for r in wanted]
        heading = page.get_by_role("columnheader", name="val loss")
        heading.get_by_role("button").click()
        losses = [float(text) for text in column(12)]
        assert heading.get_attribute("aria-sort") == "ascending" and losses == sorted(losses)
        heading.get_by_role("button").press("Enter")
        assert heading.get_attribute("aria-sort") == "descending"
        assert [float(text) for text in column(12)] == losses[::-1]
        name, path = downloaded(page, "Save the shown runs as CSV")
        rows = list(csv.DictReader(path.open(encoding="utf-8")))
        assert name == "runs.csv" and [row["id"] for row in rows] == column(1)
        page.get_by_label("Filter").fill("no such run")
        assert column(1) == [] and count.inner_text().startswith("0 of")


def test_a_figure_is_saved_as_png_svg_and_csv(browser, url, runs):
    with opened(browser, url) as page:
        page.locator(f"{COMPUTE} .legend button", has_text="laim, on the way").click()
        name, path = downloaded(page, "Save Loss against compute as CSV")
        rows = list(csv.reader(path.open(encoding="utf-8", newline="")))
        ends = {row[1]: float(row[3]) for row in rows if row[0] == "laim, end of run"}
        assert name == "compute-gpt-fp32.csv" and sorted(ends.values()) == pytest.approx(
            sorted(r.final_val_loss for r in runs[0] if r.backend == "laim")
        )
        name, path = downloaded(page, "Save Loss against compute as SVG")
        root = ElementTree.parse(path).getroot()
        texts = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
        assert name == "compute-gpt-fp32.svg" and {"Loss against compute", "stock, end of run"} <= set(texts)
        assert "laim, on the way" not in texts and not any("class" in node.attrib for node in root.iter())
        assert any(node.get("stroke", "").startswith("rgb(") for node in root.iter())
        name, path = downloaded(page, "Save Loss against compute as PNG")
        image = path.read_bytes()
        assert name == "compute-gpt-fp32.png" and image.startswith(b"\x89PNG") and len(image) > 20_000
        assert int.from_bytes(image[16:20]) == 1800  # twice 900 pixels


def test_dark_and_light(browser, url):
    paper = "getComputedStyle(document.body).backgroundColor"
    with opened(browser, url, color_scheme="dark") as page:
        assert page.evaluate(paper) == "rgb(17, 22, 26)"
        page.get_by_role("button", name="Switch to light colours").click()
        assert page.evaluate(paper) == "rgb(255, 255, 255)"
        page.reload()
        page.wait_for_selector("html[data-ready]", state="attached")
        assert page.evaluate(paper) == "rgb(255, 255, 255)"  # kept
    with opened(browser, url, color_scheme="light") as page:
        assert page.evaluate(paper) == "rgb(255, 255, 255)"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_the_contrast_of_wcag_aa(browser, url, scheme):
    def luminance(colour):
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    with opened(browser, url, color_scheme=scheme) as page:
        for where, over in ((".answer", "body"), ("figcaption", "body"), (".card p:last-child", ".card"), (".card .number", ".card"),
                            (".notes", "body"), (".tools button", "body"), (".top nav a", ".top"), (".runs th button", ".runs th")):  # fmt: skip
            text = luminance(page.locator(where).first.evaluate("(e) => getComputedStyle(e).color"))
            paper = luminance(page.locator(over).first.evaluate("(e) => getComputedStyle(e).backgroundColor"))
            light, dark = max(text, paper), min(text, paper)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, where


def test_keyboard_and_screen_reader_find_everything(browser, url):
    with opened(browser, url) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the answer"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        nameless = "[...document.querySelectorAll('button, input, a, [tabindex=\"0\"]')].filter((e) => !(e.getAttribute('aria-label') || e.textContent || e.labels?.length)).length"
        assert page.evaluate(nameless) == 0
        assert page.evaluate("[...document.querySelectorAll('table')].filter((t) => !t.caption).length") == 0
        assert (
            page.evaluate("[...document.querySelectorAll('main section')].filter((s) => !s.querySelector('h2')).length")
            == 0
        )
        ids = page.evaluate("[...document.querySelectorAll('[id]')].map((e) => e.id)")
        assert len(ids) == len(set(ids))
        links = page.locator("header nav a")
        assert links.all_inner_texts() == page.locator("main h2").all_inner_texts()


def test_a_phone_scrolls_down_only(browser, url):
    with opened(browser, url, viewport={"width": 360, "height": 740}) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        assert page.locator(f"{COMPUTE} .plot svg").evaluate("(s) => s.clientWidth") < 360


def test_printing_unfolds_tables_and_lists_runs(browser, url, runs):
    with opened(browser, url) as page:
        page.emulate_media(media="print")
        page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        assert page.locator(".runs tbody tr:not(.space)").count() == len(runs[0])
        assert page.locator("details:not(.numbers):not([open])").count() == 0
        assert page.locator(".top").is_hidden() and page.locator(".tools").first.is_hidden()
        assert len(page.pdf()) > 50_000


def test_hostile_names_are_inert(browser, tmp_path):
    runs, metrics = big_ladder(20)
    names = (HOSTILE, BOOK, RIGHT_TO_LEFT, EMOJI, "=HYPERLINK(1)")
    runs = [replace(r, sweep=names[r.id % 5], size=names[r.id // 8 % 5], family=HOSTILE, error=BOOK,
                    config=r.config | {"family": HOSTILE}) for r in runs]  # fmt: skip
    document = bench()
    for row in document["rows"]:
        row |= {"op": HOSTILE, "shape": BOOK, "best_stock": RIGHT_TO_LEFT}
    path = tmp_path / "index.html"
    write_page(path, answer(runs), runs, metrics, document, HOSTILE)
    with opened(browser, path.as_uri()) as page:
        for folded in page.locator("figure details summary").all():
            folded.click()
        page.get_by_label("Filter").fill("<script>")
        assert page.locator(".runs tbody tr:not(.space)").count() > 0
        assert page.evaluate("window.hacked") is None and page.locator("main img").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") == 1280
        page.locator(".plot").first.focus()
        page.keyboard.press("ArrowLeft")
        assert "run " in page.locator("#tip").inner_text()
        page.get_by_label("Filter").fill("hyperlink")
        _, saved = downloaded(page, "Save the shown runs as CSV")
        sweeps = {row["sweep"] for row in csv.DictReader(saved.open(encoding="utf-8", newline=""))}
        assert "'=HYPERLINK(1)" in sweeps and "=HYPERLINK(1)" not in sweeps  # no formula for a spreadsheet


def test_ten_thousand_runs_scroll(browser, tmp_path, monkeypatch):
    runs, metrics = big_ladder(10_000)
    (one,) = answer(runs[:96])  # a law of all would take most of this test's time, and is none of the browser's
    law = fit_split(one)
    monkeypatch.setattr("laimbench.report.planner.fit_split", lambda _: law)
    path = tmp_path / "index.html"
    write_page(path, [replace(one, pairs=find_pairs(runs))], runs, metrics, None, "runs.sqlite")
    with opened(browser, path.as_uri()) as page:
        cell = page.locator(".runs tbody tr:not(.space) td").first
        first = lambda: int(cell.inner_text().replace(",", ""))  # noqa: E731
        assert first() == 1
        for share, place in ((0.5, len(runs) // 2), (1.0, len(runs))):
            page.locator(".runs-view").evaluate("(v, share) => v.scrollTo(0, v.scrollHeight * share)", share)
            wait_until(lambda place=place: abs(first() - place) < 60)
            assert page.locator(".runs tbody tr").count() < 80
        last = page.locator(".runs tbody tr:not(.space)").last
        assert last.locator("td").first.inner_text() == f"{len(runs):,}" and last.get_attribute("aria-rowindex") == str(
            len(runs) + 1
        )
        box, view = last.bounding_box(), page.locator(".runs-view").bounding_box()
        assert view["y"] < box["y"] < view["y"] + view["height"]
        page.locator(".runs-view").press("Home")
        wait_until(lambda: first() == 1)
        page.get_by_label("Filter").fill("id>9999")
        assert page.locator(".filter output").inner_text() == f"{len(runs) - 9999:,} of {len(runs):,} runs"
        assert page.locator("#compute-gpt-fp32 .plot svg path").count() < 20  # a path per series, not per run
