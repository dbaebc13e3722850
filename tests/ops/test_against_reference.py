"""Every op against float64 on seeded random cases: shapes, dtypes, layouts, masks."""

import pytest

from tests.ops.cases import violations

CASES = {
    "attention": 90,
    "mlp": 60,
    "gated_mlp": 60,
    "linear": 45,
    "layer_norm": 45,
    "rms_norm": 45,
    "linear_cross_entropy": 45,
}


@pytest.mark.parametrize(("op", "seed"), [(op, seed) for op, count in CASES.items() for seed in range(count)])
def test_error_rule(op, seed):
    assert violations(op, seed) == []
