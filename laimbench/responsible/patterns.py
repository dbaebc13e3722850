"""Personal data and secrets in a text: where they are, how they are shown, what stands in their place.

A rule has two halves: a pattern that finds candidates fast, and a check that a chance hit does not pass (Luhn's digit, the
remainder mod 97, a country's code, the entropy of a value).
"""

from collections.abc import Callable
from dataclasses import dataclass

from laimbench.responsible import credentials, personal

PLACEHOLDERS = {
    "email": "<EMAIL>",
    "phone": "<PHONE>",
    "ip": "<IP>",
    "card": "<CARD>",
    "iban": "<IBAN>",
    "api_key": "<API_KEY>",
    "private_key": "<PRIVATE_KEY>",
    "assigned_secret": "<SECRET>",
}
KINDS = tuple(PLACEHOLDERS)
_SHOWN = 1  # characters of an example that are not masked


@dataclass(frozen=True)
class Finding:
    """One item: text[start:stop] is of this kind."""

    kind: str
    start: int
    stop: int


def find(text: str) -> list[Finding]:
    """Return what is found, in order, without overlaps; of two that overlap the one that begins first, then the longer."""
    numbers = [match.span() for match in personal.NUMBERS.finditer(text)]
    found = [Finding(kind, start, stop) for kind, rule in _RULES for start, stop in rule(text)]
    for kind, rule in _NUMBER_RULES:
        found += [Finding(kind, start, stop) for start, stop in rule(text, numbers)]
    found.sort(key=lambda one: (one.start, -one.stop))
    kept: list[Finding] = []
    for one in found:
        if not kept or one.start >= kept[-1].stop:
            kept.append(one)
    return kept


def redact(text: str) -> str:
    """Return the text with every item replaced by its placeholder, ``<EMAIL>`` and so on."""
    return replace(text, find(text))


def replace(text: str, found: list[Finding]) -> str:
    """Return the text with these items, as ``find`` gives them, replaced by their placeholders."""
    parts, place = [], 0
    for one in found:
        parts += text[place : one.start], PLACEHOLDERS[one.kind]
        place = one.stop
    return "".join([*parts, text[place:]])


def mask(kind: str, item: str) -> str:
    """Return an item for display: its first character, of secrets none, and the punctuation; all else is ``*``."""
    if kind == "private_key":
        return "-----".join(item.split("-----")[:2]) + "-----"  # the header says nothing of the key
    if kind in ("api_key", "assigned_secret"):
        return "*" * min(len(item), 40)
    return item[:_SHOWN] + "".join("*" if c.isalnum() else c for c in item[_SHOWN:])


_RULES: tuple[tuple[str, Callable[[str], personal.Spans]], ...] = (
    ("email", personal.emails),
    ("phone", personal.international_phones),
    ("ip", personal.ipv6s),
    ("iban", personal.ibans),
    ("api_key", credentials.api_keys),
    ("private_key", credentials.private_keys),
    ("assigned_secret", credentials.assigned_secrets),
    ("assigned_secret", credentials.url_passwords),
)
_NUMBER_RULES: tuple[tuple[str, Callable[[str, list[tuple[int, int]]], personal.Spans]], ...] = (
    ("phone", personal.american_phones),
    ("ip", personal.ipv4s),
    ("card", personal.cards),
)
