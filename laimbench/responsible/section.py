"""The report's section on responsible use, from the store's "responsible" documents and its runs.

A document is a dict with any of the parts ``privacy`` (``Scan.to_dict``), ``memorisation``, ``exposure`` and ``bias`` (the
``to_dict`` of their results; bias is a list), ``energy`` (``EnergyUse.to_dict``). Of several documents the newest part counts, of
scans the newest of each source. All text is escaped by ``table``, ``details`` and ``_paragraph``.
"""

from collections import defaultdict
from html import escape
from typing import Any

from laimbench.report.markup import details, table
from laimbench.responsible import energy
from laimbench.store import RunRow

DOCUMENT_KIND = "responsible"


def responsible_section(documents: list[dict[str, Any]], runs: list[RunRow]) -> str:
    """Return the section as HTML; '' where there is neither a document nor a finished run.

    Args:
        documents: of the store, newest last.
        runs: of the store, for the energy of training.
    """
    scans = {document["privacy"]["source"]: document["privacy"] for document in documents if "privacy" in document}
    newest = {name: part for document in documents for name, part in document.items()}
    parts = [_privacy(scan) for scan in scans.values()]
    for name, show in (
        ("memorisation", _memorisation),
        ("exposure", _exposure),
        ("bias", _bias),
        ("energy", _measured),
    ):
        if name in newest:
            parts.append(show(newest[name]))
    parts.append(_energy_of_runs(runs))
    body = "\n".join(part for part in parts if part)
    return f"<h2>Responsible use</h2>\n{body}" if body else ""


def _paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def _title(text: str) -> str:
    return f"<h3>{escape(text)}</h3>"


def _privacy(scan: dict[str, Any]) -> str:
    found = [kind for kind, count in scan["counts"].items() if count]
    text = f"{scan['documents']:,} documents, {scan['characters']:,} characters. "
    text += "Counted by pattern and check digit: some are not personal, and what has no form (names, addresses) is not seen."
    parts = [_title(f"Personal data and secrets in {scan['source']}"), _paragraph(text)]
    if not found:
        return "".join([*parts, _paragraph("Nothing was found.")])
    rows = [[kind, f"{scan['counts'][kind]:,}", f"{scan['documents_with'][kind]:,}"] for kind in found]
    parts.append(table(["kind", "found", "documents"], rows, text_columns=1))
    places = [
        [kind, one["document"], one["masked"], str(one["line"])] for kind in found for one in scan["places"][kind]
    ]
    shown = table(["kind", "document", "masked", "line"], places, text_columns=3)
    parts.append(details("The first places of each kind, masked", shown))
    return "".join(parts)


def _memorisation(one: dict[str, Any]) -> str:
    rows = [
        [name, f"{side['reproduced']} of {side['windows']}", f"{side['share']:.4f}", _interval(side["interval"])]
        for name, side in (("training", one["training"]), ("held out", one["held_out"]))
    ]
    rows.append(["difference", "", f"{one['difference']:+.4f}", _interval(one["difference_interval"])])
    text = f"Greedy decoding after {one['prefix']} tokens gives the next {one['continuation']} exactly (Carlini et al. 2023)."
    return (
        _title("Memorised continuations")
        + _paragraph(text)
        + table(["windows", "reproduced", "share", "95 %"], rows, text_columns=1)
    )


def _exposure(one: dict[str, Any]) -> str:
    rows = [
        [str(i), f"{sampled:.1f}", f"{modelled:.1f}"]
        for i, (sampled, modelled) in enumerate(zip(one["sampled"], one["modelled"], strict=True))
    ]
    text = (
        f"Bits of at most {one['bits']:.1f} that the model gives away (Carlini et al. 2019); by rank up to {one['resolution']:.1f}, "
        f"beyond that by a fitted skew normal (fit p = {one['fit_p']:.2g}). Never trained on: 1.4 bits on average."
    )
    header = ["canary", "exposure by rank", "by skew normal"]
    return _title("Exposure of canaries") + _paragraph(text) + table(header, rows, text_columns=1)


def _bias(differences: list[dict[str, Any]]) -> str:
    rows = [[one["first"], one["second"], f"{one['mean']:+.4f}", _interval(one["interval"])] for one in differences]
    parts = [
        _title("Bias between groups"),
        _paragraph(
            "Mean loss per token of the same words after names of the first group less after the second, in nats."
        ),
        table(["first", "second", "difference", "95 % over templates"], rows, text_columns=2),
    ]
    for one in differences:
        by_template = [[template, f"{value:+.4f}"] for template, value in one["by_template"]]
        title = f"By template: {one['first']} less {one['second']}"
        parts.append(details(title, table(["template", "difference"], by_template, text_columns=1)))
    return "".join(parts)


def _measured(one: dict[str, Any]) -> str:
    text = f"{one['kwh']:.4g} kWh in {one['seconds']:.4g} s, {one['co2_g']:.4g} g of CO2 ({one['method']}; grid: "
    return _title("Energy of the audited work") + _paragraph(
        text + f"{one['grid_g_per_kwh']:g} g/kWh, {one['grid_source']})."
    )


def _energy_of_runs(runs: list[RunRow]) -> str:
    groups = defaultdict(list)
    for run in runs:
        if run.train_s and not run.config.get("device"):
            groups[run.family, run.size, run.backend, run.dtype].append(run)
    if not groups:
        return ""
    groups = {**groups, ("all", "", "", ""): [run for members in groups.values() for run in members]}
    rows = []
    for names, members in groups.items():
        use = runs_estimate(members)
        rows.append([*names, str(len(members)), f"{use.seconds:.2f}", f"{use.kwh:.3g}", f"{use.co2_g:.3g}"])
    text = (
        f"An estimate, not a measurement: seconds in training steps, times threads, times {energy.WATTS_PER_CORE:g} W per core; "
        f"{energy.GRID_G_PER_KWH:g} g of CO2 per kWh ({energy.GRID_SOURCE}). Memory, cooling, idle devices and runs on "
        "GPUs are not in it."
    )
    header = ["family", "size", "backend", "dtype", "runs", "seconds", "kWh", "g CO2"]
    return _title("Energy of training (estimate)") + _paragraph(text) + table(header, rows, text_columns=4)


def runs_estimate(runs: list[RunRow]) -> energy.EnergyUse:
    """Return the energy estimate of runs: seconds in training steps x threads x watts per core."""
    seconds = [run.train_s or 0.0 for run in runs]
    core_seconds = sum(s * run.machine["threads"] for s, run in zip(seconds, runs, strict=True))
    return energy.estimate(core_seconds, sum(seconds))


def _interval(interval: tuple[float, float] | None) -> str:
    return "none" if interval is None else f"{interval[0]:.4f} to {interval[1]:.4f}"
