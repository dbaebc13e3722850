"""Rules for secrets: API keys by their issuers' forms, private keys, passwords in URLs, random values assigned to telling names."""

import math
import re
from collections import Counter

from laimbench.responsible.personal import Spans

KEY_CHARACTERS = 1 << 14  # of a private key between its header and its end; 16,384-bit RSA has 12,800


# Tokens that their issuers made recognisable: a literal that is sought first, then the whole form.
_TOKENS = tuple(
    (literal, re.compile(rf"{literal}{rest}(?![\w\-])"))
    for literal, rest in (
        ("AKIA", r"(?<!\w{5})(?<!\w.{4})[A-Z0-9]{16}"), ("ASIA", r"(?<!\w.{4})[A-Z0-9]{16}"),
        ("ghp_", r"[A-Za-z0-9]{36}"), ("gho_", r"[A-Za-z0-9]{36}"), ("ghu_", r"[A-Za-z0-9]{36}"),
        ("ghs_", r"[A-Za-z0-9]{36}"), ("ghr_", r"[A-Za-z0-9]{36}"), ("github_pat_", r"[A-Za-z0-9_]{82}"),
        ("glpat-", r"[A-Za-z0-9_\-]{20}"), ("xox", r"[abeoprs]-[A-Za-z0-9\-]{10,250}"), ("AIza", r"[A-Za-z0-9_\-]{35}"),
        ("sk-", r"(?<!\w.{3})(?:[A-Za-z0-9]{48}|(?:proj|svcacct|ant|admin)-[A-Za-z0-9_\-]{40,200})"),
        ("hf_", r"(?<!\w.{3})[A-Za-z0-9]{34}"), ("sk_live_", r"[A-Za-z0-9]{24,99}"), ("npm_", r"[A-Za-z0-9]{36}"),
    )
)  # fmt: skip


def api_keys(text: str) -> Spans:
    for literal, pattern in _TOKENS:
        for match in pattern.finditer(text) if literal in text else ():
            if entropy(match[0]) > 2.5:  # not "AKIAXXXXXXXXXXXXXXXX"
                yield match.span()


# With its end, or else with the lines of Base64 that follow; lines may be real ones or "\\n" in a string.
_PRIVATE_KEY = re.compile(
    r"-----BEGIN (?:[A-Z]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"
    rf"(?:[\s\S]{{0,{KEY_CHARACTERS}}}?-----END (?:[A-Z]+ ){{0,3}}PRIVATE KEY(?: BLOCK)?-----|(?:\s+[A-Za-z0-9+/=]{{16,}})*)"
)


def private_keys(text: str) -> Spans:
    return (match.span() for match in (_PRIVATE_KEY.finditer(text) if "-----BEGIN " in text else ()))


_URL_PASSWORD = re.compile(r"://[^\s/@:\"'<>]{0,64}:(?P<password>[^\s/@\"'<>{}$%*]{1,128})@[\w\[]")


def url_passwords(text: str) -> Spans:
    """``scheme://user:password@host``: secret by its place, however it looks."""
    for match in _URL_PASSWORD.finditer(text) if "://" in text else ():
        if not any(word in match["password"].lower() for word in ("password", "passwd", *_PLACEHOLDER_WORDS)):
            yield match.span("password")


_NAMES = ("passw", "secret", "token", "api_key", "apikey", "api-key", "access_key", "auth_key", "private_key", "pwd")
_ASSIGNED = re.compile(
    r"[\w\-]{0,24}[\"']?\]?\s{0,4}(?::=|=>|=|:)\s{0,4}(?:(?P<quote>[\"'])(?P<quoted>[^\s\"']{8,256})(?P=quote)"
    r"|(?P<bare>[A-Za-z0-9+/=_\-]{16,256})(?=[\s;,]|$))"
)
_PLACEHOLDER_WORDS = ("example", "xxxx", "your", "changeme", "placeholder", "<", "{", "$(", "...")


def assigned_secrets(text: str) -> Spans:
    # Of all characters "İ" alone becomes longer in lower case, and positions must stay.
    lower = text.replace("İ", "I").lower()
    for name in _NAMES:
        place = lower.find(name)
        while place >= 0:
            match = _ASSIGNED.match(text, place + len(name))
            if match:
                group = "quoted" if match["quoted"] else "bare"
                if _is_random(match[group], quoted=group == "quoted"):
                    yield match.span(group)
            place = lower.find(name, place + len(name))


def _is_random(value: str, quoted: bool) -> bool:
    """Say whether a value looks drawn by chance: letters and digits mixed, many distinct characters, no placeholder.

    A bare word may be an identifier: it needs both cases too, and more entropy.
    """
    lower = value.lower()
    if any(word in lower for word in _PLACEHOLDER_WORDS):
        return False
    digits = sum(c.isdigit() for c in value)
    mixed = digits >= 1 and any(c.isalpha() for c in value)
    if quoted:
        return mixed and entropy(value) >= 2.75
    return mixed and digits >= 2 and value != lower and value != value.upper() and entropy(value) >= 3.5


def entropy(value: str) -> float:
    """Return the entropy in bits per character of a value's own character frequencies (Shannon 1948)."""
    total = len(value)
    return -sum(n / total * math.log2(n / total) for n in Counter(value).values())
