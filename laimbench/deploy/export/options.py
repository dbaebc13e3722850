"""The options of a config.json: every one is read, expected to be what our models do, known to change no logit, or refused."""

from pathlib import Path
from typing import Any

from laimbench.errors import InputError

REQUIRED = object()
# They change no logit of a trained model: names, tokens' ids, dropout, how weights were first drawn, what is returned.
HARMLESS = frozenset(
    [
        "architectures",
        "model_type",
        "transformers_version",
        "laimbench_version",
        "_name_or_path",
        "name_or_path",
        "dtype",
        "torch_dtype",
        "use_cache",
        "bos_token_id",
        "eos_token_id",
        "pad_token_id",
        "sep_token_id",
        "cls_token_id",
        "unk_token_id",
        "decoder_start_token_id",
        "initializer_range",
        "task_specific_params",
        "gradient_checkpointing",
        "return_dict",
        "output_attentions",
        "output_hidden_states",
        "torchscript",
        "attention_dropout",
        "attn_pdrop",
        "embd_pdrop",
        "resid_pdrop",
        "hidden_dropout_prob",
        "attention_probs_dropout_prob",
        "classifier_dropout",
        "summary_activation",
        "summary_first_dropout",
        "summary_proj_to_labels",
        "summary_type",
        "summary_use_proj",
        "pretraining_tp",
        "n_ctx",
        "label2id",
        "reorder_and_upcast_attn",
    ]
)


class Options:
    """The content of ``path``; what is never asked for and not HARMLESS is refused by ``finish``."""

    def __init__(self, path: Path, values: dict[str, Any]):
        self.path, self.values, self._asked = path, values, set(HARMLESS)

    def get(self, name: str, kind: type, default: Any = REQUIRED) -> Any:
        """Return an option of this kind; null stands for the default.

        Raises:
            InputError: it is missing, or something else.
        """
        self._asked.add(name)
        value = self.values.get(name)
        if value is None:
            if default is REQUIRED:
                raise InputError(f"{self.path}: {name} is missing")
            return default
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise InputError(f"{self.path}: {name} is {value!r}, expected {kind.__name__}")
        return value

    def expect(self, name: str, expected: Any, default: Any) -> None:
        """Refuse every other value; ``default`` is what the layout means where the option is not there."""
        self._asked.add(name)
        value = self.values.get(name)
        self.refuse_unless((default if value is None else value) == expected, name, f"expected {expected!r}")

    def choose(self, name: str, choices: dict[str, str], default: str) -> str:
        """Return what a value is called here."""
        value = self.get(name, str, default)
        self.refuse_unless(value in choices, name, f"expected one of {', '.join(choices)}")
        return choices[value]

    def refuse_unless(self, fine: bool, name: str, expected: str) -> None:
        if not fine:
            raise InputError(f"{self.path}: {name} is {self.values.get(name)!r}, which cannot be imported; {expected}")

    def finish(self) -> None:
        """Refuse the first option that nobody knows and that is set."""
        for name, value in self.values.items():
            self.refuse_unless(name in self._asked or value in (None, {}, []), name, "the option is not known")
