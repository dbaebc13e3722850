"""``synthetic:`` sources: token processes whose entropy is known, the only ground truth that a fitted law can meet.

``synthetic:markov?order=2&states=64&concentration=0.3&seed=0&noise=0.05`` and likewise ``hmm``, ``pcfg``,
``zipf-bigram``; the options of each are the fields of its dataclass. docs/data.md has the mathematics.
"""

from functools import lru_cache

from laimbench.data.synthetic.hmm import HMMOptions, hmm
from laimbench.data.synthetic.markov import MarkovOptions, ZipfOptions, markov, zipf_bigram
from laimbench.data.synthetic.options import read_options
from laimbench.data.synthetic.pcfg import PCFGOptions, pcfg
from laimbench.data.synthetic.source import Bounds, SyntheticSource
from laimbench.data.synthetic.stream import SyntheticTokens
from laimbench.errors import InputError

KINDS = {
    "markov": (MarkovOptions, markov),
    "hmm": (HMMOptions, hmm),
    "pcfg": (PCFGOptions, pcfg),
    "zipf-bigram": (ZipfOptions, zipf_bigram),
}

__all__ = ["KINDS", "Bounds", "SyntheticSource", "SyntheticTokens", "load_synthetic"]


@lru_cache(maxsize=4)
def load_synthetic(source: str) -> SyntheticTokens:
    """Return the endless tokens of ``synthetic:KIND?key=value&...``.

    Raises:
        InputError: unknown kind or option, or a value out of its range.
    """
    kind, _, query = source.removeprefix("synthetic:").partition("?")
    if kind not in KINDS:
        raise InputError(f"data {source!r}: unknown kind {kind!r}, expected one of {', '.join(KINDS)}")
    options, make = KINDS[kind]
    return SyntheticTokens(make(source, read_options(options, source, query)))
