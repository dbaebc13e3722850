import pytest

from laimbench.errors import RunError
from laimbench.track.compare import Settings, compare
from laimbench.track.process import Side
from laimbench.track.verdict import exit_code, learning_word, markdown, sentence

SUITE = """
import random
import thing
SIZES = QUICK_SIZES = [1, 2, 3]
def learn_line(size, seed):
    luck = random.Random(f"{seed} {size}").gauss(0, 0.01)
    yield {"numbers": {"batch: 0": [1, 2, 3]}}
    yield {"numbers": {"gradient: w": [1.0, thing.GRADIENT], "gradient: b": [0.5]}}
    yield {"flops": 1e9 * 10**size, "seconds": 2.0**size, "loss": 3.0 * 10 ** (-0.1 * size) + luck + thing.WORSE}
"""


def side(tmp_path, label, worse=0.0, gradient=2.0):
    folder = tmp_path / label
    folder.mkdir()
    (folder / "thing.py").write_text(f"WORSE = {worse}\nGRADIENT = {gradient}\n")
    return Side(label, folder)


def compared(tmp_path, **b):
    suite = tmp_path / "suite.py"
    suite.write_text(SUITE)
    return compare(side(tmp_path, "A"), side(tmp_path, "B", **b), suite, Settings())


def test_equal_bits_are_told_from_two_seeds(tmp_path):
    found = compared(tmp_path)
    learning = found.learnings[0]
    assert learning.identical
    assert (learning.verdict, learning.decision.observations) == ("same", 2)
    assert exit_code(found) == 0
    assert "bit for bit the same" in sentence(found)
    assert found.compute["line"].value == pytest.approx(1)


@pytest.mark.parametrize(("worse", "word", "code"), [(0.05, "worse", 3), (-0.05, "better", 0), (1e-5, "same", 0)])
def test_the_loss_decides(tmp_path, worse, word, code):
    found = compared(tmp_path, worse=worse)
    assert learning_word(found.learnings) == word
    assert exit_code(found) == code
    assert (found.compute["line"].value < 1) == (worse > 0)


def test_another_computation_with_the_same_loss_is_a_change_and_named(tmp_path):
    found = compared(tmp_path, worse=1e-5, gradient=2.5)
    assert found.learnings[0].verdict == "same"
    assert learning_word(found.learnings) == "changed"
    assert (exit_code(found), exit_code(found, allow_changes=True)) == (3, 0)
    assert "the first thing that differs is gradient: w" in sentence(found)
    assert "| line |" in markdown(found)


def test_a_training_without_a_loss_is_an_error(tmp_path):
    suite = tmp_path / "suite.py"
    suite.write_text('def learn_line(size, seed):\n    yield {"flops": 1}\n')
    with pytest.raises(RunError, match="A: learn_line sent no loss"):
        compare(side(tmp_path, "A"), side(tmp_path, "B"), suite, Settings())
