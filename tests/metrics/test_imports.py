"""The room stands alone: an evaluation of anybody's arrays loads no torch, and extras only when they are used."""

import subprocess
import sys

ROOM = ("baselines", "bootstrap", "classification", "language", "ngram", "sequences")
OTHERS = ("torch", "scipy", "sklearn", "sacrebleu", "laimbench.train", "laimbench.models", "laimbench.laws")


def test_nothing_but_numpy_is_imported():
    code = "import sys\n" + "".join(f"import laimbench.metrics.{name}\n" for name in ROOM)
    code += f"print([name for name in {OTHERS} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
