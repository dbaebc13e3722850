"""Classes of images, sounds and texts by a checkpoint that tells them apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from laimbench.data.images import Images, load_images, read_image
from laimbench.data.labelled import Unusable
from laimbench.data.operators import SOURCE as OPERATORS
from laimbench.data.special import SpecialIds
from laimbench.data.tokenizer import vocabulary_size
from laimbench.deploy.clips import read_clip
from laimbench.deploy.fitting import check_text, expect_verb, own_tokenizer
from laimbench.errors import InputError
from laimbench.train.checkpoint import Checkpoint

DIGITS = "builtin:digits"
BLANK = "[MASK]"  # where the operator was, in a text for a model of builtin:operators
CHARACTERS_PER_TOKEN = 64  # of a text that are encoded at most, as in training
BATCH = 64


@dataclass(frozen=True)
class Classified:
    """The likeliest classes of an item with their probabilities, best first; note: a line about what was done to it."""

    item: str
    classes: tuple[tuple[str, float], ...]
    note: str = ""


class Classifier:
    """Tells items apart by a checkpoint of family "mlp", "vit", "audio" or "bert" with classes.

    Raises:
        InputError: another family, or a "bert" without its tokenizer.
    """

    def __init__(self, checkpoint: Checkpoint):
        expect_verb(checkpoint, "classify")
        self.model, self.config, self.facts = checkpoint.model, checkpoint.config, checkpoint.facts
        if self.config.family == "bert":
            self.tokenizer = own_tokenizer(checkpoint)
            self.special = SpecialIds(vocabulary_size(self.tokenizer))

    def classify(self, items: Sequence[str], top: int = 5) -> list[Classified]:
        """Return the ``top`` classes of each item: a path of an image or a wav file, ``builtin:digits:N`` (the held-out
        digit number N), or for a "bert" the text itself (of ``builtin:operators`` with [MASK] for the operator).

        Raises:
            InputError: an item that cannot be read.
        """
        if top < 1:
            raise InputError(f"top is {top}, expected 1 or more")
        read = {"bert": self._text, "audio": self._clip}.get(self.config.family, self._image)
        found = []
        for first in range(0, len(items), BATCH):
            batch = items[first : first + BATCH]
            inputs, notes = zip(*map(read, batch), strict=True)
            with torch.no_grad():
                probabilities = self.model.logits(*self._collate(inputs)).float().softmax(-1)
            values, classes = probabilities.topk(min(top, probabilities.shape[-1]))
            for item, note, row, numbers in zip(batch, notes, values.tolist(), classes.tolist(), strict=True):
                named = tuple((self.facts["classes"][n], p) for n, p in zip(numbers, row, strict=True))
                found.append(Classified(item, named, note))
        return found

    def _collate(self, inputs: Sequence[np.ndarray]) -> tuple[Tensor, ...]:
        """Return the arguments of the model's ``logits``."""
        if self.config.family == "mlp":
            return (torch.from_numpy(np.stack(inputs)).flatten(1),)
        if self.config.family == "vit":
            return (torch.from_numpy(np.stack(inputs)),)
        lengths = torch.tensor([len(one) for one in inputs])
        filling = self.special.pad if self.config.family == "bert" else 0.0
        padded = torch.nn.utils.rnn.pad_sequence(list(map(torch.from_numpy, inputs)), True, filling)
        return padded, lengths

    def _image(self, item: str) -> tuple[np.ndarray, str]:
        """Return (K, H, W) in [0, 1]."""
        size, colours = self.facts["image_size"], self.facts["colours"]
        if item.startswith(DIGITS):
            return self._digit(item), ""
        try:
            image = read_image(Path(item), size, colours)
        except Unusable as error:
            raise InputError(f"{item}: {error if Path(item).is_file() else 'no such file'}") from None
        except ModuleNotFoundError:
            raise InputError(f"{item}: images need Pillow: pip install 'laimbench[images]'") from None
        return image.transpose(2, 0, 1).astype(np.float32) / 255, ""

    @cached_property
    def _digits(self) -> Images:
        return load_images(DIGITS)

    def _digit(self, item: str) -> np.ndarray:
        digits = self._digits
        number = item.removeprefix(DIGITS).removeprefix(":")
        if not (number.isdecimal() and number.isascii() and int(number) < digits.validation_size):
            raise InputError(f"{item}: expected {DIGITS}:N with N from 0 to {digits.validation_size - 1}")
        image = digits.validation_batch(int(number), 1)[0][0]
        if image.shape != (self.facts["colours"], *2 * [self.facts["image_size"]]):
            raise InputError(f"{item}: an image of {image.shape[1:]}, expected a model trained on {DIGITS}")
        return image

    def _clip(self, item: str) -> tuple[np.ndarray, str]:
        return read_clip(Path(item), self.facts)

    def _text(self, item: str) -> tuple[np.ndarray, str]:
        """Return ids (S,): cls and the text, cut to what the model reads."""
        check_text(item, "text")
        most = self.config.seqlen
        if self.config.data == OPERATORS:
            ids = self._with_blank(item)
        else:
            cut = item[: CHARACTERS_PER_TOKEN * most]
            ids = [self.special.cls, *self.tokenizer.encode(cut, add_special_tokens=False).ids]
        note = f"cut to its first {most - 1} tokens" if len(ids) > most else ""
        return np.array(ids[:most], dtype=np.int64), note

    def _with_blank(self, item: str) -> list[int]:
        """Return cls, tokens before the blank, mask and tokens behind it, in the form that training has."""
        before, found, behind = item.partition(BLANK)
        if not found:
            raise InputError(f"text {item[:40]!r}: no {BLANK}, expected it in place of the operator in question")
        left, right = (
            self.tokenizer.encode(part, add_special_tokens=False).ids
            for part in (before.rstrip(" \t\r\n\\"), " " + behind.lstrip(" \t\r\n\\"))
        )
        return [self.special.cls, *left[-((self.config.seqlen - 2) // 2) :], self.special.mask, *right]
