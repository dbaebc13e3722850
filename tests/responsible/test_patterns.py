"""Precision and recall on a planted corpus, check digits against published numbers, redaction that leaves nothing."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laimbench.responsible.patterns import KINDS, PLACEHOLDERS, find, mask, redact
from laimbench.responsible.personal import passes_luhn, passes_mod_97
from tests.responsible.planted import LOOK_ALIKES, planted

KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAKC/+=\n-----END RSA PRIVATE KEY-----"


@pytest.fixture(scope="module")
def corpus():
    return planted(seed=7, per_kind=150)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "private_key"])
def test_precision_and_recall(corpus, kind):
    text, truth = corpus
    found = {(one.kind, one.start, one.stop) for one in find(text) if one.kind == kind}
    wanted = {one for one in truth if one[0] == kind}
    right = found & wanted
    assert len(right) / len(wanted) >= 0.97, [text[a:b] for _, a, b in wanted - found]
    assert len(right) / len(found) >= 0.97, [text[a:b] for _, a, b in found - wanted]


@pytest.mark.parametrize("text", LOOK_ALIKES)
def test_a_look_alike_is_left_alone(text):
    assert find(f"see {text} here") == []


def test_redaction_leaves_nothing_to_find_and_the_rest_as_it_was(corpus):
    text, truth = corpus
    clean = redact(text)
    assert find(clean) == [] and redact(clean) == clean
    for kind, start, stop in truth:
        if kind in ("api_key", "assigned_secret", "iban"):
            assert text[start:stop] not in clean
    assert clean.count("\n") == text.count("\n")
    assert redact("call a.b@c.org or (212) 555-0187 now") == "call <EMAIL> or <PHONE> now"
    assert redact(f"x\n{KEY}\ny") == "x\n<PRIVATE_KEY>\ny"


@pytest.mark.parametrize(
    "key",
    [
        KEY.replace("\n", r"\n"),
        "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nMIIE\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN OPENSSH PRIVATE KEY-----\n"
        + "b3BlbnNzaC1rZXktdjEAAAAA\n" * 3
        + "b3BlbnNzaC1rZXktdjEA",  # its end is lost
    ],
)
def test_private_keys_in_other_forms_are_found_whole(key):
    text = f"x {key}\nand so on"
    assert redact(text) == "x <PRIVATE_KEY>\nand so on"
    assert mask("private_key", key) == key[: key.index("KEY-----") + 8]


@pytest.mark.parametrize("name", ["SECRET_KEY=Zk3Jd9sQx8Wm2Lp7Vt4R", "export AUTH_TOKEN=Zk3Jd9sQx8Wm2Lp7Vt4R;",
                                  'os.environ["API_TOKEN"] = "q8Zr4Lk1Xv7N"', "İ Password: 'q8Zr4Lk1Xv7N'"])  # fmt: skip
def test_ways_to_assign_a_secret(name):
    (one,) = find(name)
    assert one.kind == "assigned_secret" and name[one.start : one.stop] in ("Zk3Jd9sQx8Wm2Lp7Vt4R", "q8Zr4Lk1Xv7N")


@pytest.mark.parametrize(
    "digits", ["4111111111111111", "378282246310005", "5555555555554444", "6011111111111117", "30569309025904"]
)
def test_published_test_cards(digits):
    assert passes_luhn(digits) and [one.kind for one in find(f"card {digits}.")] == ["card"]
    wrong = digits[:-1] + str((int(digits[-1]) + 1) % 10)
    assert not passes_luhn(wrong) and find(f"card {wrong}.") == []


@pytest.mark.parametrize(
    "iban", ["DE89370400440532013000", "GB82WEST12345698765432", "FR1420041010050500013M02606", "NO9386011117947"]
)
def test_published_ibans(iban):
    assert passes_mod_97(iban)
    grouped = " ".join(iban[i : i + 4] for i in range(0, len(iban), 4))
    for form in (iban, grouped):
        text = f"to {form} AND MORE"
        (one,) = find(text)
        assert (one.kind, text[one.start : one.stop]) == ("iban", form)
    swapped = iban[:-2] + iban[-1] + iban[-2]
    assert passes_mod_97(swapped) == (iban[-1] == iban[-2])


def test_a_mask_shows_one_character_and_of_secrets_none():
    assert mask("email", "jane.doe@mail.org") == "j***.***@****.***"
    assert mask("phone", "(212) 555-0187") == "(***) ***-****"
    assert set(mask("api_key", "ghp_" + "a1" * 18)) == {"*"} and set(mask("assigned_secret", "hunter2hunter2")) == {"*"}
    assert mask("private_key", KEY) == "-----BEGIN RSA PRIVATE KEY-----"


def test_the_password_of_a_url():
    assert redact("postgres://scott:tiger@db.host.org:5432/x") == "postgres://scott:<SECRET>@db.host.org:5432/x"


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from("a@.+-:(1 2349AKIApwd='\"\nİ[]/x")), st.integers(0, 3))
def test_findings_are_in_order_within_the_text_and_never_overlap(text, repeats):
    text = text * repeats + " a@b.org "
    found = find(text)
    assert found and all(0 <= one.start < one.stop <= len(text) for one in found)
    assert all(a.stop <= b.start for a, b in pairwise(found))
    assert all(PLACEHOLDERS[one.kind] in redact(text) for one in found)
