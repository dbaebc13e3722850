"""One text from another: a checkpoint trained on pairs, by beam search."""

from collections.abc import Sequence

import numpy as np
import torch

from laimbench.data.pairs import BEGIN, END, load_pairs
from laimbench.deploy.fitting import expect_verb
from laimbench.models.decoding import beam_search
from laimbench.train.checkpoint import Checkpoint

BATCH = 32


class Translator:
    """Writes the target of texts by a checkpoint of family "transformer", in the characters of the pairs it learned.

    Raises:
        InputError: another family.
    """

    def __init__(self, checkpoint: Checkpoint):
        expect_verb(checkpoint, "translate")
        self.model, self.pairs = checkpoint.model, load_pairs(checkpoint.config.data)

    def translate(self, texts: Sequence[str], beams: int = 4) -> list[str]:
        """Return the best target of each text that beam search finds.

        Raises:
            InputError: beams below 1, a character that the model has not learned, or a text longer than any of training.
        """
        targets = []
        for first in range(0, len(texts), BATCH):
            batch = self.pairs.encode([(text, "") for text in texts[first : first + BATCH]])
            source, lengths = torch.from_numpy(batch.source), torch.from_numpy(batch.source_lengths)
            found = beam_search(self.model, source, lengths, self.pairs.max_target, begin=BEGIN, end=END, beams=beams)
            targets += [self.pairs.decode(np.array(row, dtype=np.int64)) for row in found]
        return targets
