"""A run's device, as far as it can be tested without a GPU: what is asked of CUDA and when, and what is said where there is none.

Nothing here says that a GPU computes anything: ``torch.cuda`` is replaced, or the device is the CPU with notes of what it was asked.
"""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from laimbench import provenance
from laimbench.errors import InputError, RunError
from laimbench.ladder import sweep
from laimbench.ladder.config import load_ladder, make_ladder
from laimbench.ladder.plan import plan_ladder, run_key
from laimbench.store import Store
from laimbench.train import Keeper, RunConfig, Trainer, load_checkpoint, save_checkpoint
from laimbench.train.device import DETERMINISTIC, GPU, Device, device_of, memories, visible_gpus
from laimbench.train.parallel import Process, Replicas, Shards, connected
from laimbench.train.state import capture, restore
from laimbench.train.tasks import TASKS, Task

SMALL = RunConfig(width=16, depth=1, data="synthetic:markov", seqlen=16, batch_size=4, tokens=256, evals=1, eval_tokens=64,
                  backend="torch")  # fmt: skip
MISSING = r"^device is 'cuda', but torch sees no CUDA device here \(torch .*\); .*, or use device cpu$"


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)


@pytest.fixture
def cuda(monkeypatch):
    """Two GPUs, of which only what is asked of them exists."""
    asked = []

    def noting(name, result=None):
        monkeypatch.setattr(f"torch.cuda.{name}", lambda *arguments: (asked.append((name, *arguments)), result)[1])

    noting("is_available", True)
    noting("device_count", 2)
    noting("set_device")
    noting("synchronize")
    noting("get_rng_state", torch.tensor([7], dtype=torch.uint8))
    noting("set_rng_state")
    noting("get_device_properties", type("Properties", (), {"total_memory": 80 << 30}))
    monkeypatch.delenv(DETERMINISTIC, raising=False)
    return asked


class Noting(Device):
    """The CPU, which notes what it was asked, and has a generator more."""

    def __init__(self):
        self.asked, self.drawn = [], 0

    def place(self, model):
        self.asked.append("place")
        return model

    def move(self, batch):
        self.asked.append("move")
        return batch

    def synchronize(self):
        self.asked.append("synchronize")

    def random_state(self):
        return {**super().random_state(), "cuda": torch.tensor([self.drawn], dtype=torch.uint8)}

    def set_random_state(self, states):
        super().set_random_state(states)
        self.drawn = int(states["cuda"])


@pytest.fixture
def noting(monkeypatch):
    device = Noting()
    monkeypatch.setattr("laimbench.train.trainer.device_of", lambda name, local_rank: device)
    return device


def test_the_cpu_by_its_name_is_the_run_that_it_was():
    assert RunConfig(device="cpu") == RunConfig() and RunConfig(device="cuda") != RunConfig()
    before = "771e5f2f046dd3d4cda21f492ccea548793f7c10737e90f1b01145d71a7890b5"  # from before there was a choice
    assert run_key(RunConfig(data="synthetic:markov", device="cpu")) == before
    assert run_key(RunConfig(data="synthetic:markov", device="cuda")) != before


@pytest.mark.parametrize("device", ["gpu", "cuda:1", "CPU"])
def test_another_device_is_refused(device):
    with pytest.raises(InputError, match=f"device is '{device}', expected one of cpu, cuda"):
        RunConfig(device=device)


def test_a_gpu_that_is_not_there_is_one_line_before_anything_is_stored(no_gpu, tmp_path):
    with pytest.raises(InputError, match=MISSING):
        Trainer(replace(SMALL, device="cuda"))
    ladder = make_ladder({"name": "r", "family": "mlp", "device": "cuda", "tokens": [320], "sizes": [{"width": 8}]})
    with Store(tmp_path / "runs.sqlite") as store:
        with pytest.raises(InputError, match=MISSING):
            sweep(ladder, store)
        assert store.runs() == [] and not store.states.exists()
    assert [plan.seconds for plan in plan_ladder(ladder, measure=False)] == [None, None]  # planned it can be anywhere
    with pytest.raises(InputError, match=MISSING):
        list(plan_ladder(ladder, measure=True))


def test_a_ladder_has_one_device_which_may_be_another_than_its_files(tmp_path):
    path = tmp_path / "ladder.toml"
    path.write_text('name = "r"\nfamily = "mlp"\ntokens = [320]\ndevice = "cuda"\n[[sizes]]\nwidth = 8\n')
    assert load_ladder(path).device == "cuda" and {run.device for run in load_ladder(path).runs} == {"cuda"}
    assert load_ladder(path, "cpu").device == ""
    with pytest.raises(InputError, match=r"ladder\.toml: sizes\[0\]\.device is 'tpu'"):
        load_ladder(path, "tpu")
    path.write_text(path.read_text() + '[train]\ndevice = "cpu"\n')
    with pytest.raises(InputError, match=r"unknown key 'train\.device'"):
        load_ladder(path)


def test_clocks_are_read_when_the_device_is_done(noting, monkeypatch):
    trainer = Trainer(SMALL)
    assert noting.asked[0] == "place" and noting.asked.count("place") == 1
    update = trainer._update
    monkeypatch.setattr(trainer, "_update", lambda batch: (noting.asked.append("update"), update(batch))[1])
    monkeypatch.setattr("time.perf_counter", lambda: noting.asked.append("clock") or 0.0)
    noting.asked.clear()
    trainer.train_step()
    assert noting.asked == ["move", "synchronize", "clock", "update", "synchronize", "clock"]
    noting.asked.clear()
    trainer.validation_loss()
    assert noting.asked == ["move"] * len(trainer._validation)


def test_generators_of_the_device_go_on_and_the_warm_up_leaves_them(noting, monkeypatch, tmp_path):
    def drawing(trainer):
        update = trainer._update

        def drawing_too(batch):
            noting.drawn += 1
            return update(batch)

        return drawing_too

    class Drawing(Trainer):
        def _warm_up(self):
            self._update = drawing(self)
            super()._warm_up()

    trainer = Drawing(SMALL)
    assert noting.drawn == 0
    for _ in range(3):
        trainer.train_step()
    Keeper(tmp_path, trainer).save()
    trainer.train_step()
    assert noting.drawn == 4
    again = Drawing(SMALL)
    assert Keeper(tmp_path, again).resume() == [] and (again.step, noting.drawn) == (3, 3)


def test_bf16_is_autocast_of_the_device(noting, monkeypatch):
    trainer, kinds = Trainer(replace(SMALL, dtype="bf16")), []
    autocast = torch.autocast
    monkeypatch.setattr("torch.autocast", lambda kind, **how: (kinds.append(kind), autocast("cpu", **how))[1])
    trainer.train_step()
    monkeypatch.setattr(noting, "kind", "cuda", raising=False)
    trainer.train_step()
    assert kinds == ["cpu", "cuda"]


IDS, LENGTHS, LABELS = torch.zeros(2, 8, dtype=torch.int64), torch.tensor([8, 5]), torch.tensor([0, 1])
TEXT, CLASSES = {"vocab_size": 9, "max_target": 8, "classes": ["a", "b"]}, {"classes": ["a", "b"]}
LLAMA = {"norm": "rms", "mlp": "swiglu", "positions": "rotary", "heads": 2, "kv_heads": 1}


@pytest.mark.parametrize(
    ("family", "values", "facts", "batch"),
    [("gpt", {}, TEXT, (IDS, IDS)), ("gpt", LLAMA, TEXT, (IDS, IDS)), ("bert", {}, TEXT, (IDS, LENGTHS, LABELS)),
     ("bert", {}, {**TEXT, "classes": []}, (IDS, IDS[:, :2], IDS[:, :2])), ("transformer", {}, TEXT, (IDS, LENGTHS, IDS, IDS)),
     ("vit", {}, {**CLASSES, "image_size": 8, "colours": 1}, (torch.zeros(2, 1, 8, 8), LABELS)),
     ("mlp", {}, {**CLASSES, "image_size": 8, "colours": 1}, (torch.zeros(2, 64), LABELS)),
     ("audio", {}, {**CLASSES, "ctc": False, "bands": 4}, (torch.zeros(2, 8, 4), LENGTHS, LABELS))],
    ids=["gpt", "llama", "bert that classifies", "bert", "transformer", "vit", "mlp", "audio"],
)  # fmt: skip
def test_models_make_what_they_need_where_their_input_is(family, values, facts, batch):
    """On "meta", the other device that is everywhere: sums of tensors on two devices are refused there as on a GPU."""
    config = RunConfig.from_dict({"family": family, "width": 16, "depth": 2, "seqlen": 8, "backend": "torch", **values})
    task = Task()
    task.model = TASKS[family].build(config, facts).to("meta")
    there = task.beside_model(batch)
    assert {tensor.device.type for tensor in there} == {"meta"}
    loss = task.model(*there)
    loss.backward()
    assert loss.device.type == "meta"


def test_an_op_without_a_kernel_for_the_device_is_the_runs_failure(noting, monkeypatch):
    def refuse(*_, **__):
        raise ValueError("q is on cuda:0, expected cpu")

    monkeypatch.setattr("laimbench.ops.attention", refuse)
    with pytest.raises(RunError, match=r"^backend 'laim' on device 'cuda': q is on cuda:0, expected cpu$"):
        Trainer(replace(SMALL, backend="laim", device="cuda"))
    with pytest.raises(ValueError, match=r"^q is on cuda:0"):  # of the CPU's it is an error of this program
        Trainer(replace(SMALL, backend="laim"))


def test_what_is_asked_of_a_gpu(cuda):
    device, second = device_of("cuda", local_rank=1), torch.device("cuda", 1)
    assert isinstance(device, GPU) and (device.kind, device.communication) == ("cuda", "cpu:gloo,cuda:nccl")
    assert ("set_device", 1) in cuda and not torch.are_deterministic_algorithms_enabled()
    cuda.clear()
    device.synchronize()
    state = device.random_state()
    device.set_random_state(state)
    assert [name for name, *_ in cuda] == ["synchronize", "get_rng_state", "set_rng_state"]
    assert all(second in arguments for _, *arguments in cuda) and state.keys() == {"torch", "cuda"}
    assert memories("cuda") == [80 << 30] * 2
    with pytest.raises(InputError, match="torch sees 2 GPUs here, expected one for each of the 3 or more processes"):
        device_of("cuda", local_rank=2)


def test_a_gpu_may_be_asked_for_the_same_bits_each_time(cuda, monkeypatch):
    monkeypatch.setenv(DETERMINISTIC, "1")
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    try:
        surroundings = GPU(0).surroundings()
        assert torch.are_deterministic_algorithms_enabled() and surroundings["deterministic"] == "True"
    finally:
        torch.use_deterministic_algorithms(False)
        torch.utils.deterministic.fill_uninitialized_memory = True


def test_lack_of_a_gpus_memory_is_the_runs_failure(monkeypatch):
    trainer = Trainer(SMALL)
    trainer.advance()
    for error in (torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("CUDA error: out of memory")):

        def too_much(*_, error=error):
            raise error

        monkeypatch.setattr(trainer, "_loss_of", too_much)
        with pytest.raises(RunError, match=r"out of memory at step 0"):
            trainer.advance()


def test_a_model_of_a_gpu_is_used_on_the_cpu(tmp_path):
    save_checkpoint(tmp_path / "model", Trainer(SMALL), {})
    path = tmp_path / "model" / "laimbench.json"
    description = json.loads(path.read_text())
    path.write_text(json.dumps({**description, "config": {**description["config"], "device": "cuda"}}))
    checkpoint = load_checkpoint(tmp_path / "model")
    assert checkpoint.config.device == "cuda"
    assert {parameter.device.type for parameter in checkpoint.model.parameters()} == {"cpu"}


def test_a_state_from_before_there_was_a_choice_goes_on():
    tensors, description = capture(Trainer(SMALL))
    del description["config"]["device"]
    restore(Trainer(SMALL), tensors, description)
    with pytest.raises(InputError, match="another configuration"):
        restore(Trainer(SMALL), tensors, {**description, "config": {**description["config"], "device": "cuda"}})


@pytest.fixture
def torchrun(monkeypatch):
    for name, value in {
        "WORLD_SIZE": "2",
        "RANK": "1",
        "MASTER_ADDR": "x",
        "MASTER_PORT": "1",
        "LOCAL_RANK": "1",
    }.items():
        monkeypatch.setenv(name, value)
    begun = []
    monkeypatch.setattr("torch.distributed.init_process_group", lambda backend, timeout: begun.append(backend))
    monkeypatch.setattr("torch.distributed.destroy_process_group", lambda: None)
    monkeypatch.setattr("torch.distributed.get_rank", lambda: 1)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 2)
    monkeypatch.setattr("signal.signal", lambda number, handler: None)
    return begun


def test_processes_of_a_run_have_a_gpu_each(torchrun, cuda, monkeypatch):
    with connected("ddp", "cuda") as processes:
        assert isinstance(processes, Replicas) and processes.local_rank == 1
    assert torchrun == ["cpu:gloo,cuda:nccl"] and ("set_device", 1) in cuda
    cuda.clear()
    with connected("ddp") as processes:
        assert processes.local_rank == 1
    assert torchrun[1:] == ["gloo"] and cuda == []
    monkeypatch.delenv("LOCAL_RANK")
    with pytest.raises(InputError, match="WORLD_SIZE is 2, but LOCAL_RANK is not set"), connected("ddp", "cuda"):
        pass


@pytest.mark.parametrize(("device", "kind"), [(Device(), "cpu"), ("cuda", "cuda")])
def test_fsdp_divides_weights_among_devices_of_the_kind(torchrun, cuda, monkeypatch, device, kind):
    made = []

    def mesh(*arguments):
        made.append(arguments)
        raise InterruptedError

    monkeypatch.setattr("torch.distributed.device_mesh.init_device_mesh", mesh)
    with pytest.raises(InterruptedError):
        Shards().shard(torch.nn.Linear(2, 2), device_of("cuda") if device == "cuda" else device)
    assert made == [(kind, (2,))]


def test_one_process_asks_nothing_of_cuda(cuda):
    Trainer(SMALL, processes=Process()).train_step()
    assert cuda == [] and memories("") == [provenance.memory_bytes()] and cuda == []


@pytest.mark.parametrize(
    ("given", "count", "expected"),
    [(None, 3, ["0", "1", "2"]), ("", 2, ["0", "1"]), ("4, 6", 2, ["4", "6"]), ("4,-1,5", 1, ["4"]),
     ("GPU-8932f937,GPU-1", 2, ["GPU-8932f937", "GPU-1"])],
)  # fmt: skip
def test_gpus_have_the_names_of_the_environment(given, count, expected):
    assert list(visible_gpus(count, given)) == expected


def test_what_is_known_of_the_gpu(cuda, monkeypatch, tmp_path):
    assert provenance.gpu() == {} and "gpu" not in provenance.collect()
    monkeypatch.setattr("torch.cuda.is_initialized", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "NVIDIA H100 80GB HBM3")
    monkeypatch.setattr("torch.version.cuda", "13.0")
    assert provenance.gpu().items() >= {"gpu": "NVIDIA H100 80GB HBM3", "cuda": "13.0"}.items()
    assert provenance.collect()["gpu"] == "NVIDIA H100 80GB HBM3"
    for line in ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023",
                 "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.15  Release Build  (dvs-builder)"):  # fmt: skip
        (tmp_path / "version").write_text(f"{line}\nGCC version:  gcc version 12.3.0\n")
        assert provenance.gpu_driver(tmp_path / "version") == line.split("  ")[1]
    assert provenance.gpu_driver(tmp_path / "none") == ""


def test_processes_are_forked_from_one_that_has_not_touched_cuda():
    code = (
        "import torch\n"
        "def touched(*_): raise SystemExit('CUDA was touched')\n"
        "for name in ('is_available', 'device_count', 'init', '_lazy_init', 'get_device_capability'):\n"
        "    setattr(torch.cuda, name, touched)\n"
        "import laimbench.ladder"
    )
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
