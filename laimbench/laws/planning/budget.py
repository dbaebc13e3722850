"""A budget as it is given, accelerator-hours, money or wall clock, in FLOPs.

FLOPs = accelerators x seconds x peak FLOP/s x utilisation. Utilisation is the model FLOPs utilisation (MFU) of Chowdhery et
al. 2022 (PaLM, arXiv:2204.02311, appendix B): the model's own FLOPs per second over the peak, recomputation not counted.
"""

import math
from dataclasses import dataclass
from typing import Any

from laimbench.errors import InputError

SECONDS_PER_HOUR = 3600.0
GIB = 2**30
UTILISATION = (
    0.4  # where none is given: PaLM 540B reached 0.46 (arXiv:2204.02311), Llama 3 405B 0.38-0.43 (arXiv:2407.21783)
)


@dataclass(frozen=True)
class Accelerator:
    """peak_flops: dense bf16 FLOP/s without structured sparsity, by the vendor; memory: nominal bytes, None where unknown."""

    name: str
    peak_flops: float
    memory: float | None


ACCELERATORS = {
    accelerator.name.lower(): accelerator
    for accelerator in (
        Accelerator("A100", 312e12, 80 * GIB),  # NVIDIA A100 datasheet, SXM4 80 GB: 312 TFLOPS, 624 with sparsity
        Accelerator(
            "H100", 989.4e12, 80 * GIB
        ),  # NVIDIA H100 architecture whitepaper, SXM5: 989.4, 1,978.9 with sparsity
        Accelerator("H200", 989.4e12, 141 * GIB),  # NVIDIA H200 datasheet, SXM: H100's chip with 141 GB
        Accelerator(
            "B200", 2250e12, 180 * GIB
        ),  # NVIDIA HGX B200 datasheet: 36 PFLOPS with sparsity and 1.44 TB for eight
        Accelerator("L40S", 362.05e12, 48 * GIB),  # NVIDIA L40S datasheet: 362.05 TFLOPS, 733 with sparsity
        Accelerator(
            "MI300X", 1307.4e12, 192 * GIB
        ),  # AMD Instinct MI300X datasheet: 1,307.4 TFLOPS, 2,614.9 with sparsity
    )
}


@dataclass(frozen=True)
class Budget:
    """flops: what may be spent; steps: how it came about, one line each, for people."""

    flops: float
    steps: tuple[str, ...]
    accelerator: Accelerator | None = None
    devices: int = 1
    utilisation: float | None = None

    def hours(self, flops: float) -> float | None:
        """Return the hours of wall clock that the devices need for this many FLOPs; None where the devices are unknown."""
        if self.accelerator is None or self.utilisation is None:
            return None
        return flops / (self.accelerator.peak_flops * self.utilisation * self.devices) / SECONDS_PER_HOUR

    def to_dict(self) -> dict[str, Any]:
        return {"flops": self.flops, "steps": list(self.steps), "devices": self.devices, "utilisation": self.utilisation,
                "accelerator": None if self.accelerator is None else vars(self.accelerator)}  # fmt: skip


def accelerator(name: str, peak_flops: float | None = None, memory: float | None = None) -> Accelerator:
    """Return an accelerator of the table, or one of its own peak (FLOP/s) and memory (bytes): a measured "cpu", say.

    Raises:
        InputError: not in the table and without a peak; a peak or memory that is not positive.
    """
    for what, value in (("peak", peak_flops), ("memory", memory)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise InputError(f"the {what} of {name} is {value}, expected a positive finite number")
    known = ACCELERATORS.get(name.lower())
    if known is None and peak_flops is None:
        names = ", ".join(a.name for a in ACCELERATORS.values())
        raise InputError(
            f"the accelerator is {name!r}, expected one of {names}; any other (cpu) needs its measured peak FLOP/s"
        )
    if known is None:
        return Accelerator(name, peak_flops, memory)
    return Accelerator(known.name, peak_flops or known.peak_flops, memory or known.memory)


def of_flops(flops: float) -> Budget:
    """Return a budget of FLOPs."""
    return Budget(_positive("FLOPs", flops), (f"{flops:.4g} FLOPs",))


def of_accelerator_hours(
    hours: float, device: Accelerator, utilisation: float = UTILISATION, devices: int = 1
) -> Budget:
    """Return the FLOPs of accelerator-hours, those of all devices together."""
    if not 0 < utilisation <= 1:
        raise InputError(f"the utilisation is {utilisation}, expected a share above 0, at most 1")
    if devices < 1:
        raise InputError(f"there are {devices} devices, expected 1 or more")
    flops = _positive("accelerator-hours", hours) * SECONDS_PER_HOUR * device.peak_flops * utilisation
    step = f"{hours:g} {device.name}-hours x 3600 s x {device.peak_flops:.4g} FLOP/s x utilisation {utilisation:g}"
    return Budget(flops, (f"{step} = {flops:.4g} FLOPs",), device, devices, utilisation)


def of_wall_clock(seconds: float, device: Accelerator, utilisation: float = UTILISATION, devices: int = 1) -> Budget:
    """Return the FLOPs of so many devices in so many seconds."""
    hours = _positive("seconds", seconds) / SECONDS_PER_HOUR * devices
    budget = of_accelerator_hours(hours, device, utilisation, devices)
    step = f"{seconds / SECONDS_PER_HOUR:g} h x {devices} devices = {hours:g} {device.name}-hours"
    return Budget(budget.flops, (step, *budget.steps), device, devices, utilisation)


def of_money(
    money: float, price: float, device: Accelerator, utilisation: float = UTILISATION, devices: int = 1
) -> Budget:
    """Return the FLOPs that money buys at a price per accelerator-hour, both in one currency."""
    hours = _positive("money", money) / _positive("price per accelerator-hour", price)
    budget = of_accelerator_hours(hours, device, utilisation, devices)
    step = f"{money:g} / {price:g} per hour = {hours:g} {device.name}-hours"
    return Budget(budget.flops, (step, *budget.steps), device, devices, utilisation)


def _positive(what: str, value: float) -> float:
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"{what}: {value}, expected a positive finite number")
    return value
