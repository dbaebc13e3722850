"""Numbers with units as people write them: 1.3B parameters, 3 PF-days, 24h, $2000."""

import re

from laimbench.errors import InputError

SCALES = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9, "T": 1e12, "P": 1e15, "E": 1e18, "Z": 1e21}
SECONDS = {"s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
PF_DAY = 1e15 * 86400  # FLOPs


def parse_count(text: str) -> float:
    """Return a number of things: ``1.3B``, ``2e9``, ``50_000``.

    Raises:
        InputError: not a number with one of the suffixes k, M, G, B, T, P, E, Z.
    """
    number, unit = _split(text, "a number such as 1.3B or 2e9")
    if unit not in SCALES:
        raise InputError(f"{text!r} has the unit {unit!r}, expected one of {', '.join(filter(None, SCALES))}")
    return _positive(number * SCALES[unit], text)


def parse_flops(text: str) -> float:
    """Return FLOPs: ``1e21``, ``3PF-days``, ``2 EFLOPs``."""
    number, unit = _split(text, "FLOPs such as 1e21 or 3PF-days")
    if unit.lower() in ("pf-days", "pf-day", "pflop-days"):
        return _positive(number * PF_DAY, text)
    scale = re.sub(r"FLOPs?$", "", unit, flags=re.IGNORECASE)
    if scale not in SCALES:
        raise InputError(f"{text!r} has the unit {unit!r}, expected FLOPs such as 1e21, 5 EFLOPs or 3PF-days")
    return _positive(number * SCALES[scale], text)


def parse_flops_per_second(text: str) -> float:
    """Return FLOP/s: ``312 TFLOPS``, ``1e15``."""
    return parse_flops(text.strip().removesuffix("/s"))


def parse_seconds(text: str) -> float:
    """Return seconds: ``90``, ``24h``, ``3d``."""
    number, unit = _split(text, "a time such as 24h or 3d")
    if unit and unit not in SECONDS:
        raise InputError(f"{text!r} has the unit {unit!r}, expected one of {', '.join(SECONDS)}")
    return _positive(number * SECONDS[unit or "s"], text)


def parse_money(text: str) -> float:
    """Return an amount of money: ``$2000``, ``2k``."""
    return parse_count(text.strip().lstrip("$€£"))


def format_count(value: float) -> str:
    """Return a count for reading: 1300000000 -> ``1.3B``."""
    for prefix, power in (("T", 12), ("B", 9), ("M", 6), ("k", 3)):
        if 0.9995 * 10**power <= abs(value) < 1e15:
            return f"{value / 10**power:.4g}{prefix}"
    return f"{value:.4g}"


def _positive(value: float, text: str) -> float:
    if not 0 < value < float("inf"):
        raise InputError(f"{text!r} is {value:g}, expected a positive finite number")
    return value


def _split(text: str, expected: str) -> tuple[float, str]:
    match = re.fullmatch(r"\s*([+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-z-]*)\s*", text)
    if not match:
        raise InputError(f"{text!r} is not a number, expected {expected}")
    return float(match[1].replace("_", "")), match[2]
