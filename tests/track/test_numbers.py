import math

import pytest

from laimbench.track.numbers import first_difference


def point(**numbers):
    return {"numbers": {name.replace("_", ": ", 1): value for name, value in numbers.items()}}


def test_rounding_is_no_difference():
    a, b = [point(gradient_w=[1.0, 2.0])], [point(gradient_w=[1.0 + 1e-6, 2.0])]
    assert first_difference(a, b) is None
    assert first_difference(a, b, tolerance=1e-8).name == "gradient: w"


def test_the_first_point_that_differs_is_told_and_there_the_largest():
    a = [point(batch_0=[1, 2]), point(gradient_w=[1.0], gradient_b=[1.0]), point(update_w=[1.0])]
    b = [point(batch_0=[1, 2]), point(gradient_w=[1.1], gradient_b=[3.0]), point(update_w=[9.0])]
    found = first_difference(a, b)
    assert (found.name, found.kind) == ("gradient: b", "gradient")
    assert found.relative == pytest.approx(2 / 3)


def test_what_is_tiny_beside_its_kind_is_rounding():
    a, b = [point(gradient_w=[1.0], gradient_kbias=[1e-9])], [point(gradient_w=[1.0], gradient_kbias=[-1e-9])]
    assert first_difference(a, b) is None


@pytest.mark.parametrize("other", [[1.0, 2.0, 3.0], None, [math.nan, 1.0]])
def test_another_shape_a_missing_and_a_broken_number_differ(other):
    a, b = [point(loss_0=[1.0, 2.0])], [point(loss_0=other)]
    assert first_difference(a, b).name == "loss: 0"
    assert first_difference(b, a).name == "loss: 0"
    assert first_difference([{"numbers": {}}], a).name == "loss: 0"
