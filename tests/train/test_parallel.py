"""One run by several processes is the run of one process, to rounding, and goes on from its states by any number of them."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from laimbench.cli import main
from laimbench.errors import InputError
from laimbench.models import GPT, GPTConfig
from laimbench.train import Execution, Keeper, RunConfig, Trainer, load_checkpoint, save_checkpoint
from laimbench.train.follower import follow
from laimbench.train.parallel import Replicas, Shards, connected
from laimbench.train.stored import read_state, states
from tests.ports import free_ports
from tests.train.part_faults import FAULTS, hampered, passed_over, train

ROOT = Path(__file__).resolve().parents[2]

STEPS = 10
# A sum of n terms in another order differs by at most about log2(n) roundings of 2^-24 of its terms' size: for the sums
# here 1e-6. A loss is such a sum, of logits that are; ten updates that differ by as little move it by less.
BOUND = 1e-5
# Products in bf16 round a gradient of half a batch to 2^-9 before it is added to the other half's.
BF16_BOUND = 1e-3

GPT_RUN = {"family": "gpt", "width": 32, "depth": 2, "vocab_size": 300, "seqlen": 16, "tokens": 16 * 8 * STEPS, "batch_size": 8}  # fmt: skip
RUNS = {
    "gpt": GPT_RUN,
    "gpt torch": {**GPT_RUN, "backend": "torch"},
    "gpt bf16": {**GPT_RUN, "dtype": "bf16"},
    "llama": {**GPT_RUN, "norm": "rms", "mlp": "swiglu", "positions": "rotary", "heads": 2, "kv_heads": 1, "tied": False},
    "transformer": {"family": "transformer", "width": 32, "depth": 1, "tokens": 8 * STEPS, "batch_size": 8},
    "bert": {**GPT_RUN, "family": "bert"},
    "vit": {"family": "vit", "width": 32, "depth": 1, "tokens": 8 * STEPS, "batch_size": 8},
    "mlp": {"family": "mlp", "width": 16, "tokens": 8 * STEPS, "batch_size": 8},
}  # fmt: skip
ONCE, TWICE, AGAIN = Execution(), Execution(accumulate=2), Execution(accumulate=2, checkpointing=True)
CASES = {  # processes, the way, run, execution
    "alone, accumulated": (1, "", "gpt", TWICE),
    "alone, checkpointed": (1, "", "gpt", Execution(checkpointing=True)),
    "2 ddp gpt": (2, "ddp", "gpt", ONCE),
    "2 ddp gpt, both": (2, "ddp", "gpt", AGAIN),
    "2 ddp gpt torch": (2, "ddp", "gpt torch", ONCE),
    "2 ddp gpt bf16": (2, "ddp", "gpt bf16", TWICE),
    "2 ddp transformer": (2, "ddp", "transformer", TWICE),
    "2 ddp mlp": (2, "ddp", "mlp", ONCE),
    "2 fsdp gpt": (2, "fsdp", "gpt", ONCE),
    "2 fsdp gpt, both": (2, "fsdp", "gpt", AGAIN),
    "2 fsdp gpt torch": (2, "fsdp", "gpt torch", AGAIN),
    "2 fsdp gpt bf16": (2, "fsdp", "gpt bf16", ONCE),
    "2 fsdp llama": (2, "fsdp", "llama", AGAIN),
    "2 fsdp transformer": (2, "fsdp", "transformer", TWICE),
    "2 fsdp bert": (2, "fsdp", "bert", ONCE),
    "4 ddp gpt": (4, "ddp", "gpt", TWICE),
    "4 ddp vit": (4, "ddp", "vit", ONCE),
    "4 fsdp gpt": (4, "fsdp", "gpt", ONCE),
    "4 fsdp gpt torch": (4, "fsdp", "gpt torch", AGAIN),
    "4 fsdp transformer": (4, "fsdp", "transformer", AGAIN),
    "4 fsdp vit": (4, "fsdp", "vit", TWICE),
}  # fmt: skip
# Who leaves a state after step 5, and who goes on from it: processes and the way of both. In this order 1 leaves, then 2, then 4,
# and 1 goes on last.
RESHAPED = {
    "1 to 2 fsdp": ((1, ""), (2, "fsdp")),
    "2 fsdp to 2 fsdp": ((2, "fsdp"), (2, "fsdp")),
    "2 fsdp to 2 ddp": ((2, "fsdp"), (2, "ddp")),
    "2 fsdp to 1": ((2, "fsdp"), (1, "")),
    "2 fsdp to 4 fsdp": ((2, "fsdp"), (4, "fsdp")),
    "2 fsdp to 4 ddp": ((2, "fsdp"), (4, "ddp")),
    "4 ddp to 1": ((4, "ddp"), (1, "")),
}


def result(folder, name, trainer):
    """Note the losses, what the last evaluation finds, the summary and the weights."""
    row = {
        "config": trainer.config.to_dict(),
        "losses": trainer.segment_losses,
        "val_loss": trainer._evaluate().val_loss,
        "summary": trainer.summary(),
    }
    (folder / f"{name}.json").write_text(json.dumps(row))
    save_checkpoint(folder / name, trainer, {})


def lead(folder, work, processes):
    """Do one piece of work as the first process, or alone."""
    what, name, run, values, execution = work
    trainer = Trainer(RunConfig.from_dict(values), Execution(**execution), processes)
    if what == "train":
        train(trainer, STEPS)
        result(folder, name, trainer)
    elif what == "save":
        train(trainer, 5)
        Keeper(folder / f"{name}.state", trainer).save()
    elif what in FAULTS:
        (folder / f"{what}.json").write_text(json.dumps(FAULTS[what](folder / what, trainer)))
    else:
        notes = Keeper(folder / f"{run}.state", trainer).resume()
        others = run != f"{trainer.processes.count} {trainer.processes.kind}"
        assert trainer.step == 5 and len(notes) == others, notes
        train(trainer, STEPS)
        result(folder, name, trainer)


def work_through(folder, count, rank, port, works):
    """What a spawned process does: all works that need so many processes."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    with connected("fsdp"):
        for kind, work in works:
            processes = {"ddp": Replicas, "fsdp": Shards}[kind]()
            if rank:
                with hampered(work[0]):
                    follow(RunConfig.from_dict(work[3]), Execution(**work[4]), processes)
            else:
                lead(folder, work, processes)
                processes.announce("end")
        if rank:
            Replicas().receive()  # that the first process leaves


def together(folder, count, works):
    """Run works by so many processes."""
    (port,) = free_ports()
    # `tests` is found last, so that the installed laimbench is the one tested
    code = f"import json, sys; sys.path.append({str(ROOT)!r}); from pathlib import Path; "
    code += "from tests.train.test_parallel import work_through; "
    code += "folder, *rest = json.load(sys.stdin); work_through(Path(folder), *rest)"
    started = []
    for rank in range(count):
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        process.stdin.write(json.dumps([str(folder), count, rank, port, works]))
        process.stdin.close()
        process.stdin = None
        started.append(process)
    for process in started:
        _, error = process.communicate(timeout=120)
        assert process.returncode == 0, error


@pytest.fixture(scope="module")
def results(corpus, tmp_path_factory):
    """All runs, by one process and by several: a folder of results by name."""
    folder = tmp_path_factory.mktemp("results")
    runs = {
        name: {**run, "eval_tokens": 320, **({"data": corpus} if run["family"] in ("gpt", "bert") else {})}
        for name, run in RUNS.items()
    }
    works = {count: [] for count in (1, 2, 4)}
    for name, (count, kind, run, execution) in CASES.items():
        works[count].append((kind, ("train", name, run, runs[run], asdict(execution))))
    for count, kind in dict.fromkeys(before for before, _ in RESHAPED.values()):
        works[count].append((kind, ("save", f"{count} {kind}", "gpt", runs["gpt"], {})))
    works[2] += [("fsdp", (what, what, "gpt", runs["gpt"], {})) for what in FAULTS]
    last = []
    for name, ((count, kind), (others, other_kind)) in RESHAPED.items():
        work = ("resume", name, f"{count} {kind}", runs["gpt"], {})
        (last if others == 1 else works[others]).append((other_kind, work))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for work in [("train", name, name, run, {}) for name, run in runs.items()] + [work for _, work in works[1]]:
            lead(folder, work, None)
        together(folder, 2, works[2])
        together(folder, 4, works[4])
        for _, work in last:
            lead(folder, work, None)
    finally:
        torch.set_num_threads(threads)
    return folder


def differences(folder, one, other):
    """Return the largest relative differences of step losses, of the validation loss, and of any weight's norm."""
    rows = [json.loads((folder / f"{name}.json").read_text()) for name in (one, other)]
    losses = [torch.tensor(row["losses"], dtype=torch.float64) for row in rows]
    assert len(losses[0]) == len(losses[1]) == STEPS and rows[0]["summary"].keys() == rows[1]["summary"].keys()
    weights = [load_file(folder / name / "model.safetensors") for name in (one, other)]
    for each in weights:
        # Softmax does not see a bias of all keys: its gradient is 0 but for rounding, whose size Adam takes for the step's.
        for name in [name for name in each if name.endswith("qkv.bias")]:
            queries, _, values = each[name].chunk(3)
            each[name] = torch.cat([queries, values])
        for name in [name for name in each if name.endswith("cross.kv.bias")]:
            each[name] = each[name].chunk(2)[1]
    norms = [((weights[1][name] - value).norm() / value.norm()).item() for name, value in weights[0].items()]
    loss = ((losses[1] - losses[0]).abs() / losses[0]).max().item()
    return loss, abs(rows[1]["val_loss"] / rows[0]["val_loss"] - 1), max(norms)


@pytest.mark.parametrize("case", [*CASES, *RESHAPED])
def test_several_processes_train_the_run_of_one(case, results):
    run = CASES[case][2] if case in CASES else "gpt"
    loss, val_loss, weights = differences(results, run, case)
    bound = BF16_BOUND if "bf16" in case else BOUND
    assert loss <= bound and val_loss <= bound
    assert weights <= bound or "bf16" in case  # Adam makes steps of one size of gradients of any: see docs/big-runs.md


def test_checkpointing_changes_no_bit(results):
    assert differences(results, "gpt", "alone, checkpointed") == (0, 0, 0)


def test_the_state_of_shards_is_that_of_one_process(results):
    """Whole tensors, named and shaped alike, in files that need no unpickling; each process wrote about half of them."""
    one, shards = (results / f"{name}.state" for name in ("1 ", "2 fsdp"))
    (of_one, described), (of_shards, _) = (read_state(states(folder)[-1]) for folder in (one, shards))
    assert {name: t.shape for name, t in of_one.items()} == {name: t.shape for name, t in of_shards.items()}
    assert described["surroundings"]["split"] == "whole"
    sizes = {path.name.split("-")[3]: path.stat().st_size for path in shards.iterdir()}
    (whole,) = (path.stat().st_size for path in one.iterdir())
    assert sizes.keys() > {"part0", "part1"} and len(sizes) == 3 and max(sizes.values()) < 0.6 * whole


def test_as_many_processes_go_on_bit_for_bit(results):
    assert differences(results, "2 fsdp gpt", "2 fsdp to 2 fsdp") == (0, 0, 0)


def test_a_part_that_cannot_be_written_is_one_line_and_keeps_the_states_before(results):
    """And no process waits for another: the next state is written."""
    said, (_, two, three, four) = json.loads((results / "unwritable.json").read_text())
    assert "step 3 cannot be written (rank 1: " in said and "File too large" in said and "\n" not in said
    assert two == three and len(two) == 6
    assert {name.split("-")[1] for name in four} == {"000000002", "000000004"} and len(four) == 6


def test_a_damaged_and_a_missing_part_are_passed_over_for_the_state_before(results):
    trainer = Trainer(RunConfig.from_dict(json.loads((results / "gpt.json").read_text())["config"]))
    rows = [json.loads((results / "passed_over.json").read_text()), passed_over(results / "again", trainer)]
    for by, both in zip(("two", "one"), rows, strict=True):
        for (notes, step, losses), reason in zip(both, ("SHA-256 is not the one", "No such file"), strict=True):
            assert len(notes) == (1 if by == "two" else 2) and "-part1-" in notes[0] and reason in notes[0]
            assert "not used" in notes[0] and "\n" not in notes[0] and step == losses == 2


def test_a_folder_that_not_all_see_has_whole_states(results):
    told, in_parts, losses = json.loads((results / "unshared.json").read_text())
    assert len(told) == 1 and "not seen by all processes" in told[0]
    assert in_parts == [False, False] and losses[0] == losses[1] and len(losses[0]) == 4


@pytest.mark.parametrize("backend", ["laim", "torch"])
def test_gradients_under_compile_and_checkpointing(backend):
    """What aot autograd traces of the ops, and computes again in the backward, is what they give when called."""
    torch.manual_seed(0)
    model = GPT(GPTConfig(64, 16, 32, 2, 2, norm="rms", mlp="swiglu", positions="rotary"), backend)
    tokens = torch.randint(0, 64, (2, 16))

    def gradients(call):
        model.zero_grad()
        call(tokens, tokens).backward()
        return [parameter.grad.clone() for parameter in model.parameters()]

    plain = gradients(model)
    for block in model.stack.blocks:
        block.checkpointing = True
    again = gradients(model)
    compiled = gradients(torch.compile(model, backend="aot_eager", dynamic=False, fullgraph=True))
    for one, two, three in zip(plain, again, compiled, strict=True):
        assert torch.equal(one, two)
        assert (three - one).norm() <= BOUND * one.norm()


def test_checkpointing_keeps_less():
    """Of each block what goes into it, in place of all that its backward needs."""
    kept = {}
    for checkpointing in (False, True):
        model = GPT(GPTConfig(64, 32, 32, 4, 2), "laim")
        for block in model.stack.blocks:
            block.checkpointing = checkpointing
        sizes = {}
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t, s=sizes: s.setdefault(t.data_ptr(), t.nbytes) and t, lambda t: t
        ):
            model(*torch.randint(0, 64, (2, 4, 32)))
        kept[checkpointing] = sum(sizes.values())
    assert kept[True] < kept[False] / 3


@pytest.mark.parametrize(
    ("values", "execution", "said"),
    [
        ({"batch_size": 8}, {"accumulate": 3}, "batch_size is 8, expected a multiple of 3"),
        ({"family": "mlp"}, {"parallel": "fsdp"}, "parallel is 'fsdp', but family mlp has no blocks"),
        ({"family": "mlp"}, {"checkpointing": True}, "checkpointing is True, but family mlp has no blocks"),
        ({}, {"parallel": "tp"}, "parallel is 'tp', expected one of ddp, fsdp"),
        ({}, {"accumulate": 0}, "accumulate is 0, expected 1 or more"),
        ({}, {"accumulate": "2"}, "accumulate is '2', expected an integer"),
    ],
)
def test_wrong_ways_are_refused(values, execution, said):
    with pytest.raises(InputError, match=said):
        Trainer(RunConfig.from_dict(values), Execution(**execution))


def test_how_is_no_part_of_a_run(tmp_path, capsys, monkeypatch):
    """The file and options say what and how; the store knows the run by what alone."""
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    lines = [f"{name} = {json.dumps(value)}" for name, value in {**RUNS["vit"], "accumulate": 2}.items()]
    (tmp_path / "run.toml").write_text("\n".join(lines))
    command = ["train", str(tmp_path / "run.toml"), "--store", str(tmp_path / "runs.sqlite"), "--evals", "1"]
    assert main(command) == 0 and main([*command, "--accumulate", "1", "--checkpointing"]) == 0
    assert "holds this run already" in capsys.readouterr().out
    assert main([*command, "--parallel", "ddp"]) == 2
    assert "start it by `torchrun" in capsys.readouterr().err
    (tmp_path / "run.toml").write_text("depht = 2")
    assert main(command) == 2 and "unknown key 'depht'" in capsys.readouterr().err


def torchrun(count, *arguments):
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        str(count),
        "--master-port",
        str(free_ports()[0]),
    ]
    return subprocess.Popen(
        [*command, "-m", "laimbench", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )  # fmt: skip


def wait_for(process, said):
    while said not in process.stdout.readline():
        assert process.poll() is None, process.stderr.read()


def children(process):
    """Return the process ids of torchrun's processes, the first first."""
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds processes by /proc")
def test_a_run_by_torchrun_survives(corpus, tmp_path):
    """One process is killed: torchrun ends the others. Started again SIGTERM comes; then one process alone goes on to the end, to the
    model of a run that was left alone.
    """
    values = {**GPT_RUN, "data": corpus, "evals": 50, "eval_tokens": 64, "tokens": 16 * 8 * 100}
    options = [f"--{name.replace('_', '-')}={value}" for name, value in values.items()]
    command = ["train", *options, "--save-every=0", "--parallel=fsdp", "--store", tmp_path / "runs.sqlite", "--out"]
    run = torchrun(2, *command, tmp_path / "cut")
    wait_for(run, "step    10/")
    os.kill(children(run)[1], signal.SIGKILL)
    _, error = run.communicate(timeout=60)
    lost = "error: another process of the run ended; started again, it goes on from the last state that was kept\n"
    assert run.returncode == 1 and error.count(lost) == 1
    run = torchrun(2, *command, tmp_path / "cut")
    wait_for(run, "goes on from step")
    wait_for(run, "step ")
    run.send_signal(signal.SIGTERM)
    said, error = run.communicate(timeout=60)
    assert run.returncode != 0 and "model:" not in said
    assert error.count("error: terminated; what is at work is kept, started again it goes on from there\n") == 1
    for name, more in (("cut", ["--store", str(tmp_path / "runs.sqlite")]), ("whole", [])):
        target = ["--json", str(tmp_path / f"{name}.json"), "--out", str(tmp_path / name)]
        assert main(["train", *options, *target, *more]) == 0
    rows = [json.loads((tmp_path / f"{name}.json").read_text())["evaluations"] for name in ("cut", "whole")]
    for one, other in zip(*rows, strict=True):
        assert one["step"] == other["step"] and one["val_loss"] == pytest.approx(other["val_loss"], rel=30 * BOUND)
    assert load_checkpoint(tmp_path / "cut").state["step"] == 100
