"""A Slurm of one node on this machine, for tests: munged, slurmctld and slurmd, started from the system's packages."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.ports import free_ports

NEEDED = ("slurmctld", "slurmd", "sbatch", "squeue", "scancel", "munged")
KEY = Path("/etc/munge/munge.key")
CONFIG = """
ClusterName=laimbench
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
KillWait=30
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


class NotHere(Exception):
    """Slurm cannot be started here; the message says why."""


@contextmanager
def cluster() -> Iterator[Path]:
    """Yield the configuration of a running cluster, for SLURM_CONF.

    Raises:
        NotHere: a program is missing, this is not root, or the node does not come up.
    """
    path = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
    missing = [name for name in NEEDED if shutil.which(name, path=path) is None]
    if missing:
        raise NotHere(f"no {', '.join(missing)}; install slurmctld, slurmd, slurm-client and munge")
    if os.geteuid() != 0 or not KEY.is_file():
        raise NotHere("it is started by root, with munge's key made by its package")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        host = socket.gethostname().split(".")[0]
        folder.chmod(0o755)  # munge refuses a socket in a folder that others cannot enter
        for part in ("state", "spool", "munge"):
            (folder / part).mkdir()
        shutil.chown(folder / "munge", "munge", "munge")
        config = folder / "slurm.conf"
        config.write_text(CONFIG.format(host=host, folder=folder, ports=free_ports(2), cores=os.cpu_count()))
        environment = os.environ | {"PATH": path, "SLURM_CONF": str(config)}
        munged = ["munged", "--foreground", f"--socket={folder}/munge/socket", f"--pid-file={folder}/munge/pid",
                  f"--log-file={folder}/munge/log", f"--seed-file={folder}/munge/seed"]  # fmt: skip
        commands = [["runuser", "-u", "munge", "--", *munged], ["slurmctld", "-D"], ["slurmd", "-D"]]
        running = []
        try:
            for command in commands:
                running.append(subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL,
                                                stderr=(folder / f"{command[0]}.err").open("wb")))  # fmt: skip
                time.sleep(0.5)
            _wait_for_node(environment, folder / "slurmctld.log")
            yield config
        finally:
            for process in reversed(running):
                process.terminate()
            for process in reversed(running):
                with suppress(subprocess.TimeoutExpired):
                    process.wait(10)
                process.kill()


def _wait_for_node(environment: dict[str, str], log: Path) -> None:
    deadline = time.monotonic() + 30
    ask = ["sinfo", "--noheader", "--format=%t"]
    while "idle" not in subprocess.run(ask, env=environment, capture_output=True, text=True).stdout:
        if time.monotonic() > deadline:
            said = log.read_text(errors="replace").splitlines() if log.exists() else []
            raise NotHere(f"its node did not come up: {said[-1:]}")
        time.sleep(0.3)
