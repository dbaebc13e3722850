"""Keys and values of the tokens so far, so that a new token costs one step and not a whole forward pass."""

import torch
from torch import Tensor


class Position:
    """How many tokens of each sequence (B,) are in the caches of all layers."""

    def __init__(self, lengths: Tensor):
        self.lengths = lengths


class LayerCache:
    """One layer's keys and values (B, Hkv, room, D), filled from the left; sequences may differ in length.

    The first call takes all prompts, padded on the right to one length; each later one takes a token per sequence.
    ``memory`` holds the keys and values of an encoder's output.
    """

    def __init__(self, position: Position, room: int):
        self.position, self.room = position, room
        self.keys: Tensor | None = None
        self.values: Tensor | None = None
        self.memory: tuple[Tensor, Tensor] | None = None

    def extend(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, bool, Tensor | None]:
        """Take in keys and values; return what the queries see: keys, values, whether causally, and key lengths.

        Padding after a prompt is never seen: it lies in the prompt's future, and the tokens that follow overwrite it.
        """
        batch, heads, new, size = k.shape
        if self.keys is None:
            self.keys, self.values = (t.new_zeros(batch, heads, self.room, size) for t in (k, v))
            self.keys[:, :, :new], self.values[:, :, :new] = k, v
            return k, v, True, None
        rows, lengths = torch.arange(batch, device=k.device), self.position.lengths
        self.keys[rows, :, lengths], self.values[rows, :, lengths] = k[:, :, 0], v[:, :, 0]
        longest = int(lengths.max()) + 1
        return self.keys[:, :, :longest], self.values[:, :, :longest], False, lengths + 1

    def select(self, rows: Tensor) -> None:
        """Keep these sequences, in this order; a sequence may come more than once (beams)."""
        self.keys, self.values = self.keys[rows], self.values[rows]
        if self.memory is not None:
            self.memory = self.memory[0][rows], self.memory[1][rows]


class Cache:
    """The caches of a stack of ``depth`` layers for prompts of ``lengths`` (B,) and up to ``room`` tokens each."""

    def __init__(self, depth: int, lengths: Tensor, room: int):
        self.position = Position(torch.zeros_like(lengths))
        self.layers = [LayerCache(self.position, room) for _ in range(depth)]

    @property
    def lengths(self) -> Tensor:
        return self.position.lengths

    @property
    def empty(self) -> bool:
        return self.layers[0].keys is None

    def positions(self, new: int) -> Tensor:
        """Return the positions (B, new) of the tokens that come next."""
        return self.lengths[:, None] + torch.arange(new, device=self.lengths.device)

    def advance(self, lengths: Tensor | int) -> None:
        """Count the tokens of the call that is over: a prompt's lengths (B,), or 1."""
        self.position.lengths = self.position.lengths + lengths

    def select(self, rows: Tensor) -> None:
        for layer in self.layers:
            layer.select(rows)
        self.position.lengths = self.position.lengths[rows]
