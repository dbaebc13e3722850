"""Numbers with units: every form the docs name, none of what looks like one, and exactness."""

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laimbench.errors import InputError
from laimbench.laws import units


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [(units.parse_count, "1.3B", 1.3e9), (units.parse_count, "350M", 350e6), (units.parse_count, "2e9", 2e9),
     (units.parse_count, "1.4T", 1.4e12), (units.parse_count, "10k", 1e4), (units.parse_count, "1_000_000", 1e6),
     (units.parse_count, "1,000,000", 1e6), (units.parse_count, "300 billion tokens", 3e11), (units.parse_count, "70m", 7e7),
     (units.parse_flops, "5.76e23", 5.76e23), (units.parse_flops, "3 PF-days", 3 * 8.64e19),
     (units.parse_flops, "3 petaflop/s-days", 3 * 8.64e19), (units.parse_flops, "2 EF-hours", 7.2e21),
     (units.parse_flops, "1 EFLOP", 1e18), (units.parse_flops, "2 ZFLOPs", 2e21), (units.parse_flops, "1e21 FLOP", 1e21),
     (units.parse_flops_per_second, "312 TFLOP/s", 312e12), (units.parse_flops_per_second, "989 TFLOPS", 989e12),
     (units.parse_seconds, "90s", 90), (units.parse_seconds, "30m", 1800), (units.parse_seconds, "5h", 18000),
     (units.parse_seconds, "2d", 172800), (units.parse_seconds, "1h30m", 5400), (units.parse_seconds, "90", 90),
     (units.parse_money, "$2000", 2000), (units.parse_money, "$2.5k", 2500), (units.parse_money, "1,500 USD", 1500)],
)  # fmt: skip
def test_what_people_write(parse, text, value):
    assert parse(text) == pytest.approx(value, rel=1e-15)
    assert parse(f"  {text} ") == parse(text)


@pytest.mark.parametrize(
    ("parse", "text"),
    [(units.parse_count, text) for text in ("", "B", "1,5", "1.000.000", "0", "-3", "nan", "inf", "1e999", "1.3X", "1B5",
                                            "0x10", "1__0", "1 2", "9" * 200, "1" + " " * 90 + "x")]
    + [(units.parse_flops, text) for text in ("312 TFLOP/s", "3 days", "3 PF-", "PF-days", "3 PF-months", "-1 PF-days")]
    + [(units.parse_flops_per_second, "3 PF-days"), (units.parse_seconds, "5x"), (units.parse_seconds, "1h30"),
       (units.parse_seconds, ""), (units.parse_seconds, "0s"), (units.parse_money, "€5"), (units.parse_money, "$")],
)  # fmt: skip
def test_what_is_none_is_said(parse, text):
    with pytest.raises(InputError, match="expected") as caught:
        parse(text)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200


@given(st.floats(1e-3, 1e3), st.sampled_from([("k", 3), ("M", 6), ("B", 9), ("T", 12), ("P", 15), ("E", 18), ("", 0)]))
def test_a_prefix_only_moves_the_exponent(mantissa, prefix):
    letter, power = prefix
    assert units.parse_count(f"{mantissa!r}{letter}") == float(Decimal(repr(mantissa)).scaleb(power))


@given(st.integers(1, 10**15))
def test_grouped_digits_are_the_number(value):
    assert units.parse_count(f"{value:,}") == units.parse_count(f"{value:_}") == float(value)


@given(st.floats(1, 9.99e14))
def test_formatted_counts_read_back_to_four_digits(value):
    assert units.parse_count(units.format_count(value)) == pytest.approx(value, rel=6e-4)


@given(st.text(max_size=120))
def test_any_text_is_a_number_or_one_clear_line(text):
    for parse in (
        units.parse_count,
        units.parse_flops,
        units.parse_flops_per_second,
        units.parse_seconds,
        units.parse_money,
    ):
        try:
            assert 0 < parse(text) < math.inf
        except InputError as error:
            assert "\n" not in str(error)
