"""Strings that end a text, found across the borders of its pieces."""

from collections.abc import Sequence

from laimbench.errors import InputError


class StopStrings:
    """Pass on the pieces of one text up to the first stop string, which is left out.

    What may be the beginning of a stop string is held back until the next piece tells.

    Raises:
        InputError: an empty stop string, which would end every text before it begins.
    """

    def __init__(self, stops: Sequence[str]):
        if not all(stops):
            raise InputError("a stop string is empty, expected at least one character")
        self._stops, self._held = tuple(stops), ""

    def add(self, piece: str) -> tuple[str, bool]:
        """Return the text that is certain now, and whether a stop string has come."""
        text = self._held + piece
        places = [place for stop in self._stops if (place := text.find(stop)) >= 0]
        if places:
            self._held = ""
            return text[: min(places)], True
        kept = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept], False

    def rest(self) -> str:
        """Return what was held back; the text is over."""
        return self._held


def _overlap(text: str, stop: str) -> int:
    """Return the length of the longest end of ``text`` that ``stop`` begins with."""
    return next((n for n in range(min(len(text), len(stop) - 1), 0, -1) if text.endswith(stop[:n])), 0)
