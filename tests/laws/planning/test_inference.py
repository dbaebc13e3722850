"""Models that serve: the published example, limits, intervals."""

import pytest

from laimbench.errors import InputError
from laimbench.laws.planning.allocation import allocate
from laimbench.laws.planning.inference import allocate_for_inference, tokens_for_loss
from laimbench.laws.planning.law import parse_law
from tests.laws.planning.planner import SARDANA, epoch, with_draws


def test_the_published_example():
    """Sardana et al. 2024, figure 1: quality of a 13B model, 2T tokens served: a 7B model saves 1.7e22 FLOPs, 17 %."""
    law = parse_law(SARDANA)
    compute = 6 * 13e9 * 576.4855667e9  # where 13B parameters are optimal
    reference = allocate(law, compute)
    assert reference.params.value == pytest.approx(13e9, rel=1e-6)
    found = allocate_for_inference(law, reference, 2e12)
    assert found.params.value == pytest.approx(7e9, rel=0.01)
    assert found.reference_total - found.total == pytest.approx(1.7e22, rel=0.01)
    assert found.saving.value == pytest.approx(0.17, abs=0.005)
    assert law.predict(found.params.value, found.tokens.value)[0] == pytest.approx(reference.loss.value, rel=1e-12)


def test_nothing_served_is_the_training_optimum_and_more_is_smaller():
    law = with_draws()
    best = allocate(law, 1e22)
    none, some, many = (allocate_for_inference(law, best, served) for served in (0, 1e12, 1e13))
    assert none.params.value == pytest.approx(best.params.value, rel=1e-3)
    assert none.saving.value == pytest.approx(0, abs=1e-9)
    assert best.params.value > some.params.value > many.params.value
    assert some.params.low < some.params.value < some.params.high
    assert some.saving.low < some.saving.value < some.saving.high


def test_tokens_for_a_loss():
    law = epoch()
    tokens = tokens_for_loss(law, [1e8, 1e9, 1e10], 2.3)
    assert law.predict([1e9, 1e10], tokens[1:]) == pytest.approx([2.3, 2.3], rel=1e-12)
    assert tokens[0] == float("inf")  # 1e8 parameters never get there: 1.8172 + 482.01 / 1e8^0.3478 > 2.3


def test_wrong_counts_are_named():
    with pytest.raises(InputError, match="tokens served"):
        allocate_for_inference(epoch(), allocate(epoch(), 1e20), -1.0)
