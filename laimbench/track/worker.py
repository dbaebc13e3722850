"""One side of a comparison: a process that imports a suite beside one build of the package, and does what its standard input says.

Run as a script, by path, with the build first on PYTHONPATH. It needs the standard library alone, so that a build of any age can be
measured and nothing of the running laimbench is imported in its place. One JSON object per line: a request on standard input, its
answers on standard output, the last of them with "done" or "error". What the suite prints goes to standard error.

Time is that of the process's own work ("cpu") where it has one thread: what else the machine does is not in it. With more threads, or
where the suite says CLOCK = "wall" (its kernels run on a device, or wait), it is the time that passes.
"""

import importlib.util
import itertools
import json
import os
import sys
import time
import traceback
from pathlib import Path

BLOCK_SECONDS = 0.0025  # calls are repeated so often that a block takes about this long
WARM_UP_SECONDS = 0.1  # of calls that do not count: the allocator's memory grows over the first dozens
RENEWED_WARM_UP_SECONDS = 0.02  # the same, where memory has grown before


def load(path):
    # Last: the package lies beside the suite in a repository, and it is the built one that is measured.
    sys.path.append(str(Path(path).resolve().parent))
    spec = importlib.util.spec_from_file_location("suite", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def names(module, prefix):
    return [
        name.removeprefix(prefix) for name in vars(module) if name.startswith(prefix) and callable(vars(module)[name])
    ]


class Worker:
    def __init__(self, suite):
        self.suite = suite
        self.prepared = {}
        self.calls = {}
        clock = getattr(suite, "CLOCK", "cpu" if os.environ.get("OMP_NUM_THREADS") == "1" else "wall")
        self.now = {"cpu": time.process_time, "wall": time.perf_counter}[clock]

    def list(self):
        yield {"speed": names(self.suite, "speed_"), "learn": names(self.suite, "learn_"),
               "sizes": list(getattr(self.suite, "SIZES", [1])), "quick_sizes": list(getattr(self.suite, "QUICK_SIZES", [1]))}  # fmt: skip

    def prepare(self, name):
        """Make a benchmark's functions, warm them up, and say how many calls of each fill a block.

        Asked again it makes them anew, with other memory (the old ones still hold theirs), and the number of calls stays.
        """
        functions = getattr(self.suite, "speed_" + name)()
        functions = functions if isinstance(functions, dict) else {"ours": functions}
        enough = RENEWED_WARM_UP_SECONDS if name in self.prepared else WARM_UP_SECONDS
        for function in functions.values():
            started = self.now()
            for number in itertools.count():
                function()
                if number >= 2 and self.now() - started > enough:
                    break
        if name not in self.prepared:
            self.calls[name] = {which: self.fill(function) for which, function in functions.items()}
        self.prepared[name] = functions
        yield {"calls": self.calls[name]}

    def fill(self, function):
        count, seconds = 1, self.seconds_of(function, 1)
        while seconds < BLOCK_SECONDS / 2 and count < 10**7:
            count *= 2
            seconds = self.seconds_of(function, count)
        return max(1, round(count * BLOCK_SECONDS / seconds))

    def time(self, name, which, calls):
        yield {"seconds": self.seconds_of(self.prepared[name][which], calls) / calls}

    def learn(self, name, size, seed):
        """Send the points of a training as they come, each with the seconds since the start unless it says its own."""
        started = self.now()
        for point in getattr(self.suite, "learn_" + name)(size, seed):
            yield {"point": {"seconds": self.now() - started, **point}}

    def seconds_of(self, function, calls):
        started = self.now()
        for _ in range(calls):
            function()
        return self.now() - started


def main(path):
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def say(message):
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    try:
        worker = Worker(load(path))
        say({"done": True})
        for line in sys.stdin:
            request = json.loads(line)
            for message in getattr(worker, request.pop("do"))(**request):
                say(message)
            say({"done": True})
    except Exception as error:
        traceback.print_exc()
        say({"error": f"{type(error).__name__}: {error}".splitlines()[0][:500]})


if __name__ == "__main__":
    main(sys.argv[1])
