"""tokenizer.json and tokenizer_config.json, as transformers' AutoTokenizer reads them and as a checkpoint has them."""

import json
from typing import Any

from tokenizers import Tokenizer, processors

from laimbench.data.special import SpecialIds
from laimbench.data.tokenizer import END_OF_DOCUMENT, KNOWN_ENDS
from laimbench.errors import InputError
from laimbench.train.checkpoint import TOKENIZER

SPECIAL = ("<|mask|>", "<|cls|>", "<|pad|>")  # in the order of SpecialIds


def written(content: str, vocab_size: int, seqlen: int, encoder: bool) -> tuple[str, dict[str, Any], int | None]:
    """Return both files of a checkpoint's tokenizer and the id that ends a document. An encoder's has the special tokens too and
    begins every text with the first of its sequence.

    Raises:
        InputError: their ids would not be those of the model.
    """
    tokenizer = Tokenizer.from_str(content)
    end = next((token for token in KNOWN_ENDS if tokenizer.token_to_id(token) is not None), END_OF_DOCUMENT)
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": seqlen, "eos_token": end, "bos_token": end,
        "clean_up_tokenization_spaces": False,
    }  # fmt: skip
    if encoder:
        ids = SpecialIds(vocab_size)
        tokenizer.add_special_tokens(list(SPECIAL))
        if not ends_in_ours(tokenizer, vocab_size):
            raise InputError(
                f"{TOKENIZER}: has not the {vocab_size} tokens of the model before its special tokens; "
                "take it out of the checkpoint to export without"
            )
        _, first, _ = SPECIAL
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{first} $A", special_tokens=[(first, ids.cls)]
        )
        config |= dict(zip(("mask_token", "cls_token", "pad_token"), SPECIAL, strict=True))
        content = tokenizer.to_str()
    return content, config, tokenizer.token_to_id(end)


def ends_in_ours(tokenizer: Tokenizer, vocab_size: int) -> bool:
    """Return whether our special tokens have the ids that lie behind the vocabulary."""
    return [tokenizer.token_to_id(token) for token in SPECIAL] == list(range(vocab_size, vocab_size + len(SPECIAL)))


def without_special(content: str, vocab_size: int) -> str:
    """Return the tokenizer without our special tokens, as it was before ``written``."""
    if not ends_in_ours(Tokenizer.from_str(content), vocab_size):
        return content
    values = json.loads(content)
    values["added_tokens"] = [token for token in values["added_tokens"] if token["content"] not in SPECIAL]
    values["post_processor"] = None
    return json.dumps(values, ensure_ascii=False, indent=2)
