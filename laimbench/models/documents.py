"""Attention within documents only: packed windows hold several documents, and none should see another.

Everything but attention works on the window as it is. For attention the documents are gathered into rows of their own, those of similar
length together, and its results are put back: causal attention over a document followed by padding needs no further mask, and what
lies between documents costs nothing.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Documents:
    """Where the documents of B windows of S tokens lie.

    rows: of each group of similar length, (N, L) places among the B x S tokens, padded with whatever follows; places (B x S,): where each
    token's result is among the groups' results, one after the other.
    """

    rows: tuple[Tensor, ...]
    places: Tensor

    @classmethod
    def of(cls, tokens_BS: Tensor, end: int) -> "Documents":
        """Find the documents of windows: one begins with the window and after each token ``end``."""
        begins = torch.ones_like(tokens_BS, dtype=torch.bool)
        begins[:, 1:] = tokens_BS[:, :-1] == end
        total, device = tokens_BS.numel(), tokens_BS.device
        first = begins.flatten().nonzero()[:, 0]
        lengths = torch.diff(first, append=first.new_tensor([total]))
        # Lengths up to 1, 2, 4, 8, … together: padding at most doubles a document.
        group = torch.ceil(torch.log2(lengths.double())).long()
        rows, places, base = [], torch.empty(total, dtype=torch.long, device=device), 0
        for number in group.unique().tolist():
            here, size = first[group == number], lengths[group == number]
            width = int(size.max())
            inside = torch.arange(width, device=device)
            row = here[:, None] + inside
            real = inside < size[:, None]
            places[row[real]] = (base + torch.arange(row.numel(), device=device).view_as(row))[real]
            rows.append(row.clamp(max=total - 1))
            base += row.numel()
        return cls(tuple(rows), places)

    def split(self, x_BHSD: Tensor) -> list[Tensor]:
        """Return each group's (N, H, L, D)."""
        flat = x_BHSD.transpose(1, 2).flatten(0, 1)
        return [flat[row].transpose(1, 2) for row in self.rows]

    def join(self, parts_NHLD: list[Tensor], batch: int) -> Tensor:
        """Return the groups' results as (B, H, S, D)."""
        flat = torch.cat([part.transpose(1, 2).flatten(0, 1) for part in parts_NHLD])
        return flat[self.places].unflatten(0, (batch, -1)).transpose(1, 2)
