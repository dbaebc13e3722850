"""The logits of any family as a .pt2 file of torch.export: a graph of aten ops, with "laim" also of our own ops, whose
user imports ``laimbench.ops`` before it is loaded.
"""

import tempfile
from pathlib import Path

import torch

from laimbench.deploy.export.compare import Comparison, compare, exact_logits
from laimbench.deploy.export.logits import Logits, logits_of, varied
from laimbench.errors import InputError, RunError
from laimbench.files import write_atomically
from laimbench.train import load_checkpoint

SUFFIX = ".pt2"
EXAMPLE_BATCH = 3  # not 1, which torch.export takes for a constant


def export_torch(folder: Path, out: Path, backend: str = "torch") -> Comparison:
    """Write the logits of the checkpoint in ``folder`` with the ops of ``backend``; load and run the file on other sizes.

    Raises:
        InputError: ``out`` is not a .pt2, or no such checkpoint. RunError: it cannot be exported, or its logits differ.
    """
    if out.suffix != SUFFIX:
        raise InputError(f"{out}: expected a name that ends in {SUFFIX}")
    if backend not in ("torch", "laim"):
        raise InputError(f"backend is {backend!r}, expected torch or laim")
    logits = logits_of(load_checkpoint(folder, backend).model)
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / f"model{SUFFIX}"
        try:
            torch.export.save(traced(logits), path)
        except Exception as error:  # of many kinds, none of them public
            raise RunError(f"{out}: cannot be exported ({str(error).splitlines()[0]})") from None
        found = _verify(logits, path).require(str(out))
        write_atomically(out, path.read_bytes())
    return found


@torch.no_grad()
def traced(logits: Logits) -> torch.export.ExportedProgram:
    """Return the graph; batch and sequence vary."""
    dynamic = tuple({i: torch.export.Dim.DYNAMIC for i in names} for names in logits.inputs.values())
    return torch.export.export(logits, logits.sample(EXAMPLE_BATCH, logits.longest), dynamic_shapes=(dynamic,))


@torch.no_grad()
def _verify(logits: Logits, path: Path) -> Comparison:
    program = torch.export.load(path).module()
    found = [compare(logits(*inputs), program(*inputs), exact_logits(logits, inputs)) for inputs in varied(logits)]
    return found[0].joined(found[1])
