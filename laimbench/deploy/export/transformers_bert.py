"""BERT as Hugging Face's BertForMaskedLM or BertForSequenceClassification and back.

Ours has no segments: their second embedding is zero when written, and its first row is part of the positions when read. Our special
tokens are the last three of the vocabulary; a model whose own lie elsewhere gets copies of them there.
"""

from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from laimbench.data.special import SpecialIds
from laimbench.deploy.export.layout import Found, require
from laimbench.deploy.export.options import Options
from laimbench.deploy.export.tokenizer_files import SPECIAL, ends_in_ours
from laimbench.deploy.export.weights import Entry, Weights, pairs, to_theirs
from laimbench.models import BERT

MASKED, CLASSES = "BertForMaskedLM", "BertForSequenceClassification"
ARCHITECTURES = (MASKED, CLASSES)
ACTIVATIONS = {"gelu": "gelu", "gelu_tanh": "gelu_new", "relu": "relu"}
NAMES = {**{name: ours for ours, name in ACTIVATIONS.items()}, "gelu_pytorch_tanh": "gelu_tanh"}
SEGMENTS = "bert.embeddings.token_type_embeddings.weight"
THEIR_SPECIAL = ("[MASK]", "[CLS]", "[PAD]")  # in the order of SpecialIds
UNSAID = -100.0  # bias of a copy of a special token: its share of a softmax is below what float32 adds up


def table(depth: int, width: int, classes: bool) -> list[Entry]:
    """Return what is called how."""
    both = ["weight", "bias"]
    tokens = {"tokens": "bert.embeddings.word_embeddings", "positions": "bert.embeddings.position_embeddings"}
    entries = pairs(tokens, ["weight"]) + pairs({"norm": "bert.embeddings.LayerNorm"}, both)
    for i in range(depth):
        ours, theirs = f"stack.blocks.{i}", f"bert.encoder.layer.{i}"
        layers = {"attention.project": "attention.output.dense", "norm1": "attention.output.LayerNorm",
                  "mlp.up": "intermediate.dense", "mlp.down": "output.dense", "norm2": "output.LayerNorm"}  # fmt: skip
        entries += pairs({f"{ours}.{own}": f"{theirs}.{other}" for own, other in layers.items()}, both)
        for kind in both:
            parts = tuple(f"{theirs}.attention.self.{part}.{kind}" for part in ("query", "key", "value"))
            entries.append(Entry(f"{ours}.attention.qkv.{kind}", parts, (width,) * 3))
    if classes:
        return entries + pairs({"transform": "bert.pooler.dense", "classify": "classifier"}, both)
    head = {"transform": "cls.predictions.transform.dense", "head_norm": "cls.predictions.transform.LayerNorm"}
    return [*entries, *pairs(head, both), Entry("head_bias", ("cls.predictions.bias",))]


def write(model: BERT, classes: list[str]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the content of config.json and the weights.

    Raises:
        InputError: BERT has no such option.
    """
    config = model.config
    architecture = CLASSES if config.classes else MASKED
    # Their output head has the activation of the blocks, ours always GELU.
    require(architecture, "mlp", config.mlp, *(ACTIVATIONS if config.classes else ["gelu"]))
    values = {
        "architectures": [architecture], "model_type": "bert", "vocab_size": config.vocab_size,
        "max_position_embeddings": config.seqlen, "hidden_size": config.width, "num_hidden_layers": config.depth,
        "num_attention_heads": config.heads, "intermediate_size": config.block.hidden,
        "hidden_act": ACTIVATIONS[config.mlp], "layer_norm_eps": config.eps, "type_vocab_size": 2,
        "pad_token_id": SpecialIds(config.vocab_size - len(SPECIAL)).pad, "tie_word_embeddings": True,
        "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
    }  # fmt: skip
    if classes:
        values["id2label"] = {str(i): name for i, name in enumerate(classes)}
        values["label2id"] = {name: i for i, name in enumerate(classes)}
        values["problem_type"] = "single_label_classification"
    weights = to_theirs(table(config.depth, config.width, bool(classes)), dict(model.named_parameters()))
    return values, {**weights, SEGMENTS: torch.zeros(2, config.width)}


def read(options: Options, weights: Weights, architecture: str, tokenizer: Tokenizer | None) -> Found:
    """Return the same model for a checkpoint.

    Raises:
        InputError: naming the option or weight that ours do not have.
    """
    masked = architecture == MASKED
    width, depth = options.get("hidden_size", int), options.get("num_hidden_layers", int)
    options.expect("position_embedding_type", "absolute", "absolute")
    options.expect("is_decoder", False, False)
    options.expect("add_cross_attention", False, False)
    options.expect("tie_word_embeddings", True, True)
    options.expect("problem_type", "single_label_classification", "single_label_classification")
    options.get("type_vocab_size", int, 2)
    names = NAMES if not masked else {"gelu": "gelu"}  # our output head always has GELU
    config = {
        "family": "bert", "objective": "masked" if masked else "classes", "seqlen": options.get("max_position_embeddings", int),
        "width": width, "depth": depth, "heads": options.get("num_attention_heads", int),
        "hidden": options.get("intermediate_size", int), "mlp": options.choose("hidden_act", names, "gelu"),
        "eps": options.get("layer_norm_eps", float, 1e-12),
    }  # fmt: skip
    labels = options.get("id2label", dict, {})  # of no meaning under the head for masked tokens
    weights.rename(".LayerNorm.gamma", ".LayerNorm.weight")  # as the first BERTs were saved
    weights.rename(".LayerNorm.beta", ".LayerNorm.bias")
    unused = weights.drop(
        lambda name: name.startswith("cls.seq_relationship.") or (masked and name.startswith("bert.pooler."))
    )
    weights.drop(lambda name: name.endswith("embeddings.position_ids"))  # 0, 1, 2, …
    segments = weights.take(SEGMENTS)
    found = weights.to_ours(table(depth, width, not masked))
    found["positions.weight"] = found["positions.weight"] + segments[0]
    notes = [f"left out, which this model does not use: {', '.join(unused)}"] if unused else []
    if len(segments) > 1 and segments.any():
        notes.append("texts are read as one segment: the embedding of the others is left out")
    if masked:
        weights.take_copy("cls.predictions.decoder.weight", found["tokens.weight"])
        weights.take_copy("cls.predictions.decoder.bias", found["head_bias"])
        classes = []
    else:
        classes = [labels.get(str(i), f"LABEL_{i}") for i in range(len(found["classify.weight"]))]
    vocab = len(found["tokens.weight"])
    options.expect("vocab_size", vocab, vocab)
    config["vocab_size"], note = _special_tokens(found, tokenizer)
    return Found(config, {"vocab_size": config["vocab_size"], "classes": classes}, found, (*notes, note))


def _special_tokens(weights: dict[str, Tensor], tokenizer: Tokenizer | None) -> tuple[int, str]:
    """Put the special tokens last if they are not; return the size of the vocabulary without them, and a note."""
    embedding = weights["tokens.weight"]
    own = len(embedding) - len(SPECIAL)
    theirs = [None if tokenizer is None else tokenizer.token_to_id(token) for token in THEIR_SPECIAL]
    if tokenizer is not None and ends_in_ours(tokenizer, own):
        return own, f"special tokens: {', '.join(SPECIAL)}, the last of the vocabulary"
    if any(i is None or i >= len(embedding) for i in theirs):
        return own, "no tokenizer with [MASK], [CLS] and [PAD]: the last three of the vocabulary stand for them"
    weights["tokens.weight"] = torch.cat([embedding, embedding[theirs]])
    if "head_bias" in weights:
        weights["head_bias"] = torch.cat([weights["head_bias"], torch.full((len(theirs),), UNSAID)])
    return len(embedding), "special tokens: copies of [MASK], [CLS] and [PAD], behind the vocabulary"
