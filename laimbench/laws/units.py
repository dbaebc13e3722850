"""Numbers as people write them: counts (1.3B), FLOPs (3 PF-days), times (5h), money ($2000).

A number is digits with an optional point and exponent, groups of three set apart by ``_`` or ``,``. A decimal prefix follows:
k, M, B or G, T, P, E, Z, Y, R, Q, or the words thousand to trillion. Prefixes scale the decimal exponent, so ``1.3B`` is the float
nearest to 1.3e9 and nothing is rounded twice.
"""

import math
import re

from laimbench.errors import InputError

PREFIXES = {
    "": 0, "k": 3, "K": 3, "M": 6, "B": 9, "G": 9, "T": 12, "P": 15, "E": 18, "Z": 21, "Y": 24, "R": 27, "Q": 30,
    "m": 6, "b": 9, "bn": 9, "g": 9, "t": 12,  # of a count: 70m parameters; no unit of these is ever a thousandth
    "kilo": 3, "mega": 6, "giga": 9, "tera": 12, "peta": 15, "exa": 18, "zetta": 21, "yotta": 24,
    "thousand": 3, "thousands": 3, "million": 6, "millions": 6, "billion": 9, "billions": 9, "trillion": 12, "trillions": 12,
}  # fmt: skip
SECONDS = {
    "ms": 1e-3, "s": 1, "sec": 1, "secs": 1, "second": 1, "seconds": 1, "m": 60, "min": 60, "mins": 60, "minute": 60,
    "minutes": 60, "h": 3600, "hr": 3600, "hrs": 3600, "hour": 3600, "hours": 3600, "d": 86400, "day": 86400, "days": 86400,
    "w": 604800, "week": 604800, "weeks": 604800, "y": 31557600, "year": 31557600, "years": 31557600,
}  # fmt: skip
MAX_LENGTH = 100  # of a number's text, so that odd input costs nothing

_DIGITS = r"(?:\d{1,3}(?:,\d{3})+|\d+(?:_\d+)*)"
_NUMBER = rf"(?P<mantissa>{_DIGITS}(?:\.\d*)?|\.\d+)(?:[eE](?P<exponent>[+-]?\d{{1,4}}))?"
_COUNT = re.compile(
    rf"\s*(?P<sign>[+-]?){_NUMBER}\s*(?P<prefix>[A-Za-z]*?)\s*(?:tokens?|param(?:eter)?s?)?\s*", re.ASCII
)
_FLOPS = re.compile(
    rf"\s*(?P<sign>[+-]?){_NUMBER}\s*(?P<prefix>[A-Za-z]*?)(?P<unit>|F|[Ff][Ll][Oo][Pp][Ss]?)"
    r"(?P<rate>/s(?:ec)?)?(?:[ *·-]+(?P<time>[A-Za-z]+))?\s*",
    re.ASCII,
)
_MONEY = re.compile(
    rf"\s*(?:\$|USD\s*)?\s*(?P<sign>[+-]?){_NUMBER}\s*(?P<prefix>[A-Za-z]*?)\s*(?:\$|USD|dollars?)?\s*", re.ASCII
)
_TIME = re.compile(rf"\s*{_NUMBER}\s*(?P<unit>[A-Za-z]*)\s*", re.ASCII)


def parse_number(text: str) -> float:
    """Return a number of either sign with an optional decimal prefix: ``-3``, ``1.3B``, ``10k``, ``1_000_000``, ``2e9 tokens``.

    Raises:
        InputError: it is none, or too large for a float.
    """
    match = _match(_COUNT, text)
    value = _scaled(match)
    if value is None:
        raise InputError(f"{_shown(text)}: expected a number such as 350M, 1.3B, 2e9 or 1_000_000")
    return value


def parse_count(text: str) -> float:
    """Return a positive count of parameters, tokens, steps...: ``350M``, ``1.4T``, ``2e9``, ``1,000,000``.

    Raises:
        InputError: it is none, or not positive and finite.
    """
    return _positive(parse_number(text), text)


def parse_flops(text: str) -> float:
    """Return a positive number of floating-point operations.

    ``5.76e23``, ``1 EFLOP``, ``2 ZFLOPs``, ``3 PF-days`` (also ``PFLOP/s-days``, ``EF-hours``): a rate times a time, with
    1 PF-day = 1e15 x 86,400 = 8.64e19 FLOP (Kaplan et al. 2020).

    Raises:
        InputError: it is none, or a rate (FLOP/s) without a time.
    """
    match = _match(_FLOPS, text)
    value = _scaled(match)
    if value is None or (match["time"] or "s") not in SECONDS or (match["time"] and not match["unit"]):
        raise InputError(f"{_shown(text)}: expected FLOPs such as 5.76e23, 1 EFLOP, 2 ZFLOPs or 3 PF-days")
    if match["rate"] and not match["time"]:
        raise InputError(f"{_shown(text)} is a rate, expected FLOPs such as 5.76e23, 2 ZFLOPs or 3 PF-days")
    return _positive(value * SECONDS[match["time"] or "s"], text)


def parse_flops_per_second(text: str) -> float:
    """Return a positive rate in FLOP/s: ``312 TFLOP/s``, ``989 TFLOPS``, ``1e15``, ``1 PF``.

    Raises:
        InputError: it is none, or is FLOPs (PF-days).
    """
    match = _match(_FLOPS, text)
    value = _scaled(match)
    if value is None or match["time"]:
        raise InputError(f"{_shown(text)}: expected a rate such as 312 TFLOP/s, 989 TFLOPS or 1e15")
    return _positive(value, text)


def parse_seconds(text: str) -> float:
    """Return a positive time in seconds: ``90s``, ``30m`` (minutes), ``5h``, ``2d``, ``1h30m``; a bare number is seconds.

    Raises:
        InputError: it is none.
    """
    total, position, parts = 0.0, 0, 0
    while len(text) <= MAX_LENGTH and (match := _TIME.match(text, position)):
        unit = match["unit"] or ("s" if not parts and match.end() == len(text) else "")
        value = _scaled(match)
        if unit not in SECONDS or value is None:
            break
        total, position, parts = total + value * SECONDS[unit], match.end(), parts + 1
    if not parts or position != len(text):
        raise InputError(f"{_shown(text)}: expected a time such as 90s, 30m, 5h, 2d or 1h30m")
    return _positive(total, text)


def parse_money(text: str) -> float:
    """Return a positive amount in US dollars: ``$2000``, ``2000 USD``, ``$2.5k``, ``1,500``.

    Raises:
        InputError: it is none.
    """
    value = _scaled(_match(_MONEY, text))
    if value is None:
        raise InputError(f"{_shown(text)}: expected an amount such as $2000, $2.5k or 2000 USD")
    return _positive(value, text)


def scale_of(text: str) -> float | None:
    """Return the factor that a unit in a column's heading stands for (``B``, ``millions``, ``1e21``, ``10^9``, ``PF-days``), else None."""
    text = text.strip()
    power = re.fullmatch(r"(?:x\s*)?(?:1[eE]|10\s*(?:\^|\*\*)\s*)(\d{1,2})", text, re.ASCII)
    if power:
        return 10.0 ** int(power[1])
    if text and text in PREFIXES:
        return 10.0 ** PREFIXES[text]
    try:
        return parse_flops(f"1 {text}") if text else None
    except InputError:
        return None


def format_count(value: float) -> str:
    """Return a count with a prefix and at most four digits: 1300000000 -> ``1.3B``. For reading, not for computing."""
    for prefix, power in (("T", 12), ("B", 9), ("M", 6), ("k", 3)):
        if 0.9995 * 10**power <= abs(value) < 1e15:
            return f"{value / 10**power:.4g}{prefix}"
    return f"{value:.4g}"


def _match(pattern: re.Pattern, text: str) -> re.Match | None:
    return pattern.fullmatch(text) if len(text) <= MAX_LENGTH else None


def _scaled(match: re.Match | None) -> float | None:
    """Return mantissa x 10^(exponent + prefix) of a match, None for no match, an unknown prefix or overflow."""
    groups = match.groupdict() if match else {}
    if not match or (groups.get("prefix") or "") not in PREFIXES:
        return None
    power = int(groups["exponent"] or 0) + PREFIXES[groups.get("prefix") or ""]
    mantissa = groups["mantissa"].replace("_", "").replace(",", "")
    value = float(f"{groups.get('sign') or ''}{mantissa}e{power}")
    return value if math.isfinite(value) else None


def _positive(value: float, text: str) -> float:
    if not (0 < value < math.inf):
        raise InputError(f"{_shown(text)} is {value:g}, expected a positive finite number")
    return value


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
