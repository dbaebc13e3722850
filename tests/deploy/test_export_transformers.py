"""Exports as transformers reads them, and its own models as we read them: same logits, same loss, same tokens."""

import json
import os
from dataclasses import replace

import pytest
import torch

from laimbench.data.special import SpecialIds
from laimbench.deploy.export import export_transformers, import_transformers, read_transformers
from laimbench.deploy.export.logits import logits_of
from laimbench.train import load_checkpoint
from tests.deploy.export_cases import BERTS, GPTS, SMALL, judge, make, model_of


@pytest.fixture(scope="module")
def hf():
    """Return transformers, which never asks the network here."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    return pytest.importorskip("transformers")


@pytest.fixture(scope="module", params=[*GPTS, *BERTS])
def exported(request, tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp(request.param)
    folder = make(request.param, tmp_path / "model")
    comparison = export_transformers(load_checkpoint(folder, "torch"), tmp_path / "out")
    assert comparison.difference <= comparison.allowed
    return request.param, folder, tmp_path / "out"


def auto_class(hf, name):
    if name in GPTS:
        return hf.AutoModelForCausalLM
    return hf.AutoModelForMaskedLM if name == "bert" else hf.AutoModelForSequenceClassification


def loaded(hf, name, folder, dtype=torch.float32):
    model, info = auto_class(hf, name).from_pretrained(folder, output_loading_info=True, dtype=dtype)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys")), info
    return model.eval()


@torch.no_grad()
def test_transformers_computes_the_same(hf, exported):
    name, folder, out = exported
    ours, theirs, exact = logits_of(model_of(folder)), loaded(hf, name, out), loaded(hf, name, out, torch.float64)
    tokens, *lengths = ours.sample(3, SMALL["seqlen"])
    options = {}
    if lengths:
        options["attention_mask"] = (torch.arange(tokens.shape[1]) < lengths[0][:, None]).long()
    own, found, truth = ours(tokens, *lengths), theirs(tokens, **options), exact(tokens, **options)
    judge(own, found.logits, truth.logits)
    if name in GPTS:
        own_loss, labels = ours.model(tokens[:, :-1], tokens[:, 1:]), tokens
    elif name == "bert":
        positions = torch.tensor([[1, 5, 9]] * 3)
        labels = torch.full_like(tokens, -100).scatter(1, positions, tokens.gather(1, positions))
        own_loss = ours.model(tokens, positions, tokens.gather(1, positions))
    else:
        labels = torch.tensor([0, 2, 1])
        own_loss = ours.model(tokens, lengths[0], labels)
    their_loss = theirs(tokens, labels=labels, **options).loss
    true_loss = exact(tokens, labels=labels, **options).loss.double()
    assert abs(their_loss - true_loss) <= 2 * abs(own_loss - true_loss) + 1e-6 * true_loss


def test_the_tokenizer_encodes_alike(hf, exported):
    name, folder, out = exported
    ours = load_checkpoint(folder)
    from tokenizers import Tokenizer

    ids = Tokenizer.from_file(str(ours.tokenizer_path)).encode("def f(x): return x + 1\n").ids
    special = SpecialIds(ours.facts["vocab_size"])
    for tokenizer in (hf.AutoTokenizer.from_pretrained(out), hf.PreTrainedTokenizerFast.from_pretrained(out)):
        encoded = tokenizer("def f(x): return x + 1\n")["input_ids"]
        assert encoded == (ids if name in GPTS else [special.cls, *ids])
        assert tokenizer.eos_token == "<|end|>" and tokenizer.decode(ids) == "def f(x): return x + 1\n"
        if name in BERTS:
            found = [tokenizer.mask_token_id, tokenizer.cls_token_id, tokenizer.pad_token_id]
            assert found == [special.mask, special.cls, special.pad]
    assert loaded(hf, name, out).config.eos_token_id == tokenizer.eos_token_id


def test_an_export_comes_back_bit_for_bit(exported, tmp_path):
    _, folder, out = exported
    found = import_transformers(out, tmp_path / "back")
    before, after = load_checkpoint(folder), load_checkpoint(tmp_path / "back")
    assert after.facts == before.facts and not found.notes[1:]
    shapes = [
        replace(
            m.config,
            hidden=m.config.block.hidden,
            **({"kv_heads": m.config.block.kv_heads} if hasattr(m.config, "kv_heads") else {}),
        )
        for m in (before.model, after.model)
    ]  # 0 stands for the family's own
    assert shapes[0] == shapes[1]
    for (name, p), q in zip(before.model.named_parameters(), after.model.named_parameters(), strict=True):
        assert name == q[0] and torch.equal(p, q[1]), name
    assert json.loads(after.tokenizer_path.read_text()) == json.loads(before.tokenizer_path.read_text())


def test_labels_are_named(hf, tmp_path):
    export_transformers(load_checkpoint(make("bert-classes", tmp_path / "model")), tmp_path / "out")
    config = hf.AutoConfig.from_pretrained(tmp_path / "out")
    assert config.id2label == {0: "no", 1: "yes", 2: "perhaps"} and config.label2id["perhaps"] == 2


THEIRS = {
    "gpt2": ("GPT2LMHeadModel", "GPT2Config", {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 50, "n_positions": 24}),
    "llama": ("LlamaForCausalLM", "LlamaConfig", {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
              "num_key_value_heads": 2, "intermediate_size": 48, "vocab_size": 50, "rope_theta": 2e5}),
    "llama-tied": ("LlamaForCausalLM", "LlamaConfig", {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4,
                   "intermediate_size": 48, "vocab_size": 50, "tie_word_embeddings": True}),
    "bert": ("BertForMaskedLM", "BertConfig", {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
             "intermediate_size": 48, "vocab_size": 50, "max_position_embeddings": 24}),
    "bert-classes": ("BertForSequenceClassification", "BertConfig", {"hidden_size": 32, "num_hidden_layers": 2,
                     "num_attention_heads": 4, "intermediate_size": 48, "vocab_size": 50, "max_position_embeddings": 24,
                     "num_labels": 3, "hidden_act": "gelu_new"}),
}  # fmt: skip


def saved(hf, name, folder, **options):
    architecture, config, values = THEIRS[name]
    torch.manual_seed(1)
    model = getattr(hf, architecture)(getattr(hf, config)(**values, initializer_range=0.2))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    model.eval().save_pretrained(folder, **options)
    return model


@torch.no_grad()
@pytest.mark.parametrize("name", THEIRS)
@pytest.mark.parametrize("shards", [False, True])
def test_their_models_compute_the_same_here(hf, name, shards, tmp_path):
    theirs = saved(hf, name, tmp_path / "theirs", **({"max_shard_size": "20KB"} if shards else {}))
    assert (tmp_path / "theirs" / "model.safetensors.index.json").exists() == shards
    import_transformers(tmp_path / "theirs", tmp_path / "ours")
    ours = logits_of(model_of(tmp_path / "ours"))
    tokens, *lengths = ours.sample(3, 20)
    tokens = tokens.clamp(max=49)
    mask = (torch.arange(20) < lengths[0][:, None]).long() if lengths else torch.ones_like(tokens)
    found = theirs(tokens, attention_mask=mask).logits
    exact = theirs.double()(tokens, attention_mask=mask).logits
    judge(found, ours(tokens, *lengths), exact)
    again = export_transformers(load_checkpoint(tmp_path / "ours", "torch"), tmp_path / "again")
    back = auto_class(hf, name if name in BERTS else "gpt2").from_pretrained(tmp_path / "again").eval()
    judge(found, back(tokens, attention_mask=mask).logits, exact)
    assert again.equal


@torch.no_grad()
def test_their_special_tokens_are_copied_behind_the_vocabulary(hf, tmp_path):
    from tokenizers import Tokenizer, models

    theirs = saved(hf, "bert", tmp_path / "theirs")
    words = {"[PAD]": 0, "[CLS]": 3, "[MASK]": 1, "[UNK]": 2, **{f"w{i}": i for i in range(4, 50)}}
    Tokenizer(models.WordLevel(words, unk_token="[UNK]")).save(str(tmp_path / "theirs" / "tokenizer.json"))
    found = read_transformers(tmp_path / "theirs", "torch")
    special = SpecialIds(found.facts["vocab_size"])
    assert special.vocab_size == 50 and "copies" in found.notes[-1]
    ours = torch.tensor([[special.cls, 7, special.mask, 9, special.pad]])
    logits = logits_of(found.model)(ours).log_softmax(-1)
    exact = theirs.double()(torch.tensor([[3, 7, 1, 9, 0]])).logits.log_softmax(-1)
    judge(theirs.float()(torch.tensor([[3, 7, 1, 9, 0]])).logits.log_softmax(-1), logits[..., :50], exact)
