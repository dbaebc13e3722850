"""Tokens out of models: sampling and streaming from a GPT, beam search from a Transformer, both with their keys and
values cached; labels from an audio encoder.

Shapes: B sequences, V vocabulary. Sources: Fan et al. 2018 (top-k), Holtzman et al. 2020 (top-p), Nguyen et al. 2024 (min-p),
Wu et al. 2016 (length penalty of beams).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from laimbench.errors import InputError
from laimbench.models.audio import BLANK, AudioEncoder
from laimbench.models.cache import Cache
from laimbench.models.gpt import GPT
from laimbench.models.transformer import Transformer

SEEDS = 1 << 63
LEAST_TEMPERATURE = 1e-30
LENGTH_PENALTY = 0.6  # alpha of Wu et al. 2016, as in Vaswani et al. 2017, section 6.1


@dataclass(frozen=True)
class Sampling:
    """How a token is drawn. temperature: 0 takes the likeliest. top_k: of the k likeliest; 0: of all. top_p: of the fewest
    whose probabilities reach p. min_p: of those at least p times as likely as the likeliest. Each after the one before it.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    seed: int = 0

    def __post_init__(self):
        if not 0 <= self.temperature < float("inf"):
            raise InputError(f"temperature is {self.temperature}, expected 0 or more")
        if self.top_k < 0:
            raise InputError(f"top_k is {self.top_k}, expected 0 or more")
        if not 0 < self.top_p <= 1:
            raise InputError(f"top_p is {self.top_p}, expected above 0 to 1")
        if not 0 <= self.min_p <= 1:
            raise InputError(f"min_p is {self.min_p}, expected 0 to 1")
        if not 0 <= self.seed < SEEDS:
            raise InputError(f"seed is {self.seed}, expected 0 to {SEEDS - 1}")

    def filtered(self, logits: Tensor) -> Tensor:
        """Return the log-probabilities (B, V) that are drawn from, -inf where nothing is; needs a temperature above 0."""
        # The likeliest at 0, so that no temperature makes an infinity of it; below LEAST_TEMPERATURE fp32 has no other left.
        logits = logits.float()
        logits = (logits - logits.amax(-1, keepdim=True)) / max(self.temperature, LEAST_TEMPERATURE)
        if 0 < self.top_k < logits.shape[-1]:
            least = logits.topk(self.top_k).values[:, -1:]
            logits = logits.masked_fill(logits < least, -torch.inf)
        if self.top_p < 1:
            ordered, places = logits.softmax(-1).sort(descending=True, stable=True)
            beyond = ordered.cumsum(-1) - ordered >= self.top_p
            beyond[:, 0] = False  # the likeliest stays, though top_p may be 0 in fp32
            logits = logits.masked_fill(torch.zeros_like(beyond).scatter(-1, places, beyond), -torch.inf)
        if self.min_p:
            probabilities = logits.softmax(-1)
            least = self.min_p * probabilities.amax(-1, keepdim=True)
            logits = logits.masked_fill(probabilities < least, -torch.inf)
        return logits.log_softmax(-1)


@torch.no_grad()
def stream(
    model: GPT, prompts: list[list[int]], new_tokens: int, sampling: Sampling | None = None, end: int | None = None
) -> Iterator[list[int | None]]:
    """Yield, step by step, the next token of each prompt; None for one that has said ``end`` or is as long as the model reads.

    Each prompt has random numbers of its own: what it is continued with does not depend on its neighbours.

    Raises:
        InputError: an empty prompt, one longer than the model's seqlen, or a token outside the vocabulary.
    """
    sampling, config = sampling or Sampling(), model.config
    for prompt in prompts:
        if not 0 < len(prompt) <= config.seqlen:
            raise InputError(f"a prompt of {len(prompt)} tokens, expected 1 to {config.seqlen}")
        if not all(0 <= token < config.vocab_size for token in prompt):
            raise InputError(f"a prompt with tokens outside 0 to {config.vocab_size - 1}")
    if not prompts or new_tokens < 1:
        return
    lengths = torch.tensor([len(prompt) for prompt in prompts])
    tokens = torch.nn.utils.rnn.pad_sequence([torch.tensor(prompt) for prompt in prompts], batch_first=True)
    cache = Cache(config.depth, lengths, min(config.seqlen, int(lengths.max()) + new_tokens))
    generators = [torch.Generator().manual_seed((sampling.seed + row) % SEEDS) for row in range(len(prompts))]
    open_rows = [True] * len(prompts)
    h = model.hidden(tokens, cache)
    cache.advance(lengths)
    h = h[torch.arange(len(prompts)), lengths - 1]
    for _ in range(new_tokens):
        chosen = _draw(model.ops.linear(h, model.head.weight), sampling, generators)
        said = [int(token) if is_open else None for token, is_open in zip(chosen, open_rows, strict=True)]
        yield said
        # What was just said lies at place ``length``: there has to be one.
        open_rows = [
            token is not None and token != end and int(length) < config.seqlen
            for token, length in zip(said, cache.lengths, strict=True)
        ]
        if not any(open_rows):
            return
        # A closed row goes on in its last place: nobody looks at it.
        cache.position.lengths = cache.lengths.clamp(max=cache.layers[0].room - 1)
        h = model.hidden(chosen[:, None], cache)[:, 0]
        cache.advance(1)


def generate(
    model: GPT, prompts: list[list[int]], new_tokens: int, sampling: Sampling | None = None, end: int | None = None
) -> list[list[int]]:
    """Return the tokens that ``stream`` gives each prompt, without ``end``."""
    said: list[list[int]] = [[] for _ in prompts]
    for step in stream(model, prompts, new_tokens, sampling, end):
        for row, token in zip(said, step, strict=True):
            if token is not None and token != end:
                row.append(token)
    return said


def _draw(logits: Tensor, sampling: Sampling, generators: list[torch.Generator]) -> Tensor:
    if sampling.temperature == 0:
        return logits.argmax(-1)
    probabilities = sampling.filtered(logits).exp()
    return torch.cat([torch.multinomial(row, 1, generator=g) for row, g in zip(probabilities, generators, strict=True)])


@torch.no_grad()
def beam_search(
    model: Transformer, source_BS: Tensor, lengths_B: Tensor, most: int, *, begin: int, end: int, beams: int = 4
) -> list[list[int]]:
    """Return the best target of each source, without begin and end: of at most ``most`` tokens, by log-probability over
    ((5 + length) / 6)^0.6. One beam is greedy decoding.
    """
    if beams < 1:
        raise InputError(f"beams is {beams}, expected 1 or more")
    batch, device = len(source_BS), source_BS.device
    if not batch or most < 1:
        return [[] for _ in range(batch)]
    memory = model.encode(source_BS, lengths_B).repeat_interleave(beams, 0)
    memory_lengths = lengths_B.repeat_interleave(beams, 0)
    cache = Cache(model.config.depth, memory_lengths, most + 1)
    scores = torch.full((batch, beams), -torch.inf, device=device)
    scores[:, 0] = 0  # all beams are the same at first: one of them counts
    tokens = torch.full((batch, beams, 1), begin, device=device)
    ended = torch.zeros(batch, beams, dtype=torch.bool, device=device)
    lengths = torch.zeros(batch, beams, device=device)
    for _ in range(most):
        h = model.decode(tokens[:, :, -1].reshape(-1, 1), memory, memory_lengths, cache)
        cache.advance(1)
        said = model.output(h[:, 0]).float().log_softmax(-1).view(batch, beams, -1)
        vocab = said.shape[-1]
        # An ended beam has one continuation, itself: END again, at no cost.
        said = said.masked_fill(ended[..., None], -torch.inf)
        said[..., end] = torch.where(ended, 0.0, said[..., end])
        total = scores[..., None] + said
        grown = lengths + (~ended)
        normed = (total / _length_penalty(grown)[..., None]).flatten(1)
        best = normed.topk(beams).indices
        parents, chosen = best // vocab, best % vocab
        scores = total.flatten(1).gather(1, best)
        lengths, ended = grown.gather(1, parents), ended.gather(1, parents) | (chosen == end)
        tokens = torch.cat(
            [tokens.gather(1, parents[..., None].expand(-1, -1, tokens.shape[-1])), chosen[..., None]], -1
        )
        if ended.all():
            break
        cache.select((parents + beams * torch.arange(batch, device=device)[:, None]).flatten())
    best = (scores / _length_penalty(lengths)).argmax(1)
    rows = tokens[torch.arange(batch, device=device), best, 1:].tolist()
    return [row[: row.index(end)] if end in row else row for row in rows]


@torch.no_grad()
def ctc_greedy(model: AudioEncoder, frames_BTM: Tensor, lengths_B: Tensor) -> list[list[int]]:
    """Return the labels of each clip: the likeliest output of every step, repetitions and blanks taken out (Graves et al. 2006)."""
    best = model.logits(frames_BTM, lengths_B).argmax(-1)
    said = []
    for row, steps in zip(best, model.config.steps(lengths_B), strict=True):
        kept = torch.unique_consecutive(row[:steps])
        said.append(kept[kept != BLANK].tolist())
    return said


def _length_penalty(lengths: Tensor) -> Tensor:
    return ((5 + lengths) / 6) ** LENGTH_PENALTY
