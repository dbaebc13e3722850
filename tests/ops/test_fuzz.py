"""Random calls in a process of their own: errors are named, and nothing crashes. `python -m tests.ops.fuzz 10000` for many."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CALLS = int(os.environ.get("LAIMBENCH_FUZZ_CALLS", "2000"))


def test_wrong_input_of_every_kind_is_named_and_never_crashes(tmp_path):
    trace = tmp_path / "trace"
    # `tests` is found last, so that the installed laimbench is the one tested
    code = f"import sys; sys.path.append({str(ROOT)!r}); from tests.ops.fuzz import main; sys.exit(main())"
    arguments = [sys.executable, "-c", code, str(CALLS), "--trace", str(trace)]
    answer = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert answer.returncode in (0, 1), f"crashed with {answer.returncode} in {trace.read_text()}: {answer.stderr}"
    found = json.loads(answer.stdout)
    assert found["wrong"] == []
    assert found["calls"] == CALLS and len(found["kinds"]) > 15
