"""What cannot be exported or imported is refused by its name, in one line, and nothing is left behind."""

import json
import shutil
from functools import cache

import pytest
import torch
from safetensors.torch import load_file, save_file

from laimbench.cli import main
from laimbench.deploy.export import compare, export_transformers, read_transformers
from laimbench.errors import InputError, RunError
from laimbench.train import RunConfig, Trainer, load_checkpoint
from tests.deploy.export_cases import GPTS, OTHERS, make, model_of


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("gpt2", {"positions": "rotary"}, "norm is layer, which LlamaForCausalLM does not have, expected rms"),
        ("gpt2", {"norm": "rms"}, "norm is rms, which GPT2LMHeadModel"),
        ("gpt2", {"mlp": "swiglu"}, "mlp is swiglu, which GPT2LMHeadModel"),
        ("gpt2", {"kv_heads": 2}, "kv_heads is 2, which GPT2LMHeadModel does not have, expected 4"),
        ("llama", {"mlp": "gelu"}, "mlp is gelu, which LlamaForCausalLM"),
        ("bert", {"mlp": "relu"}, "mlp is relu, which BertForMaskedLM"),
        *((name, {}, "expected gpt or bert") for name in OTHERS),
    ],
)
def test_models_that_a_layout_cannot_express(name, options, message, tmp_path):
    checkpoint = load_checkpoint(make(name, tmp_path / "model", **options))
    with pytest.raises(InputError, match=message):
        export_transformers(checkpoint, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """Return a folder with a checkpoint and its export, made once for each name."""

    @cache
    def of(name):
        both = tmp_path_factory.mktemp(name)
        export_transformers(load_checkpoint(make(name, both / "model"), "torch"), both / "out")
        return both

    return of


@pytest.fixture
def folder(request, exports, tmp_path):
    """A copy of an export, beside one of its checkpoint, to do damage to."""
    shutil.copytree(exports(getattr(request, "param", "llama")), tmp_path, dirs_exist_ok=True)
    return tmp_path / "out"


def change(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize(
    ("folder", "values", "message"),
    [
        ("llama", {"architectures": ["MistralForCausalLM"]}, "architectures is 'MistralForCausalLM'"),
        ("llama", {"architectures": ["LlamaForCausalLM", "X"]}, "architectures is"),
        ("llama", {"architectures": None, "model_type": "t5"}, "architectures is 't5'"),
        ("llama", {"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_scaling is"),
        ("llama", {"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5}}, "rope_parameters is"),
        ("llama", {"rope_theta": 3.0}, "rope_theta is 3.0"),
        ("llama", {"sliding_window": 512}, "sliding_window is 512"),
        ("llama", {"attention_bias": True}, "attention_bias is True"),
        ("llama", {"mlp_bias": True}, "mlp_bias is True"),
        ("llama", {"head_dim": 16}, "head_dim is 16"),
        ("llama", {"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
        ("llama", {"quantization_config": {"bits": 4}}, "quantization_config is"),
        ("llama", {"hidden_size": None}, "hidden_size is missing"),
        ("llama", {"hidden_size": "32"}, "hidden_size is '32'"),
        ("llama", {"hidden_size": True}, "hidden_size is True"),
        ("llama", {"num_hidden_layers": 1}, "model.layers.1.* is not a weight"),
        ("llama", {"num_hidden_layers": 3}, "model.layers.2.* is missing"),
        ("llama", {"num_key_value_heads": 4}, "expected 32 rows"),
        ("llama", {"vocab_size": 7}, r"tokens.weight is \(300, 32\), expected \(7, 32\)"),
        ("llama", {"tie_word_embeddings": True}, "lm_head.weight is not the weight"),
        ("gpt2", {"activation_function": "silu"}, "activation_function is 'silu'"),
        ("gpt2", {"scale_attn_weights": False}, "scale_attn_weights is False"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx is True"),
        ("gpt2", {"add_cross_attention": True}, "add_cross_attention is True"),
        ("bert", {"position_embedding_type": "relative_key"}, "position_embedding_type is 'relative_key'"),
        ("bert", {"is_decoder": True}, "is_decoder is True"),
        ("bert", {"hidden_act": "relu"}, "hidden_act is 'relu'"),
        ("bert-classes", {"problem_type": "regression"}, "problem_type is 'regression'"),
    ],
    indirect=["folder"],
)  # fmt: skip
def test_options_that_ours_do_not_have(folder, values, message):
    change(folder, **values)
    with pytest.raises(InputError, match=message) as raised:
        read_transformers(folder)
    assert "\n" not in str(raised.value)


def test_pickles_are_not_read(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match="no weights"):
        read_transformers(folder)
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04cos\nsystem\n.")
    with pytest.raises(InputError, match=r"pytorch_model.bin: pickled weights can run code.*save_pretrained"):
        read_transformers(folder)


@pytest.mark.parametrize(
    "index", ["{", "[]", '{"weight_map": {"a": "../other.safetensors"}}', '{"weight_map": {"a": "x.bin"}}']
)
def test_a_wrong_index_is_named(folder, index):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(index)
    with pytest.raises(InputError, match=r"index\.json"):
        read_transformers(folder)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json"])
def test_damage_is_named(folder, file):
    (folder / file).write_bytes(b"{\xff")
    with pytest.raises(InputError, match=file):
        read_transformers(folder)


def test_an_export_that_differs_is_not_kept(tmp_path, monkeypatch):
    from laimbench.deploy.export import transformers_gpt2

    right = transformers_gpt2.to_theirs

    def wrong(table, parameters):
        weights = right(table, parameters)
        weights["transformer.h.0.mlp.c_proj.weight"].mul_(1.001)
        return weights

    monkeypatch.setattr(transformers_gpt2, "to_theirs", wrong)
    with pytest.raises(RunError, match="its logits differ"):
        export_transformers(load_checkpoint(make("gpt2", tmp_path / "model"), "torch"), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_not_a_number_is_not_equal():
    one = torch.ones(3)
    assert not compare.compare(one, one * float("nan"), one.double()).equal
    assert compare.compare(one, one, one.double()).equal


def test_an_export_replaces_an_export_and_nothing_else(folder, tmp_path, capsys):
    assert main(["export", str(tmp_path / "model"), str(folder)]) == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("{}")
    assert main(["export", str(tmp_path / "model"), str(tmp_path / "mine")]) == 2
    assert "something else" in capsys.readouterr().err and (tmp_path / "mine" / "config.json").read_text() == "{}"


def test_the_verbs_and_training_from_an_import(folder, tmp_path, corpus, capsys):
    capsys.readouterr()
    assert main(["export", str(tmp_path / "model"), str(tmp_path / "again"), "--json", "-"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["format"] == "transformers" and figures["error"] <= 2 * figures["own_error"] + 1e-5
    assert main(["import", str(folder), str(tmp_path / "back"), "--json", "-"]) == 0
    config = json.loads(capsys.readouterr().out)["config"]
    assert config["rope_base"] == 5e5 and config["eps"] == 1e-6 and config["kv_heads"] == 2
    tuned = Trainer(RunConfig.from_dict({
        **config, "start": str(tmp_path / "back"), "data": corpus, "tokenizer": str(tmp_path / "back" / "tokenizer.json"),
        "backend": "torch", "tokens": 200, "batch_size": 2, "evals": 1, "eval_tokens": 100,
    }))  # fmt: skip
    assert "weights are those of" in tuned.notes[-1] and "fresh" not in tuned.notes[-1]
    tokens = torch.arange(12)[None]
    assert torch.equal(tuned.model.logits(tokens), model_of(tmp_path / "model").logits(tokens))
    tuned.advance()
    assert main(["import", str(tmp_path / "model"), str(tmp_path / "no")]) == 2
    assert "not a model of transformers" in capsys.readouterr().err


@pytest.mark.parametrize("folder", GPTS, indirect=True)
def test_weights_in_half_precision_are_widened(folder):
    weights = {name: value.bfloat16() for name, value in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    model = read_transformers(folder, "torch").model
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    (name,) = (name for name in weights if "wte" in name or "embed_tokens" in name)
    assert torch.equal(model.tokens.weight, weights[name].float())
