"""Pictures, Markdown and the page of a fit."""

import numpy as np
import pytest

from laimbench import laws
from laimbench.errors import InputError
from laimbench.laws.analysis import Options, analyse
from laimbench.laws.output.document import to_html, to_markdown
from laimbench.laws.output.pictures import make_pictures, save_pictures


def table(rows=30, source="columns"):
    rng = np.random.default_rng(0)
    params, tokens = 10 ** rng.uniform(6, 10, rows), 10 ** rng.uniform(8, 11, rows)
    loss = (1.7 + 400 / params**0.34 + 900 / tokens**0.31) * np.exp(rng.normal(0, 0.003, rows))
    return laws.from_columns({"params": params, "tokens": tokens, "loss": loss}, source=source)


@pytest.fixture(scope="module")
def found():
    return analyse(table(source="<script>alert(1)</script> | a*b"), Options(bootstrap=30))


def test_a_law_in_two_variables_has_all_pictures(found):
    figures = make_pictures(found.fit, review=found.review, table=found.table)
    assert set(figures) == {"fit", "residuals", "contours", "isoflop", "profile", "bootstrap", "quality"}
    axes = figures["fit"].axes[0]
    assert "FLOPs" in axes.get_xlabel() and "loss" in axes.get_ylabel() and axes.get_xscale() == "log"


def test_the_same_fit_gives_the_same_bytes_and_a_law_in_one_variable_fewer_pictures(tmp_path):
    fit = laws.fit_power_law(np.geomspace(1e18, 1e22, 12), 2 + 50 * np.geomspace(1e18, 1e22, 12) ** -0.1, bootstrap=0)
    first, second = (save_pictures(fit, tmp_path / name, only=["fit", "residuals"]) for name in ("a", "b"))
    assert [path.name for path in first] == ["fit.png", "fit.svg", "residuals.png", "residuals.svg"]
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(first, second, strict=True))
    with pytest.raises(InputError, match="contours"):
        make_pictures(fit, only=["contours"])
    with pytest.raises(InputError, match="gif"):
        save_pictures(fit, tmp_path, formats=("gif",), only=["fit"])


def test_documents_carry_the_numbers_and_hostile_text_is_inert(found):
    document = found.to_dict()
    text = to_markdown(document)
    assert f"{found.fit.params['alpha']:.6g}" in text and "<script>" not in text and "\\| a\\*b" in text
    page = to_html(document, make_pictures(found.fit, only=["fit"]))
    assert "<script" not in page and "&lt;script&gt;" in page and page.count("<svg") == 1 and "http-equiv" not in page
