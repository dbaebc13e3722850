"""Energy and CO2 of a block of work: measured where counters can be read, estimated and called an estimate where not.

Processor: RAPL counters of the packages (Linux powercap; Intel, and AMD since Zen). NVIDIA GPUs: NVML's energy counter
(Volta and later), where the package pynvml is there. Both count the whole device, other users of it included. Without RAPL:
processor seconds of this process times watts per core.
"""

import os
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from laimbench.errors import InputError

# Of an unknown processor, per busy core: the default of Green Algorithms (Lannelongue, Grealey & Inouye 2021, "Green
# Algorithms: Quantifying the Carbon Footprint of Computation"; its table TDP_cpu.csv, row "Any").
WATTS_PER_CORE = 12.0
# World average of electricity generation in 2024 (Ember, Global Electricity Review 2025). Grids range from under 50 to over 700.
GRID_G_PER_KWH = 473.0
GRID_SOURCE = "world average 2024, Ember"
POWERCAP = Path("/sys/class/powercap")
POLL_S = 20.0  # a package of 500 W goes round its counter of 65 kJ in 130 s
JOULES_PER_KWH = 3.6e6


@dataclass(frozen=True)
class EnergyUse:
    """What a block took. ``method`` says how the processor's joules are known; ``gpu_joules`` is None where no GPU was measured."""

    seconds: float
    cpu_joules: float
    gpu_joules: float | None
    measured: bool
    method: str
    grid_g_per_kwh: float
    grid_source: str

    @property
    def joules(self) -> float:
        return self.cpu_joules + (self.gpu_joules or 0.0)

    @property
    def kwh(self) -> float:
        return self.joules / JOULES_PER_KWH

    @property
    def co2_g(self) -> float:
        """Grams of CO2 (equivalents, as the grid's factor counts them) of the electricity alone."""
        return self.kwh * self.grid_g_per_kwh

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers, fit for JSON."""
        return asdict(self) | {"joules": self.joules, "kwh": self.kwh, "co2_g": self.co2_g}


def estimate(
    core_seconds: float, seconds: float, *, watts_per_core: float = WATTS_PER_CORE,
    grid_g_per_kwh: float = GRID_G_PER_KWH, grid_source: str = GRID_SOURCE,
) -> EnergyUse:  # fmt: skip
    """Return the estimate for this many seconds of busy cores within ``seconds`` of wall time.

    Raises:
        InputError: a number that is negative or not finite.
    """
    for name, value in (("core_seconds", core_seconds), ("watts_per_core", watts_per_core),
                        ("grid_g_per_kwh", grid_g_per_kwh)):  # fmt: skip
        if not 0 <= value < float("inf"):
            raise InputError(f"{name} is {value}, expected a finite number of 0 or more")
    method = f"estimate: {core_seconds:.4g} core seconds at {watts_per_core:g} W per core"
    return EnergyUse(seconds, core_seconds * watts_per_core, None, False, method, grid_g_per_kwh, grid_source)


class EnergyMeter:
    """Context manager that measures its block; ``use`` is there when the block has ended.

    Args:
        watts_per_core: for the estimate, where RAPL cannot be read (it often takes root).
        grid_g_per_kwh: grams of CO2 per kWh of the grid in use, and
        grid_source: where that number is from.
        powercap: folder of the powercap tree.

    Raises:
        InputError: a negative factor.
    """

    def __init__(
        self, *, watts_per_core: float = WATTS_PER_CORE, grid_g_per_kwh: float = GRID_G_PER_KWH,
        grid_source: str = GRID_SOURCE, powercap: Path = POWERCAP,
    ):  # fmt: skip
        self._factors = {"watts_per_core": watts_per_core, "grid_g_per_kwh": grid_g_per_kwh, "grid_source": grid_source}
        estimate(0.0, 0.0, **self._factors)  # wrong factors are told before the work, not after it
        self._powercap = powercap
        self.use: EnergyUse | None = None

    def __enter__(self) -> "EnergyMeter":
        self._packages = find_packages(self._powercap)
        self._gpus = _open_gpus()
        self._gpu_start = [_gpu_joules(gpu) for gpu in self._gpus]
        self._wall, self._cpu = time.perf_counter(), _core_seconds()
        self._ended = threading.Event()
        self._poller = threading.Thread(target=self._poll, daemon=True) if self._packages else None
        if self._poller:
            self._poller.start()
        return self

    def _poll(self) -> None:
        """Read often enough that no counter goes round twice between readings."""
        while not self._ended.wait(POLL_S):
            for package in self._packages:
                package.read()

    def __exit__(self, *_: object) -> None:
        seconds, core_seconds = time.perf_counter() - self._wall, _core_seconds() - self._cpu
        if self._poller:
            self._ended.set()
            self._poller.join()
        gpu_joules = sum(_gpu_joules(gpu) - start for gpu, start in zip(self._gpus, self._gpu_start, strict=True))
        for package in self._packages:
            package.read()
        fallback = estimate(core_seconds, seconds, **self._factors)
        measured = bool(self._packages) and not any(package.lost for package in self._packages)
        self.use = EnergyUse(
            seconds,
            sum(package.joules for package in self._packages) if measured else fallback.cpu_joules,
            gpu_joules if self._gpus else None,
            measured,
            f"measured: RAPL, {len(self._packages)} packages, whole processor" if measured else fallback.method,
            fallback.grid_g_per_kwh,
            fallback.grid_source,
        )


class Package:
    """A RAPL package domain: the joules since it was opened, over any number of turns of its counter.

    Raises:
        OSError, ValueError: the counter cannot be read.
    """

    def __init__(self, folder: Path):
        self._counter = folder / "energy_uj"
        self._range = int((folder / "max_energy_range_uj").read_text())
        self._last = int(self._counter.read_text())
        self._total, self.lost = 0, False

    def read(self) -> None:
        """Add what was used since the last reading; a counter that is below that has gone round once."""
        try:
            now = int(self._counter.read_text())
        except (OSError, ValueError):
            self.lost = True
            return
        self._total += now - self._last if now >= self._last else now - self._last + self._range
        self._last = now

    @property
    def joules(self) -> float:
        return self._total / 1e6


def find_packages(powercap: Path = POWERCAP) -> list[Package]:
    """Return the packages, domains named package-N, once each; none where this process may not read all of them.

    Cores, graphics and memory are parts of or beside a package, psys is the whole platform; the MMIO interface counts the same
    packages again.
    """
    packages = {}
    for folder in sorted(powercap.glob("intel-rapl:*")):
        try:
            name = (folder / "name").read_text().strip()
            if name.startswith("package-") and name not in packages:
                packages[name] = Package(folder)
        except (OSError, ValueError):
            return []  # a part of the processor passed for all of it would be worse than an estimate
    return list(packages.values())


def _core_seconds() -> float:
    """Processor seconds of this process and of its children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _open_gpus() -> list[Any]:
    """Return NVML's handles of the GPUs that count their energy, none where there is no NVML."""
    try:
        import pynvml

        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
    except Exception:  # no package, no driver: NVML has an error class for each
        return []
    gpus = []
    for handle in handles:
        try:
            pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        except pynvml.NVMLError:
            continue
        gpus.append(handle)
    return gpus


def _gpu_joules(handle: Any) -> float:
    import pynvml

    return pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3
