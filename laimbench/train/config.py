"""Everything that decides a run, as plain values that fit in JSON and TOML."""

from dataclasses import asdict, dataclass, fields
from typing import Any

from laimbench.errors import InputError

FAMILIES = ("gpt", "mlp")
DTYPES = ("fp32", "bf16")
ADDED_LATER = ("tokenizer", "text_field")  # at their defaults not part of a run's key: older stores go on


@dataclass(frozen=True)
class RunConfig:
    """One training run. 0 for ``heads`` and ``lr`` means: by the rule of ``head_count`` and ``learning_rate``.

    tokens: training tokens (samples for "mlp"), rounded to whole steps of batch_size x seqlen (batch_size for "mlp").
    dtype: "fp32", or "bf16" for autocast with fp32 master weights.
    vocab_size: of the tokenizer that is trained; of no effect with a ``tokenizer`` (path of a tokenizer.json) and on
        synthetic data. text_field: key or column of the text in JSON lines and Parquet.
    evals: evaluations after the first, evenly spread, the last at the end; eval_tokens: tokens of validation text each.
    """

    family: str = "gpt"
    width: int = 128
    depth: int = 2
    heads: int = 0
    data: str = "builtin:python"
    vocab_size: int = 1024
    tokenizer: str = ""
    text_field: str = "text"
    seqlen: int = 128
    batch_size: int = 8
    tokens: int = 200_000
    backend: str = "laim"
    dtype: str = "fp32"
    seed: int = 0
    lr: float = 0.0
    warmup_fraction: float = 0.1
    weight_decay: float = 0.1
    grad_clip: float = 1.0
    evals: int = 8
    eval_tokens: int = 16_384

    def __post_init__(self):
        from laimbench.models.backends import BACKENDS

        for field in fields(self):
            value, kind = getattr(self, field.name), type(field.default)
            if kind is float and isinstance(value, int) and not isinstance(value, bool):
                object.__setattr__(self, field.name, float(value))
            elif not isinstance(value, kind) or isinstance(value, bool):
                raise InputError(f"{field.name} is {value!r}, expected {_KINDS[kind]}")
        for name, choices in (("family", FAMILIES), ("backend", BACKENDS), ("dtype", DTYPES)):
            if getattr(self, name) not in choices:
                raise InputError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(choices)}")
        for name in ("width", "depth", "seqlen", "batch_size", "tokens", "evals", "eval_tokens"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}, expected 1 or more")
        for name in ("heads", "seed", "lr", "weight_decay", "grad_clip"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise InputError(f"{name} is {getattr(self, name)}, expected 0 or more")
        if not 0 <= self.warmup_fraction <= 1:
            raise InputError(f"warmup_fraction is {self.warmup_fraction}, expected 0 to 1")
        if self.family == "gpt" and self.width % self.head_count:
            raise InputError(f"width {self.width} is not a multiple of heads {self.head_count}")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "RunConfig":
        """Build from plain values.

        Raises:
            InputError: for an unknown key or a wrong value.
        """
        known = [field.name for field in fields(cls)]
        for key in values:
            if key not in known:
                raise InputError(f"unknown key {key!r}, expected one of {', '.join(known)}")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def head_count(self) -> int:
        """Heads: as given, else of size 32 up to width 128 and 64 above."""
        return self.heads or max(1, self.width // (32 if self.width <= 128 else 64))

    @property
    def learning_rate(self) -> float:
        """Peak learning rate: as given, else 1e-3 for "mlp" and 1.5e-3 (128 / width)^0.5 for "gpt"."""
        return self.lr or (1e-3 if self.family == "mlp" else 1.5e-3 * (128 / self.width) ** 0.5)

    @property
    def tokens_per_step(self) -> int:
        return self.batch_size * (self.seqlen if self.family == "gpt" else 1)

    @property
    def total_steps(self) -> int:
        return max(1, round(self.tokens / self.tokens_per_step))

    @property
    def size(self) -> str:
        """A short name of the model's size, for example d2-w64."""
        return f"d{self.depth}-w{self.width}" if self.family == "gpt" else f"w{self.width}"


_KINDS = {int: "an integer", float: "a number", str: "a string"}
