"""What the machine reaches in a run, and how much of it a row uses: arithmetic, memory, or the cost of calling an op at all."""

from dataclasses import dataclass
from typing import Any

import torch

from laimbench import ops
from laimbench.bench.kernels import GPU_DTYPES
from laimbench.bench.timing import clock_of, interleave

PEAK_SIZE = {"cpu": 1536, "cuda": 8192}
COPIED_FLOATS = {"cpu": 1 << 26, "cuda": 1 << 28}  # 256 MiB and 1 GiB: beyond caches
MOSTLY = 50.0  # per cent of a limit, from which on it is said to bound a row


@dataclass(frozen=True)
class Limits:
    """gflops: of a large matrix product, by dtype. gbytes_per_s: of a large copy, each byte read and written. call_s: of an op on one
    row of eight numbers, forward and with the backward.
    """

    gflops: dict[str, float]
    gbytes_per_s: float
    call_s: dict[str, float]

    @classmethod
    def measured(cls, dtypes: tuple[str, ...], device: str = "cpu") -> "Limits":
        """Return what the device reaches now, with torch's present number of threads."""
        with torch.device(device):
            return cls(
                {dtype: peak_gflops(GPU_DTYPES[dtype], device) for dtype in dtypes},
                _copied_gbytes_per_s(device),
                _call_s(device),
            )

    def or_better(self, other: "Limits") -> "Limits":
        """Return the better of each."""
        return Limits(
            {dtype: max(found, other.gflops[dtype]) for dtype, found in self.gflops.items()},
            max(self.gbytes_per_s, other.gbytes_per_s),
            {direction: min(found, other.call_s[direction]) for direction, found in self.call_s.items()},
        )

    def shares(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return how many per cent of each limit laim's median uses, and ``bound``, the first of which it uses half: "compute", "call",
        "memory"; "caches" where it moves more than memory gives, "other" (exp, reductions, packing) where it uses half of none.

        Of whole steps only arithmetic is known.
        """
        seconds = row["seconds"]["laim"][0]
        found = {"percent_of_peak": 100 * row["gflop"] / seconds / self.gflops[row["dtype"]]}
        if "gbytes" in row:
            found["percent_of_bandwidth"] = 100 * row["gbytes"] / seconds / self.gbytes_per_s
            found["percent_of_call"] = 100 * self.call_s[row["direction"]] / seconds
        moved = "caches" if found.get("percent_of_bandwidth", 0.0) > 100 else "memory"
        names = {"compute": "percent_of_peak", "call": "percent_of_call", moved: "percent_of_bandwidth"}
        bound = next((name for name, share in names.items() if found.get(share, 0.0) >= MOSTLY), "other")
        return {**found, "bound": bound}


def peak_gflops(dtype: torch.dtype, device: str = "cpu") -> float:
    """Return the GFLOP/s that a large matrix product reaches now."""
    size = PEAK_SIZE[device]
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    seconds = interleave({"matmul": lambda: a @ b}, budget_s=0.5, clock=clock_of(device))["matmul"]
    return 2e-9 * size**3 / min(seconds)


def _copied_gbytes_per_s(device: str) -> float:
    source = torch.ones(COPIED_FLOATS[device])
    target = torch.empty_like(source)
    seconds = interleave({"copy": lambda: target.copy_(source)}, budget_s=0.3, clock=clock_of(device))["copy"]
    return 2e-9 * source.numel() * source.element_size() / min(seconds)


def _call_s(device: str) -> dict[str, float]:
    x, weight = torch.ones(1, 8, requires_grad=True), torch.ones(8, requires_grad=True)
    given = torch.ones(1, 8)

    @torch.no_grad()
    def forward() -> None:
        ops.rms_norm(x, weight)

    def both() -> None:
        torch.autograd.backward(ops.rms_norm(x, weight), given)
        x.grad = weight.grad = None

    seconds = interleave({"forward": forward, "forward+backward": both}, budget_s=0.2, clock=clock_of(device))
    return {direction: min(found) for direction, found in seconds.items()}
