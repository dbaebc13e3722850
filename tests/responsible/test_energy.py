"""Energy from a made-up powercap tree and a made-up NVML; the estimate where there is neither."""

import sys
from types import SimpleNamespace

import pytest

from laimbench.errors import InputError
from laimbench.responsible import energy
from laimbench.responsible.energy import EnergyMeter, Package, estimate, find_packages

RANGE = 65_532_610_987


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)


@pytest.fixture
def tree(tmp_path):
    """Two packages with their parts, the platform, and the MMIO twin of a package."""
    for folder, name, micro in (("intel-rapl:0", "package-0", 1_000_000), ("intel-rapl:1", "package-1", RANGE - 500_000),
                                ("intel-rapl:0:0", "core", 7), ("intel-rapl:0:1", "dram", 7), ("intel-rapl:2", "psys", 7),
                                ("intel-rapl-mmio:0", "package-0", 7)):  # fmt: skip
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "name").write_text(f"{name}\n")
        (tmp_path / folder / "energy_uj").write_text(f"{micro}\n")
        (tmp_path / folder / "max_energy_range_uj").write_text(f"{RANGE}\n")
    return tmp_path


def count(tree, folder, micro):
    """Set a counter at once, as the kernel does: there is no moment in which it is empty."""
    (tree / "next").write_text(f"{micro}\n")
    (tree / "next").replace(tree / folder / "energy_uj")


def test_packages_are_added_up_and_a_counter_may_go_round(tree):
    with EnergyMeter(powercap=tree, grid_g_per_kwh=360.0, grid_source="test") as meter:
        for folder in ("intel-rapl:0:0", "intel-rapl:0:1", "intel-rapl:2", "intel-rapl-mmio:0"):
            count(tree, folder, 9_000_000)
        count(tree, "intel-rapl:0", 4_000_000)  # 3 J
        count(tree, "intel-rapl:1", 1_500_000)  # 2 J, past the end
    use = meter.use
    assert use.measured and use.method.startswith("measured: RAPL, 2 packages")
    assert use.joules == pytest.approx(5.0) and use.kwh == pytest.approx(5.0 / 3.6e6)
    assert use.co2_g == pytest.approx(5.0 / 3.6e6 * 360) and use.gpu_joules is None and use.grid_source == "test"
    assert use.to_dict()["co2_g"] == use.co2_g


def test_a_long_block_is_read_often_enough(tree, monkeypatch):
    import threading

    monkeypatch.setattr(energy, "POLL_S", 0.001)
    seen = threading.Event()
    read = Package.read

    def noticed(package):
        read(package)
        if package._last == 900_000:
            seen.set()

    monkeypatch.setattr(Package, "read", noticed)
    with EnergyMeter(powercap=tree) as meter:
        count(tree, "intel-rapl:0", 900_000)  # below the start: once round
        assert seen.wait(10)
        count(tree, "intel-rapl:0", 1_000_000)  # where it began: without a reading in between, nothing
    assert meter.use.cpu_joules == pytest.approx(RANGE / 1e6)


def test_counters_that_cannot_be_read_leave_an_estimate_that_says_so(tree, tmp_path):
    assert len(find_packages(tree)) == 2
    (tree / "intel-rapl:1" / "energy_uj").unlink()  # one that cannot be read is enough
    assert find_packages(tree) == [] and find_packages(tmp_path / "none") == []
    with EnergyMeter(powercap=tree, watts_per_core=20.0) as meter:
        sum(i * i for i in range(300_000))
    use = meter.use
    assert not use.measured and use.method.startswith("estimate: ") and "20 W per core" in use.method
    assert 0 < use.cpu_joules <= 20.0 * (use.seconds * 64 + 0.1)


def test_a_counter_that_gets_lost_is_not_a_measurement(tree):
    with EnergyMeter(powercap=tree) as meter:
        (tree / "intel-rapl:1" / "energy_uj").unlink()
        count(tree, "intel-rapl:0", 4_000_000_000)
    assert not meter.use.measured and meter.use.method.startswith("estimate") and meter.use.cpu_joules < 4000


def test_gpus_by_nvml(monkeypatch, tree):
    class NVMLError(Exception):
        pass

    millijoules = {0: 10_000, 1: None, 2: 50_000}

    def total(handle):
        if millijoules[handle] is None:
            raise NVMLError
        return millijoules[handle]

    fake = SimpleNamespace(nvmlInit=lambda: None, nvmlDeviceGetCount=lambda: 3, nvmlDeviceGetHandleByIndex=lambda i: i,
                           nvmlDeviceGetTotalEnergyConsumption=total, NVMLError=NVMLError)  # fmt: skip
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    with EnergyMeter(powercap=tree) as meter:
        count(tree, "intel-rapl:0", 2_000_000)
        millijoules.update({0: 14_000, 2: 51_000})
    assert meter.use.gpu_joules == pytest.approx(5.0) and meter.use.joules == pytest.approx(6.0)


def test_a_block_that_fails_is_measured_too(tree):
    meter = EnergyMeter(powercap=tree)
    with pytest.raises(RuntimeError, match="stop"), meter:
        count(tree, "intel-rapl:0", 2_000_000)
        raise RuntimeError("stop")
    assert meter.use.joules == pytest.approx(1.0)


def test_the_estimate_and_wrong_factors():
    use = estimate(7200.0, 3600.0, watts_per_core=10.0, grid_g_per_kwh=500.0)
    assert use.kwh == pytest.approx(0.02) and use.co2_g == pytest.approx(10.0)
    for wrong in ({"watts_per_core": -1.0}, {"grid_g_per_kwh": float("nan")}, {"grid_g_per_kwh": float("inf")}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            EnergyMeter(**wrong)
