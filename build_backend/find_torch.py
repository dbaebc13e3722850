"""Print ``<folder of torch>;<version>`` for CMake, without importing torch: it may not run where it is built."""

import importlib.util
import re
import sys
import sysconfig
from pathlib import Path

FIRST_VERSION = (2, 11)


def candidates():
    for key in ("purelib", "platlib"):
        yield Path(sysconfig.get_paths()[key]) / "torch"
    found = importlib.util.find_spec("torch")
    if found and found.origin:
        yield Path(found.origin).parent


for folder in candidates():
    version_file = folder / "version.py"
    if (folder / "include/torch/csrc/stable/library.h").exists() and version_file.exists():
        version = re.search(r"__version__ = '([^']+)'", version_file.read_text()).group(1)
        if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) >= FIRST_VERSION:
            print(f"{folder};{version}")
            break
else:
    sys.exit("laimbench needs torch >= 2.11 in the environment it is installed into: install torch first")
