"""Rules for personal data: e-mail addresses, phone numbers, IP addresses, cards, IBANs; each yields (start, stop).

A pattern never begins with a look-behind: ``re`` can then skip through the text by the set of first characters, which is ten times
as fast; the look-behind follows the first character.
"""

import ipaddress
import re
from collections.abc import Iterator

Spans = Iterator[tuple[int, int]]
# Runs of digits and separators: found once, then looked at by several rules.
NUMBERS = re.compile(r"\d[\d.() \-]{5,}\d")


def _within(pattern: re.Pattern, text: str, numbers: list[tuple[int, int]]) -> Iterator[re.Match]:
    """Yield the pattern's matches in those runs, with a character before and three behind for what looks around."""
    for start, stop in numbers:
        yield from pattern.finditer(text, max(0, start - 1), stop + 3)


_DOMAIN = re.compile(r"@(?:[A-Za-z0-9](?:[A-Za-z0-9\-]{0,61}[A-Za-z0-9])?\.)+([A-Za-z]{2,24})(?![\w\-]|\.\w)")
_LOCAL_BACKWARDS = re.compile(r"[\w!#$%&'*+/=?^`{|}~.\-]{1,64}")
_URL_BEFORE = re.compile(r"://[^\s/@]*$")
_NOT_TOP_LEVEL = {"py", "js", "ts", "png", "jpg", "jpeg", "gif", "svg", "html", "css", "json", "txt", "md", "local"}


def emails(text: str) -> Spans:
    """By the part that is rare, "@" and a domain, then backwards over the local part."""
    for match in _DOMAIN.finditer(text) if "@" in text else ():
        at = match.start()
        local = _LOCAL_BACKWARDS.match(text[max(0, at - 64) : at][::-1])
        if not local or match[1].lower() in _NOT_TOP_LEVEL:
            continue
        if _URL_BEFORE.search(text, max(0, at - 128), at):
            continue  # the user of a URL, whose password has a rule of its own
        name = local[0][::-1].lstrip("'`{|}/=!#$%&*?^.-")  # quotes and operators before it are not part of it
        if name and not name.endswith(".") and ".." not in name and name != "git":  # git@host: names no person
            yield at - len(name), match.end()


# E.164: "+", country code, 8 to 15 digits in all, in groups with at most two separators between them.
_INTERNATIONAL = re.compile(r"\+(?<![\w)\]+\-.]\+)[1-9](?:[ .\-/]{0,1}[()]?[ ]?\d){7,14}(?![\w]|[.\-]\d)")
# North America: (area) exchange-line, the separators required; area and exchange begin with 2 to 9;
# a trunk prefix, 1-, may stand before it.
_AMERICAN = re.compile(
    r"(?:\((?<![\w)\]]\()[2-9]\d\d\) ?|[2-9](?<![\w./+:,=]\d)(?<![^1]-\d)(?<!\w1-\d)(?<![\d)] \d)\d\d(?P<separator>[ .\-]))"
    r"[2-9]\d\d(?(separator)(?P=separator)|[ .\-])\d{4}(?![\w]|[.\-/:,]\d| \d)"
)
_COUNTRY = re.compile(
    r"1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|"
    r"(?:2[1234569]|35|37|38|42|50|59|67|68|69|80|85|87|88|96|97|99)\d"
)


def international_phones(text: str) -> Spans:
    for match in _INTERNATIONAL.finditer(text):
        item = match[0]
        number = re.fullmatch(r"\+\d+\.\d+", item) or (
            item[1:].isdigit() and text[max(0, match.start() - 24) : match.start()].rstrip()[-1:].isdigit()
        )  # a decimal with its sign, or an integer in a row of such
        if not number and item.count("(") == item.count(")") and _COUNTRY.match(item, 1):
            yield match.span()


def american_phones(text: str, numbers: list[tuple[int, int]]) -> Spans:
    return (match.span() for match in _within(_AMERICAN, text, numbers))


_IPV4 = re.compile(r"[1-9](?<![\w.\-+]\d)\d{0,2}(?:\.(?:0|[1-9]\d{0,2})){3}(?![\w]|[.\-+]\w|/\d)")
_IPV6 = re.compile(r"[23](?<![\w:.]\d)[0-9a-fA-F]{3}:[0-9a-fA-F:]{2,34}(?![\w:]|/\d)")
_VERSION = re.compile(r"(?:version|release|update|build|oid|section|[<>=~!]=)[\W_]{0,7}$", re.IGNORECASE)
_ADDRESS = re.compile(r"\bip|addr|host|server|dns|ping|from|gateway|client|peer|remote|://", re.IGNORECASE)
_SMALL = 64  # four parts below this are more often a version or a section's number than an address


def ipv4s(text: str, numbers: list[tuple[int, int]]) -> Spans:
    """Unicast addresses of hosts: no loopback, no netmask, no network (a /24), nothing that looks like a version or is called one."""
    for match in _within(_IPV4, text, numbers):
        parts = [int(part) for part in match[0].split(".")]
        if parts[0] < 224 and parts[0] != 127 and max(parts) < 256 and any(parts[1:]):
            before = text[max(0, match.start() - 40) : match.start()]
            if not _VERSION.search(before) and (max(parts) >= _SMALL or _ADDRESS.search(before)):
                yield match.span()


def ipv6s(text: str) -> Spans:
    for match in _IPV6.finditer(text):
        try:
            ipaddress.IPv6Address(match[0])
        except ValueError:
            continue
        yield match.span()


# Digits as printed on cards: in one block, 4-4-4-4, or 4-6-5 (American Express). The argument of a call is a number.
_CARD = re.compile(
    r"[2-6](?<![\w.\-+]\d)(?<!\d[ ,]\d)(?<!\w\(\d)(?:\d{12,18}|\d{3}([ \-])(?:\d{4}\1\d{4}\1\d{4}|\d{6}\1\d{5}))(?!\w|[.\-, ]\d)"
)
_ISSUERS = re.compile(r"4(?:\d{15}|\d{18})|(?:5[1-5]\d\d|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720))\d{12}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}|"
                      r"6(?:011|4[4-9]\d|5\d\d)\d{12}|35\d{14}")  # fmt: skip


def cards(text: str, numbers: list[tuple[int, int]]) -> Spans:
    for match in _within(_CARD, text, numbers):
        digits = match[0].replace(" ", "").replace("-", "")
        if _ISSUERS.fullmatch(digits) and len(set(digits)) > 1 and passes_luhn(digits):
            yield match.span()


def passes_luhn(digits: str) -> bool:
    """Say whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    doubled = (sum(divmod(2 * int(d), 10)) for d in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0


# Lengths by country, from the IBAN registry (ISO 13616).
_IBAN_LENGTHS = {
    country: length
    for length, countries in {
        15: "NO", 16: "BE", 18: "DK FI FO GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU MN XK", 21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA", 23: "AE GI IL IQ OM SO TL", 24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST", 26: "IS TR", 27: "BI DJ FR GR IT MC MR SM", 28: "AL AZ BY CY DO GT HU LB NI PL SV",
        29: "BR EG PS QA UA", 30: "JO KW MU YE", 31: "MT SC", 32: "LC", 33: "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip
_IBAN = re.compile(r"[A-Z](?<!\w[A-Z])[A-Z]\d\d ?[A-Z0-9]{4}(?: ?[A-Z0-9]){7,25}(?!\w)")


def ibans(text: str) -> Spans:
    for match in _IBAN.finditer(text):
        length = _IBAN_LENGTHS.get(match[0][:2], 0)
        taken = compact = ""
        for character in match[0]:  # a word in capitals may follow: the country says where the number ends
            if len(compact) == length:
                break
            taken += character
            compact += character.strip()
        behind = match[0][len(taken) : len(taken) + 1]
        if length and len(compact) == length and behind in ("", " ") and passes_mod_97(compact):
            yield match.start(), match.start() + len(taken)


def passes_mod_97(compact: str) -> bool:
    """Say whether an IBAN without blanks has the right check digits (ISO 7064, MOD 97-10)."""
    return int("".join(str(int(c, 36)) for c in compact[4:] + compact[:4])) % 97 == 1
