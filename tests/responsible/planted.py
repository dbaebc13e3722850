"""A corpus of which it is known where personal data and secrets stand: drawn items in sentences, among look-alikes."""

import random
import string

ALNUM = string.ascii_letters + string.digits
FIRST = ["anna", "jan.kowalski", "m_lee", "o'brien", "sofia+news", "x99", "j-p.sartre", "Li.Wei"]
DOMAINS = ["gmail.com", "uni-heidelberg.de", "mail.corp.co.uk", "posteo.net", "ab.io", "sub.domain.example.org"]
SENTENCES = ["please contact {} about it", "# see {}", 'x = "{}"', "({}) was given", "sent to {}, then closed.", "<{}>"]


def luhn_complete(body):
    for last in string.digits:
        digits = [int(c) for c in body + last][::-1]
        if (sum(digits[0::2]) + sum(d * 2 - 9 * (d > 4) for d in digits[1::2])) % 10 == 0:
            return body + last
    raise AssertionError


def iban(rng):
    country, length = rng.choice([("DE", 22), ("FR", 27), ("NL", 18), ("ES", 24), ("NO", 15), ("GB", 22)])
    letters = {"GB": "".join(rng.choices(string.ascii_uppercase, k=4)), "NL": "ABNA"}.get(country, "")
    body = letters + "".join(rng.choices(string.digits, k=length - 4 - len(letters)))
    value = int("".join(str(int(c, 36)) for c in body + country + "00"))
    compact = f"{country}{98 - value % 97:02d}{body}"
    return compact if rng.random() < 0.5 else " ".join(compact[i : i + 4] for i in range(0, length, 4))


def card(rng):
    kind = rng.choice(["visa", "mastercard", "amex", "discover"])
    prefix, length = {"visa": ("4", 16), "mastercard": ("5" + rng.choice("12345"), 16), "amex": ("37", 15), "discover": ("6011", 16)}[kind]  # fmt: skip
    digits = luhn_complete(prefix + "".join(rng.choices(string.digits, k=length - len(prefix) - 1)))
    groups = [digits[:4], digits[4:10], digits[10:]] if kind == "amex" else [digits[i : i + 4] for i in range(0, 16, 4)]
    return rng.choice([digits, " ".join(groups), "-".join(groups)])


def phone(rng):
    n = lambda k: "".join(rng.choices(string.digits, k=k))  # noqa: E731
    area, exchange, line = rng.choice("23456789") + n(2), rng.choice("23456789") + n(2), n(4)
    forms = [f"+1 ({area}) {exchange}-{line}", f"({area}) {exchange}-{line}", f"{area}-{exchange}-{line}",
             f"{area}.{exchange}.{line}", f"+49 30 {n(7)}", f"+44 20 {n(4)} {n(4)}", f"+33 1 {n(2)} {n(2)} {n(2)} {n(2)}",
             f"+4915{n(9)}", f"+81-3-{n(4)}-{n(4)}"]  # fmt: skip
    return rng.choice(forms)


def ip(rng):
    if rng.random() < 0.2:
        return "2001:db8:" + ":".join(f"{rng.randrange(1, 65536):x}" for _ in range(6))
    return f"{rng.choice([10, 84, 172, 192, 203])}." + ".".join(str(rng.randrange(64, 255)) for _ in range(3))


def api_key(rng):
    of = lambda alphabet, k: "".join(rng.choices(alphabet, k=k))  # noqa: E731
    return rng.choice(["AKIA" + of(string.ascii_uppercase + string.digits, 16), "ghp_" + of(ALNUM, 36), "AIza" + of(ALNUM, 35),
                       f"xoxb-{of(string.digits, 12)}-{of(ALNUM, 24)}", "sk-" + of(ALNUM, 48), "sk-proj-" + of(ALNUM, 60)])  # fmt: skip


def assignment(rng):
    """Return (text before, value, text behind)."""
    value = "".join(rng.choices(ALNUM + "!@#%&*", k=16)) + rng.choice(string.digits)
    return rng.choice([("password = '", value, "'"), ('"client_secret": "', value, '"'), ('API_TOKEN="', value, '"'),
                       ("db_passwd: '", value, "'")])  # fmt: skip


LOOK_ALIKES = [
    "version 10.2.30.4 of the driver", "numpy==1.26.4.1", "v8.1.7.201", "1.3.6.1.4.1.311.20", "127.0.0.1:8000", "255.255.255.0",
    "section 7.1.4.34 of the norm", "0x4111111111111111", "deadbeef4111111111111111", "0.4111111111111111", "1234567890123456",
    "4111111111111112", "9e107d9d-372b-4bfa-8db1-d0c5ef8a1b2c", "d41d8cd98f00b204e9800998ecf8427e", "2024-01-15 10:22:33.123456",
    "1700000000", "3.141592653589793", "range(100, 200, 300)", "2**31 - 2147483647", "@dataclass", "@app.route('/x')",
    "user@localhost", "git@github.com:org/repo.git", "icon@2x.png", "a @ b.T", "DE00 0000 0000 0000 0000 00",
    "DE89 3704 0044 0532 0130 01", "password = 'changeme'", "password = input()", "token = tokenizer_v2_large_model",
    "secret = os.environ['SECRET_1']", "api_key = 'your-api-key-123'", "token: 'identifier'", "ghp_short", "AKIAXXXXXXXXXXXXXXXX",
    "-----BEGIN CERTIFICATE-----", "-----BEGIN PUBLIC KEY-----", "x += +12345", "1-2-3", "12:34:56:78", "std::vector::begin",
    "phone 123-456-789", "100.200.3000", "+1.2345678901", "555-01-2345", "a[1000 2000 3000 4000]", "2000:1000",
    "-2147483648  +2147483647", "default_rng(348932549825235)", '__version__ = "3.5.0.131"', "192.168.1.0/24", "2001:2::/48",
    "postgres://user:password@db", "https://user@host.org/x", "http://{user}:{pw}@host.org", "0.0.0.0:80",
    "-2147483648  +2147483647", "default_rng(348932549825235)", '__version__ = "3.5.0.131"', "192.168.1.0/24", "2001:2::/48",
    "postgres://user:password@db", "https://user@host.org/x", "http://{user}:{pw}@host.org",
]  # fmt: skip

ROUTES = {"email": lambda rng: f"{rng.choice(FIRST)}{rng.randrange(100)}@{rng.choice(DOMAINS)}",
          "phone": phone, "ip": ip, "card": card, "iban": iban, "api_key": api_key}  # fmt: skip


def planted(seed, per_kind):
    """Return the text and {(kind, start, stop)} of what was planted in it."""
    rng = random.Random(seed)
    jobs = [kind for kind in [*ROUTES, "assigned_secret"] for _ in range(per_kind)] + ["look-alike"] * per_kind * 3
    rng.shuffle(jobs)
    text, truth = "", set()
    for job in jobs:
        before, behind = rng.choice(SENTENCES).split("{}")
        if job == "look-alike":
            item = rng.choice(LOOK_ALIKES)
        elif job == "assigned_secret":
            before, item, behind = assignment(rng)
        else:
            item = ROUTES[job](rng)
        text += before
        if job != "look-alike":
            truth.add((job, len(text), len(text) + len(item)))
        text += item + behind + "\n"
    return text, truth
