import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import torch
from laimbench.bench.allocator import keep_memory
if not keep_memory():
    sys.exit(3)
def work():
    a, b = torch.ones(1 << 21), torch.ones(1 << 21)  # 8 MiB each, 2,048 pages
    return a + b
for _ in range(100):  # the heap grows by a block now and then at first
    work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_memory_that_was_freed_is_used_again_without_page_faults():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    if done.returncode == 3:
        pytest.skip("the allocator is not glibc's")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 2_000  # of 20 calls; each block anew would be 100,000
