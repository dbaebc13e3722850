"""From an audit by the command line to the report's section: shown, escaped, and the numbers those of the store."""

import json

import numpy as np
import pytest

from laimbench.cli import main
from laimbench.responsible.bias import GroupDifference
from laimbench.responsible.canaries import CanaryFormat, exposure, random_canaries
from laimbench.responsible.energy import GRID_G_PER_KWH, WATTS_PER_CORE, estimate
from laimbench.responsible.memorisation import continuation_rates
from laimbench.responsible.section import DOCUMENT_KIND, responsible_section
from laimbench.store import Store
from tests.report.synthetic import MACHINE, ladder, run
from tests.report.test_page import HOSTILE, Page
from tests.responsible.models import Noise, Parrot

RUN_FACTS = {"family": "gpt", "size": "d1", "backend": "laim", "dtype": "fp32", "seed": 0, "params": 1,
             "params_non_embedding": 1, "tokens": 1, "flops": 1.0}  # fmt: skip


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "a[bold].txt").write_text("write to jane@mail.org\n")
    return folder


@pytest.fixture
def document():
    windows, form = Noise().train_windows(0, 0, 20, 12), CanaryFormat((1, None, None), tuple(range(5)))
    model = Parrot(windows, 50, 11)
    rates = continuation_rates(model, windows, Noise().validation_windows(20, 12), prefix=8, continuation=4)
    return {
        "memorisation": rates.to_dict(),
        "exposure": exposure(model, random_canaries(form, 2, 0), form).to_dict(),
        "bias": [GroupDifference("a", "b", 0.25, None, (("{} is", 0.25),)).to_dict()],
        "energy": estimate(10.0, 5.0).to_dict(),
    }


def text_of(html):
    return " ".join(Page(html).text)


def test_audit_report_and_copy_by_the_command_line(source, tmp_path, capsys):
    store, copy = tmp_path / "runs.sqlite", tmp_path / "copy"
    assert main(["audit", f"dir:{source}", "--redact", str(copy), "--store", str(store), "--json", "-"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["privacy"]["counts"]["email"] == 1
    assert "a[bold].txt:1" in captured.err and "jane" not in captured.err + captured.out
    assert (copy / "a[bold].txt").read_text() == "write to <EMAIL>\n"
    with Store(store) as opened:
        assert opened.documents(DOCUMENT_KIND)[0]["machine"]["python"]
        for backend in ("laim", "torch"):
            row = opened.begin_run(backend, "s", {"backend": backend}, RUN_FACTS | {"backend": backend}, MACHINE)
            opened.log(row, [{"step": 1, "tokens": 1, "flops": 1.0, "train_s": 1.0, "train_loss": 1.0, "val_loss": 1.0,
                              "tokens_per_s": 1.0}])  # fmt: skip
            opened.finish_run(row, "done", {})
    page = tmp_path / "page.html"
    assert main(["report", str(store), "--out", str(page)]) == 0
    shown = text_of(page.read_text(encoding="utf-8"))
    assert "Personal data and secrets in dir:" in shown and "j***@****.***" in shown and "jane@mail" not in shown
    assert "Energy of training (estimate)" in shown


def test_errors_of_the_command_line(source, tmp_path, capsys):
    (tmp_path / "copy").mkdir()
    for arguments, said in ((["dir:nowhere"], "not a directory"), (["synthetic:markov"], "unknown source"),
                            ([f"dir:{source}", "--redact", str(tmp_path / "copy")], "exists already")):  # fmt: skip
        assert main(["audit", *arguments]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1 and lines[0].startswith("error: ") and said in lines[0]


def test_every_part_is_shown(document):
    shown = text_of(responsible_section([document], []))
    for said in ("20 of 20", "Exposure of canaries", "+0.2500", "{} is", "estimate: 10 core seconds", "g/kWh"):
        assert said in shown
    assert responsible_section([], []) == ""


def test_the_energy_of_runs_is_an_estimate_that_adds_up():
    runs = ladder()
    shown = text_of(responsible_section([], runs))
    kwh = sum(r.train_s for r in runs) * MACHINE["threads"] * WATTS_PER_CORE / 3.6e6
    assert f"{kwh:.3g}" in shown and f"{kwh * GRID_G_PER_KWH:.3g}" in shown and "not a measurement" in shown
    assert responsible_section([], [run(1, train_s=None, status="failed")]) == ""


def test_the_newest_part_counts_and_every_source_is_kept(document):
    scan = lambda source, n: {"privacy": {"source": source, "documents": n, "characters": 1, "counts": {"email": 0},  # noqa: E731
                                          "documents_with": {"email": 0}, "places": {"email": []}, "left_out": []}}  # fmt: skip
    newer = {"bias": [{**document["bias"][0], "mean": -0.5}]}
    shown = text_of(responsible_section([document, scan("dir:a", 1), scan("dir:b", 2), scan("dir:a", 333), newer], []))
    assert (
        "-0.5000" in shown and "333 documents" in shown and "dir:b" in shown and shown.count("Nothing was found") == 2
    )
    assert "20 of 20" in shown


def hostile(value):
    if isinstance(value, dict):
        return {key: hostile(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [hostile(part) for part in value]
    return HOSTILE if isinstance(value, str) else value


def test_hostile_text_is_inert(document):
    document["privacy"] = {"source": "x", "documents": 1, "characters": 1, "counts": {"email": 1}, "documents_with": {"email": 1},
                           "places": {"email": [{"document": "d", "line": 1, "masked": "m"}]}, "left_out": []}  # fmt: skip
    runs = [run(1, size=HOSTILE, backend=HOSTILE)]
    page = Page(responsible_section([hostile(document)], runs))
    assert not {"script", "img"} & set(page.tags) and page.handlers == [] and any(HOSTILE in text for text in page.text)


def test_numbers_of_numpy_do_not_reach_the_store(document, tmp_path):
    with Store(tmp_path / "s.sqlite") as store:
        store.save_document(DOCUMENT_KIND, document)
        assert store.documents(DOCUMENT_KIND) == [json.loads(json.dumps(document))]
    assert not any(isinstance(v, np.generic) for v in document["exposure"]["sampled"])
