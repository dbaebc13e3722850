"""What was written is run beside the model it came from, and judged by the error that the model has itself."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from laimbench.errors import RunError

FACTOR = 2.0  # times the model's own error, plus one rounding of the largest logit


@dataclass(frozen=True)
class Comparison:
    """Of logits in float32. difference: the largest between both sides. error, own_error: the largest of the written model and
    of the model itself against a run of the same weights in float64. largest: logit, by its size.
    """

    difference: float
    error: float
    own_error: float
    largest: float

    @property
    def allowed(self) -> float:
        return FACTOR * self.own_error + torch.finfo(torch.float32).eps * self.largest

    @property
    def equal(self) -> bool:
        return self.error <= self.allowed  # false where the error is not a number

    def joined(self, other: "Comparison") -> "Comparison":
        """Return the worse of each figure."""
        return Comparison(
            max(self.difference, other.difference), max(self.error, other.error),
            max(self.own_error, other.own_error), max(self.largest, other.largest),
        )  # fmt: skip

    def require(self, what: str) -> "Comparison":
        """Return this comparison.

        Raises:
            RunError: the written model does not compute the same.
        """
        if not self.equal:
            raise RunError(
                f"{what}: its logits differ from the checkpoint's by {self.difference:.3g} "
                f"(error {self.error:.3g}, allowed {self.allowed:.3g}); nothing was kept"
            )
        return self


def compare(own: Tensor, written: Tensor, exact: Tensor) -> Comparison:
    """Compare the logits of two sides in float32, given those of a run in float64."""

    def largest(x: Tensor) -> float:
        return x.double().abs().amax().item()

    return Comparison(largest(own - written), largest(written - exact), largest(own - exact), largest(exact))


@torch.no_grad()
def exact_logits(module: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
    """Return what a module in float32 gives in float64; it is left as it was."""
    try:
        return module.double()(*(x.double() if x.is_floating_point() else x for x in inputs))
    finally:
        module.float()
