"""Everything that decides a run, as plain values that fit in JSON and TOML."""

from dataclasses import asdict, dataclass, fields
from typing import Any

from laimbench.data.operators import SOURCE as OPERATORS
from laimbench.errors import InputError, require_at_least_one
from laimbench.train.rules import FAMILIES, default_heads, default_lr, of_size
from laimbench.train.schedule import SCHEDULES

DTYPES = ("fp32", "bf16")
DEVICES = ("cpu", "cuda")
# Raised when a configuration comes to train another run than before, so that old runs are not taken for it: part of every run's key. Changes
# of speed or of rounding are none; what they do to learning is for `laimbench track` to say, which keeps a store for each commit.
TRAINING_VERSION = 1
# At their defaults not part of a run's key: older stores go on.
ADDED_LATER = ("tokenizer", "text_field", "kv_heads", "hidden", "norm", "mlp", "positions", "tied", "label_smoothing",
               "schedule", "image_size", "patch", "seconds", "objective", "start",
               "rope_base", "eps", "document_masks", "warmup_steps", "device")  # fmt: skip
# A mistake, or a damaged file, would build blocks until memory ends; DeepNet (Wang et al. 2022) has 1,000.
MOST_DEPTH = 2_000
OBJECTIVES = ("masked", "classes")
SHAPE_OPTIONS = {  # what a family can be asked for beyond width, depth and heads
    "kv_heads": ("gpt",),
    "hidden": ("gpt", "bert", "transformer", "vit", "audio"),
    "norm": ("gpt", "vit", "audio"),
    "mlp": ("gpt", "bert", "transformer", "vit", "audio"),
    "positions": ("gpt",),
    "rope_base": ("gpt",),
    "eps": ("gpt", "bert"),
    "patch": ("vit",),
    "objective": ("bert",),
    "document_masks": ("gpt",),
}


@dataclass(frozen=True)
class RunConfig:
    """One training run. 0 for ``heads`` and ``lr`` means: by the rules of ``laimbench.train.rules``.

    depth: blocks (on each side of "transformer"); linear layers of "mlp". kv_heads, hidden, norm, mlp, positions: of the
        blocks, 0 or "" for the family's own; see ``laimbench.models``. tied: whether a "gpt" shares its embedding.
    rope_base: of rotary positions; eps: of the norms; 0 for the family's own. Models from elsewhere need theirs.
    tokens: training tokens of "gpt" and "bert" (in steps of batch_size x seqlen); of the others samples (pairs, images, clips).
    dtype: "fp32", or "bf16" for autocast with fp32 master weights. device: "cuda", or "" for the CPU, which "cpu" becomes.
    vocab_size: of the tokenizer that is trained; of no effect with a ``tokenizer`` (path of a tokenizer.json) and on
        synthetic data. text_field: key or column of the text in JSON lines and Parquet.
    image_size, patch: of images from folders, and of a "vit" (0: a quarter of the image). seconds: of clips from folders.
    objective: of "bert", "masked" or "classes"; "" for classes of labelled sources, which ``builtin:operators`` is.
    document_masks: of "gpt" on text: attention stays within the documents of a packed window.
    label_smoothing: of "transformer". schedule: "" for the family's own. warmup_steps: instead of warmup_fraction; so that
        "wsd" runs of several token budgets share a trunk. start: a checkpoint to go on from (fine-tuning).
    evals: evaluations after the first, evenly spread, the last at the end; eval_tokens: tokens of validation text each
        (the others are evaluated on all that is held out, up to 500 items).
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
    kv_heads: int = 0
    hidden: int = 0
    norm: str = ""
    mlp: str = ""
    positions: str = ""
    tied: bool = True
    label_smoothing: float = 0.1
    schedule: str = ""
    image_size: int = 32
    patch: int = 0
    seconds: float = 1.0
    objective: str = ""
    start: str = ""
    rope_base: float = 0.0
    eps: float = 0.0
    document_masks: bool = False
    warmup_steps: int = 0
    device: str = ""

    def __post_init__(self):
        from laimbench.models.backends import BACKENDS

        for field in fields(self):
            value, kind = getattr(self, field.name), type(field.default)
            if isinstance(value, int) and abs(value) >= 2**63:  # which no store keeps
                raise InputError(f"{field.name} has {value.bit_length()} bits, expected a number below 2^63")
            if kind is float and isinstance(value, int) and not isinstance(value, bool):
                object.__setattr__(self, field.name, float(value))
            elif not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
                raise InputError(f"{field.name} is {value!r}, expected {_KINDS[kind]}")
        for name, choices in (("family", FAMILIES), ("backend", BACKENDS), ("dtype", DTYPES)):
            if getattr(self, name) not in choices:
                raise InputError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(choices)}")
        if self.device not in ("", *DEVICES):
            raise InputError(f"device is {self.device!r}, expected one of {', '.join(DEVICES)}")
        if self.device == "cpu":  # the same run as those from before there was a choice
            object.__setattr__(self, "device", "")
        if self.schedule and self.schedule not in SCHEDULES:
            raise InputError(f"schedule is {self.schedule!r}, expected one of {', '.join(SCHEDULES)}")
        if self.objective not in ("", *OBJECTIVES):
            raise InputError(f"objective is {self.objective!r}, expected one of {', '.join(OBJECTIVES)}")
        for name, families in SHAPE_OPTIONS.items():
            if getattr(self, name) and self.family not in families:
                raise InputError(f"{name} is {getattr(self, name)!r}, which family {self.family} does not have")
        if self.document_masks and self.backend.endswith("compile"):
            raise InputError(
                f"backend is {self.backend!r}, expected laim or torch with document_masks: shapes differ from batch to batch"
            )
        require_at_least_one(
            self, "width", "depth", "seqlen", "batch_size", "tokens", "evals", "eval_tokens", "image_size"
        )
        if self.depth > MOST_DEPTH:
            raise InputError(f"depth is {self.depth}, expected 1 to {MOST_DEPTH}")
        for name in ("heads", "kv_heads", "hidden", "patch", "seconds", "seed", "lr", "warmup_steps", "weight_decay", "grad_clip", "rope_base",
                     "eps"):  # fmt: skip
            if not 0 <= getattr(self, name) < float("inf"):
                raise InputError(f"{name} is {getattr(self, name)}, expected 0 or more")
        for name in ("warmup_fraction", "label_smoothing"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} is {getattr(self, name)}, expected 0 to 1")
        if self.family != "mlp" and self.width % self.head_count:
            raise InputError(f"width {self.width} is not a multiple of heads {self.head_count}")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "RunConfig":
        """Build from plain values; ``size`` stands for the values of ``rules.of_size``, data, tokens and batch_size that are not given are the family's own.

        Raises:
            InputError: for an unknown key or a wrong value.
        """
        known = [field.name for field in fields(cls)]
        for key in values:
            if key not in known and key != "size":
                raise InputError(f"unknown key {key!r}, expected one of size, {', '.join(known)}")
        if not isinstance(values.get("family", ""), str):
            raise InputError(f"family is {values['family']!r}, expected one of {', '.join(FAMILIES)}")
        if "size" in values:
            values = {**of_size(values.get("family", cls.family), values["size"]), **values}
            del values["size"]
        family = FAMILIES.get(values.get("family", cls.family))
        if family is not None:
            values = {"data": family.data, "tokens": family.tokens, "batch_size": family.batch_size, **values}
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def head_count(self) -> int:
        return self.heads or default_heads(self.width)

    @property
    def learning_rate(self) -> float:
        """Peak learning rate."""
        return self.lr or default_lr(self.family, self.width)

    @property
    def schedule_name(self) -> str:
        return self.schedule or FAMILIES[self.family].schedule

    @property
    def warmup_share(self) -> float:
        """The share of the run that warms up."""
        return self.warmup_steps / self.total_steps if self.warmup_steps else self.warmup_fraction

    @property
    def objective_name(self) -> str:
        return self.objective or ("classes" if self.data == OPERATORS else "masked")

    @property
    def tokens_per_step(self) -> int:
        return self.batch_size * (self.seqlen if FAMILIES[self.family].counts_tokens else 1)

    @property
    def total_steps(self) -> int:
        return max(1, round(self.tokens / self.tokens_per_step))

    @property
    def size(self) -> str:
        """A short name of the model's size, for example d2-w64."""
        return f"w{self.width}" if self.family == "mlp" and self.depth == 2 else f"d{self.depth}-w{self.width}"


_KINDS = {int: "an integer", float: "a number", str: "a string", bool: "true or false"}
