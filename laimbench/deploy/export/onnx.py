"""The logits of any family as an ONNX file, by stock PyTorch's ops."""

import logging
import tempfile
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from laimbench.deploy.export.compare import Comparison, compare, exact_logits
from laimbench.deploy.export.logits import Logits, logits_of, varied
from laimbench.deploy.export.torch_export import EXAMPLE_BATCH
from laimbench.errors import InputError, RunError
from laimbench.files import write_atomically
from laimbench.train import load_checkpoint

SUFFIX = ".onnx"
MOST_BYTES = 2**31 - 2**20  # of weights in one file: a protobuf holds less than 2 GiB


def export_onnx(folder: Path, out: Path) -> Comparison:
    """Write the logits of the checkpoint in ``folder``; run the file by onnxruntime, or where that is missing by onnx's own
    evaluator, on other sizes.

    Raises:
        InputError: ``out`` is not a .onnx, the packages are missing, the weights too large, or no such checkpoint.
        RunError: it cannot be exported, or its logits differ.
    """
    if out.suffix != SUFFIX:
        raise InputError(f"{out}: expected a name that ends in {SUFFIX}")
    missing = [name for name in ("onnx", "onnxscript") if find_spec(name) is None]
    if missing:
        raise InputError(f"{' and '.join(missing)} not installed; `pip install laimbench[export]`")
    logits = logits_of(load_checkpoint(folder, "torch").model)
    size = sum(p.numel() * p.element_size() for p in logits.parameters())
    if size > MOST_BYTES:
        raise InputError(f"{out}: {size:,} bytes of weights, expected at most {MOST_BYTES:,}; use torch-export")
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / f"model{SUFFIX}"
        try:
            _write(logits, path)
        except Exception as error:  # of many kinds, none of them public
            raise RunError(f"{out}: cannot be exported ({str(error).splitlines()[0]})") from None
        found = _verify(logits, path).require(str(out))
        write_atomically(out, path.read_bytes())
    return found


def _write(logits: Logits, path: Path) -> None:
    """Trace and translate, without the exporter's log of packages that it could also use."""
    log = logging.getLogger("torch.onnx")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        program = torch.onnx.export(
            logits, logits.sample(EXAMPLE_BATCH, logits.longest), dynamo=True, verbose=False,
            dynamic_shapes=(tuple(logits.inputs.values()),), input_names=list(logits.inputs), output_names=["logits"],
        )  # fmt: skip
        program.save(path, external_data=False)
    finally:
        log.setLevel(before)


@torch.no_grad()
def _verify(logits: Logits, path: Path) -> Comparison:
    found = []
    for inputs in varied(logits):
        written = torch.from_numpy(evaluate(path, dict(zip(logits.inputs, inputs, strict=True))))
        found.append(compare(logits(*inputs), written, exact_logits(logits, inputs)))
    return found[0].joined(found[1])


def evaluate(path: Path, inputs: dict[str, Tensor]):
    """Return the logits, an array, that an ONNX file gives."""
    arrays = {name: value.numpy() for name, value in inputs.items()}
    if find_spec("onnxruntime") is not None:
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return session.run(None, arrays)[0]
    from onnx.reference import ReferenceEvaluator

    return ReferenceEvaluator(str(path)).run(None, arrays)[0]
