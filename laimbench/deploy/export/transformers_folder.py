"""A checkpoint as a folder that transformers' from_pretrained reads. Needs no transformers, and unpickles nothing."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from laimbench import __version__
from laimbench.deploy.export import transformers_bert, transformers_gpt2, transformers_llama
from laimbench.deploy.export.compare import Comparison, compare, exact_logits
from laimbench.deploy.export.import_transformers import CONFIG, TOKENIZER, read_transformers
from laimbench.deploy.export.logits import logits_of, varied
from laimbench.deploy.export.tokenizer_files import written
from laimbench.deploy.export.weights import WEIGHTS
from laimbench.errors import InputError, RunError
from laimbench.files import whole_folder
from laimbench.train import Checkpoint

TOKENIZER_CONFIG = "tokenizer_config.json"
MARK = "laimbench_version"  # in config.json: a folder that may be written again


def export_transformers(checkpoint: Checkpoint, out: Path) -> Comparison:
    """Write config.json, model.safetensors and the tokenizer; read them back and compare logits on random tokens. The folder
    appears whole, after that, or not at all.

    Raises:
        InputError: no such layout for this model, or ``out`` holds something else. RunError: the logits differ.
    """
    model, family, facts = checkpoint.model, checkpoint.config.family, checkpoint.facts
    if family == "bert":
        values, weights = transformers_bert.write(model, facts["classes"])
    elif family == "gpt":
        layout = transformers_llama if model.config.positions == "rotary" else transformers_gpt2
        values, weights = layout.write(model)
    else:
        raise InputError(f"family is {family}, expected gpt or bert; torch-export and onnx take every family")
    values |= {"dtype": "float32", "torch_dtype": "float32", MARK: __version__}  # transformers 5 and 4
    tokenizer = None
    if checkpoint.tokenizer_path is not None:
        content = checkpoint.tokenizer_path.read_text(encoding="utf-8")
        tokenizer = written(content, facts["vocab_size"], model.config.seqlen, family == "bert")
    values |= {"bos_token_id": None, "eos_token_id": None}  # not the ids that the layouts' first models had
    if tokenizer is not None:
        values |= {"bos_token_id": tokenizer[2], "eos_token_id": tokenizer[2]}
    try:
        with whole_folder(out, "an export", _is_export) as fresh:
            (fresh / CONFIG).write_text(_json(values), encoding="utf-8")
            save_file(weights, fresh / WEIGHTS, metadata={"format": "pt"})
            if tokenizer is not None:
                (fresh / TOKENIZER).write_text(tokenizer[0], encoding="utf-8")
                (fresh / TOKENIZER_CONFIG).write_text(_json(tokenizer[1]), encoding="utf-8")
            return verify(checkpoint, fresh).require(str(out))
    except (OSError, SafetensorError) as error:
        raise RunError(f"{out}: the export cannot be written ({error})") from None


@torch.no_grad()
def verify(checkpoint: Checkpoint, folder: Path) -> Comparison:
    """Compare a checkpoint with what reading ``folder`` gives."""
    own = logits_of(checkpoint.model)
    back = logits_of(read_transformers(folder, checkpoint.config.backend).model)
    found = [compare(own(*inputs), back(*inputs), exact_logits(own, inputs)) for inputs in varied(own)]
    return found[0].joined(found[1])


def _json(values: dict) -> str:
    return json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _is_export(folder: Path) -> bool:
    try:
        return MARK in json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False
