"""Find the first number in which two sides' trainings differ by more than rounding: what changed is told by where it shows first."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

# Single precision rounds at 6e-8; sums of thousands of terms in another order differ by some 1e-6. A result rounded to bf16 on its way
# differs by 2e-3, TF32 by 5e-4.
TOLERANCE = 1e-4
# A vector this much smaller than the largest of its kind may be rounding alone (the gradient of an attention's key bias is zero).
NEGLIGIBLE = 1e-4


@dataclass(frozen=True)
class Difference:
    """kind: what comes before ": " in the name, such as "gradient". relative: norm of the difference over the larger norm."""

    name: str
    kind: str
    relative: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def kind_of(name: str) -> str:
    return name.partition(": ")[0]


def first_difference(a: list[dict], b: list[dict], tolerance: float = TOLERANCE) -> Difference | None:
    """Compare the "numbers" of two sequences of points, in the order in which they were sent; of one point's kind the largest is told."""
    for point_a, point_b in zip(a, b, strict=False):
        of_a, of_b = point_a.get("numbers", {}), point_b.get("numbers", {})
        kinds = list(dict.fromkeys(kind_of(name) for name in (*of_a, *of_b)))
        for kind in kinds:
            names = [name for name in dict.fromkeys((*of_a, *of_b)) if kind_of(name) == kind]
            found = _largest(kind, names, of_a, of_b)
            if found is not None and found.relative > tolerance:
                return found
    return None


def _largest(kind: str, names: list[str], of_a: dict, of_b: dict) -> Difference | None:
    vectors = {name: (_vector(of_a.get(name)), _vector(of_b.get(name))) for name in names}
    largest = max(
        (np.linalg.norm(v) for pair in vectors.values() for v in pair if v is not None and v.size), default=0.0
    )
    found = None
    for name, (x, y) in vectors.items():
        if x is None or y is None or x.shape != y.shape or not np.array_equal(np.isfinite(x), np.isfinite(y)):
            return Difference(name, kind, float("inf"))
        scale = max(np.linalg.norm(x), np.linalg.norm(y), NEGLIGIBLE * largest)
        relative = float(np.linalg.norm(x - y) / scale) if scale > 0 else 0.0
        if found is None or relative > found.relative:
            found = Difference(name, kind, relative)
    return found


def _vector(value: Any) -> np.ndarray | None:
    return None if value is None else np.atleast_1d(np.asarray(value, dtype=float))
