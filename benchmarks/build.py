"""What it costs to have the package: seconds to build its wheel from the commit's sources, bytes of the wheel, seconds to import it."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path


class Wheel:
    def setup_cache(self):
        """Build the wheel from the checkout that asv keeps beside the environment."""
        sources = Path(os.environ["ASV_ENV_DIR"]) / "project"
        with tempfile.TemporaryDirectory() as folder:
            started = time.perf_counter()
            command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-cache-dir", "-w", folder, str(sources)]  # fmt: skip
            subprocess.run(command, check=True)
            seconds = time.perf_counter() - started
            return {"seconds": seconds, "bytes": sum(wheel.stat().st_size for wheel in Path(folder).glob("*.whl"))}

    setup_cache.timeout = 1200

    def track_build(self, found):
        return found["seconds"]

    track_build.unit = "s"

    def track_size(self, found):
        return found["bytes"]

    track_size.unit = "bytes"


class Import:
    timeout = 120

    def timeraw_package(self):
        return "import laimbench.ops"

    def timeraw_command_line(self):
        return "import laimbench.cli"
