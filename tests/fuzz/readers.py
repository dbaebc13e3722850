"""Give every reader of files wrong inputs at random: each ends in its value or in the one error that is meant for users.

    python -m tests.fuzz.readers 1000000 --seed 0 --kept build/fuzz

A crash or a hang ends the process; that is why ``test_fuzz.py`` runs this in one of its own. The input at work lies in the folder, and those
that went wrong are kept there. Memory is bounded by a limit of the process.
"""

import argparse
import io
import json
import os
import random
import resource
import signal
import sqlite3
import sys
import tempfile
import time
import wave
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from laimbench.bench.pytest_results import read_pytest_results
from laimbench.data.audio import read_wav
from laimbench.data.cache import sha256
from laimbench.data.documents import read_documents
from laimbench.data.images import read_image
from laimbench.data.labelled import Unusable
from laimbench.data.rows import read_rows
from laimbench.data.tokenizer import read_tokenizer, train_tokenizer
from laimbench.errors import LaimbenchError
from laimbench.ladder import load_ladder
from laimbench.ladder.job import Job, read_job, write_job
from laimbench.laws.table import read_table
from laimbench.store import Store
from laimbench.store.merge import merge
from laimbench.track.history import read_history
from laimbench.train import RunConfig, Trainer, load_checkpoint, save_checkpoint
from tests.fuzz.mutate import mutated
from tests.track.asv_results import write_results

HANG_S = 10
MEMORY = 3 << 30  # beyond what the process has at its beginning
TOML = b"""name = "small"
family = "gpt"
data = "builtin:text"
backends = ["torch", "laim"]
seeds = [0, 1]
dtype = "fp32"
tokens = [4096, 8192]
[train]
batch_size = 4
seqlen = 32
[[sizes]]
size = 1
[[sizes]]
width = 64
depth = 2
heads = 4
tokens = [4096]
"""
CSV = b"""Model,params,tokens,flops,loss
a,1e6,2e7,1.2e14,4.1
b,1.3B,26B,2.0e20,2.9
c,"2,000,000",4e7,3 PF-days,3.9
"""
ROWS = b"""{"params": 1000000, "tokens": 2e7, "loss": 4.1, "seed": 0}
{"params": 2000000, "tokens": 4e7, "loss": 3.9, "nested": {"lr": 0.1}}
"""
LABELLED = b"""{"text": "good day", "label": "greeting"}
{"text": "so long", "label": 3}
"""


@dataclass(frozen=True)
class Reader:
    """read: takes the file; path: where it lies under the folder; seeds: right contents of it."""

    name: str
    path: str
    seeds: list[bytes]
    read: Callable[[Path], Any]


def drained(read: Callable[[Path], Any]) -> Callable[[Path], Any]:
    return lambda path: [None for _ in read(path)]


def checkpoint_seeds(folder: Path) -> tuple[bytes, bytes]:
    config = RunConfig.from_dict({"family": "mlp", "width": 4, "tokens": 64, "batch_size": 32})
    trainer = Trainer(config)
    save_checkpoint(folder / "model", trainer, {})
    return (folder / "model" / "laimbench.json").read_bytes(), (folder / "model" / "model.safetensors").read_bytes()


def store_seed(folder: Path) -> bytes:
    path = folder / "seed.sqlite"
    facts = {"family": "mlp", "size": "1", "backend": "torch", "dtype": "float32", "seed": 0, "params": 10,
             "params_non_embedding": 10, "tokens": 100, "flops": 1e6}  # fmt: skip
    row = {
        "step": 1,
        "tokens": 50,
        "flops": 1e5,
        "train_s": 0.1,
        "train_loss": 2.0,
        "val_loss": 2.1,
        "tokens_per_s": 1.0,
    }
    with Store(path) as store:
        for number in range(3):
            run = store.begin_run(f"key{number}", "sweep", {"width": 4}, facts, {"cores": 2})
            store.log(run, [row, row | {"step": 2}])
            store.finish_run(run, "done", {"params": 10})
        store.save_document("bench", {"rows": [1, 2]})
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
    return path.read_bytes()


def wav_seed() -> bytes:
    content = io.BytesIO()
    with wave.open(content, "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(8000)
        stream.writeframes(np.arange(800, dtype="<i2").tobytes())
    return content.getvalue()


def png_seeds() -> list[bytes]:
    from PIL import Image

    picture = Image.fromarray(np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3))
    seeds = []
    for form in ("PNG", "JPEG"):
        content = io.BytesIO()
        picture.save(content, form)
        seeds.append(content.getvalue())
    return seeds


def read_store(path: Path) -> None:
    with Store(path, must_exist=True, read_only=True) as store:
        for run in store.runs():
            store.metrics(run.id)
        store.documents("bench")
        with Store(path.with_name("into.sqlite")) as into:
            merge(into, store)


def pytest_seed() -> bytes:
    stats = {"min": 1e-3, "max": 2e-3, "median": 1.4e-3, "iqr": 1e-4, "rounds": 5}
    info = {
        "op": "mlp",
        "shape": "64x64",
        "dtype": "fp32",
        "direction": "forward",
        "gflop": 0.1,
        "peak_gflops": 100.0,
        "threads": 1,
    }
    both = [
        {"name": f"test_mlp[{side}]", "extra_info": info | {"side": side}, "stats": stats} for side in ("laim", "torch")
    ]
    return json.dumps({"benchmarks": both, "version": "5.0"}).encode()


def readers(folder: Path) -> list[Reader]:
    tokenizer = train_tokenizer(["some text of a few words, some of them twice"] * 3, 270).to_str().encode()
    description, weights = checkpoint_seeds(folder)
    write_job(Job(load_ladder(written(folder / "ladder.toml", TOML)), folder / "x.sqlite", 1), folder / "job.json")
    write_results(folder / "asv", [1.0])
    asv = next((folder / "asv" / "box").glob("*-env.json"))
    report = lambda problem: None  # noqa: E731
    return [
        Reader("ladder", "ladder.toml", [TOML], load_ladder),
        Reader("table", "table.csv", [CSV, CSV.replace(b'"2,000,000"', b"2e6").replace(b",", b";")], read_table),
        Reader("table", "table.jsonl", [ROWS], read_table),
        Reader("table", "table.json", [b"[" + ROWS.strip().replace(b"\n", b",") + b"]"], read_table),
        Reader("job", "job.json", [(folder / "job.json").read_bytes()], read_job),
        Reader("checkpoint", "model/laimbench.json", [description], lambda path: load_checkpoint(path.parent)),
        Reader("weights", "weights/model.safetensors", [weights], weights_reader(description)),
        Reader("tokenizer", "tokenizer.json", [tokenizer], read_tokenizer),
        Reader("store", "runs.sqlite", [store_seed(folder)], read_store),
        Reader("documents", "text.jsonl", [LABELLED], drained(lambda path: read_documents(path, path.name, "text", report))),
        Reader("rows", "rows.jsonl", [LABELLED], drained(lambda path: read_rows("rows", path, report))),
        Reader("rows", "rows.csv", [b"text,label\nhello,1\n\"a, b\",x\n"], drained(lambda path: read_rows("rows", path, report))),
        Reader("wav", "clip.wav", [wav_seed()], lambda path: read_wav(path, 16000, 1600)),
        Reader("image", "picture.png", png_seeds(), lambda path: read_image(path, 16, 3)),
        Reader("pytest-benchmark", "results.json", [pytest_seed()], read_pytest_results),
        Reader("asv", str(asv.relative_to(folder)), [asv.read_bytes()], lambda path: read_history(path.parent.parent)),
    ]  # fmt: skip


def written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def weights_reader(description: bytes) -> Callable[[Path], Any]:
    """The description beside the file names the hash of whatever lies there, so that the reader of the weights is reached."""

    def read(path: Path) -> None:
        described = json.loads(description) | {"sha256": sha256(path)}
        (path.parent / "laimbench.json").write_text(json.dumps(described))
        load_checkpoint(path.parent)

    return read


class Hang(BaseException):
    """A reader took longer than HANG_S."""


def attempt(reader: Reader, path: Path) -> str:
    """Return what went wrong, '' where nothing did."""

    def hang(*_: object) -> None:
        raise Hang

    signal.signal(signal.SIGALRM, hang)
    signal.alarm(HANG_S)
    try:
        reader.read(path)
    except (LaimbenchError, Unusable) as error:
        if len(str(error).splitlines()) != 1:
            return f"an error of {len(str(error).splitlines())} lines: {str(error)[:200]!r}"
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a panic of a library in Rust is no Exception
        return f"{type(error).__name__}: {str(error)[:200]}"
    finally:
        signal.alarm(0)
    return ""


def run(inputs: int, seed: int, kept: Path | None) -> dict[str, Any]:
    rng, wrong, counts, started = random.Random(seed), [], {}, time.perf_counter()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as name:
        folder = Path(name)
        every = readers(folder)
        own = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (own + MEMORY, own + MEMORY))
        for number in range(inputs):
            reader = every[number % len(every)]
            content = mutated(rng, rng.choice(reader.seeds), rng.choice(rng.choice(every).seeds))
            path = written(folder / reader.path, content)
            counts[reader.name] = counts.get(reader.name, 0) + 1
            if said := attempt(reader, path):
                wrong.append({"reader": reader.name, "input": number, "said": said})
                print(f"{reader.name} {number}: {said}", flush=True)
                if kept:
                    written(kept / f"{number}-{path.name}", content)
            for left in folder.glob("*.sqlite*") if reader.name == "store" else ():
                left.unlink()
    return {"inputs": inputs, "seed": seed, "by_reader": counts, "wrong": wrong,
            "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "seconds": round(time.perf_counter() - started, 1)}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("inputs", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kept", type=Path, help="a folder for inputs that went wrong")
    arguments = parser.parse_args()
    found = run(arguments.inputs, arguments.seed, arguments.kept)
    print(json.dumps({**found, "wrong": len(found["wrong"])}))
    return int(bool(found["wrong"]))


if __name__ == "__main__":
    sys.exit(main())
