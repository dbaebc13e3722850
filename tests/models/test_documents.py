"""Packed windows with document masks against each document alone."""

import pytest
import torch

from laimbench.errors import InputError
from laimbench.models import GPT, GPTConfig
from laimbench.models.documents import Documents
from laimbench.train import RunConfig, Trainer

END = 0


def windows():
    torch.manual_seed(0)
    tokens = torch.randint(1, 32, (3, 24))
    for row, places in ((0, (4, 5, 17)), (1, (23,)), (2, ())):  # one-token documents, an end at the end, none
        for place in places:
            tokens[row, place] = END
    return tokens


def test_split_and_join_give_back_what_was_there():
    documents = Documents.of(windows(), END)
    x = torch.randn(3, 2, 24, 4)
    parts = documents.split(x)
    assert torch.equal(documents.join(parts, 3), x)
    lengths = sorted(part.shape[2] for part in parts)
    assert lengths == [1, 6, 12, 24]
    # Padding at most doubles what attention works on.
    assert sum(part.shape[0] * part.shape[2] for part in parts) <= 2 * 3 * 24


@pytest.mark.parametrize("backend", ["torch", "laim"])
@pytest.mark.parametrize("positions", ["rotary", "learned"])
def test_a_packed_document_is_as_if_alone(backend, positions):
    torch.manual_seed(1)
    model = GPT(GPTConfig(32, 24, 16, 2, 2, positions=positions, document_end=END), backend).double()
    if positions == "learned":  # what is left of the window is told by its position alone
        model.positions.weight.data[:] = model.positions.weight.data[:1]
    tokens = windows()
    packed = model.logits(tokens)
    for row, start, stop in ((0, 0, 5), (0, 5, 6), (0, 6, 18), (0, 18, 24), (1, 0, 24), (2, 0, 24)):
        alone = model.logits(tokens[row : row + 1, start:stop])
        torch.testing.assert_close(packed[row : row + 1, start:stop], alone, rtol=1e-9, atol=1e-9)


def test_no_gradient_crosses_a_document():
    torch.manual_seed(2)
    model = GPT(GPTConfig(32, 24, 16, 1, 2, document_end=END), "laim")
    tokens = windows()
    found = model.tokens(tokens).detach().requires_grad_()
    model.tokens.forward = lambda _: found
    model.logits(tokens)[0, 6:18].sum().backward()
    assert found.grad[0, :6].abs().max() == 0 and found.grad[0, 18:].abs().max() == 0
    assert found.grad[0, 6:17].abs().sum(-1).min() > 0


def test_a_run_with_masks_trains_and_another_source_or_backend_is_refused(tmp_path):
    text = tmp_path / "texts"
    text.mkdir()
    for number in range(120):
        (text / f"{number}.txt").write_text(f"text {number} " + " ".join(str(number * k) for k in range(20)) + "\n")
    options = {
        "data": f"dir:{text}",
        "vocab_size": 300,
        "width": 16,
        "seqlen": 64,
        "batch_size": 4,
        "tokens": 4096,
        "evals": 1,
    }
    trainer = Trainer(RunConfig(**options, document_masks=True))
    first = trainer.advance().val_loss
    assert trainer.advance().val_loss < first
    assert trainer.model.config.document_end >= 0
    with pytest.raises(InputError, match="has no documents"):
        Trainer(RunConfig(**{**options, "data": "synthetic:hmm"}, document_masks=True))
    with pytest.raises(InputError, match="expected laim or torch with document_masks"):
        RunConfig(document_masks=True, backend="compile")
    with pytest.raises(InputError, match="family mlp does not have"):
        RunConfig(family="mlp", document_masks=True)
