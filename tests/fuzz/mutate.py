"""Make wrong inputs from right ones: bytes changed, cut, doubled or spliced, and values of JSON replaced."""

import json
import random
from typing import Any

# What readers of numbers, names, dates and nested documents have stumbled over.
TOKENS = (
    b"", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\xf0\x9f\x92\xa5", b"\xed\xa0\x80", b'"', b"'", b",", b";", b"\t", b"\r", b"\n", b"[", b"]", b"{", b"}",
    b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1", b"0", b"00", b"1e-999", b"9" * 400, b"18446744073709551616", b"0x10", b"1_000", b"null", b"true",
    b"[" * 3000, b'{"a":' * 3000, b"%s%n", b"../../etc/passwd", b"__class__", b"a" * 5000,
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**64), 10**30, 0.5, -0.0, 1e308, float("nan"), float("inf"), "", "a", "\x00", "\ud800", "x" * 3000,
    [], {}, [[]], [1, "a"], {"": None}, "nan", "1e5", "builtin:text",
)  # fmt: skip


def mutated(rng: random.Random, content: bytes, other: bytes) -> bytes:
    """Return a wrong input (now and then a right one) made from one or two right ones."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        content = _changed(rng, content, other)
    return content[: 1 << 20]


def _changed(rng: random.Random, content: bytes, other: bytes) -> bytes:
    place = rng.randint(0, len(content))
    match rng.randrange(8):
        case 0 if content:  # a byte
            at = rng.randrange(len(content))
            return content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]
        case 1 if content:  # a bit
            at = rng.randrange(len(content))
            return content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :]
        case 2:
            return content[:place]
        case 3:
            return content[:place] + content[place + rng.choice((1, 2, 8, 64)) :]
        case 4:
            return content[:place] + rng.choice(TOKENS) + content[place + rng.choice((0, 1, 4)) :]
        case 5:
            return (
                content[:place]
                + content[place : place + rng.choice((1, 16, 256))] * rng.choice((2, 3))
                + content[place:]
            )
        case 6:
            return content[:place] + other[rng.randint(0, len(other)) :]
        case _:
            return _other_value(rng, content)


def _other_value(rng: random.Random, content: bytes) -> bytes:
    """Replace, drop or rename one value of a JSON document, or of one of its lines."""
    lines = content.split(b"\n") if content.count(b"\n") > 1 else [content]
    at = rng.randrange(len(lines))
    try:
        document = json.loads(lines[at])
    except (ValueError, RecursionError):
        return content
    holder, keys = [document], [(0,)]
    found = [(holder, 0)]
    while keys:
        path = keys.pop()
        value: Any = holder
        for key in path:
            value = value[key]
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, _ in inner:
            found.append((value, key))
            keys.append((*path, key))
    owner, key = rng.choice(found)
    match rng.randrange(6):
        case 0 if isinstance(owner, dict):
            del owner[key]
        case 1 if isinstance(owner, dict):
            owner[key + "x"] = owner.pop(key)
        case 2 if isinstance(owner, list) and owner is not holder:
            owner.append(owner[key])
        case _:
            owner[key] = rng.choice(VALUES)
    try:
        lines[at] = json.dumps(holder[0]).encode("utf-8", "surrogatepass")
    except RecursionError:
        return content
    return b"\n".join(lines)
