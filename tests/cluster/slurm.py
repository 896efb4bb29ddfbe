"""A Slurm cluster of several nodes with pretended GPUs on one machine, and its faults."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from string import Template
from typing import NamedTuple

from tests.cluster.ports import free_ports
from tests.cluster.service import Service
from tests.waiting import PATIENCE_S

HERE = Path(__file__).parent
CONTROLLER = "slurmctld"
PREEMPTS = "preempts"
"""Name of the jobs of higher priority."""
DAEMONS_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"
"""Where the daemons are; an ordinary user's PATH often lacks /usr/sbin."""


def missing() -> str | None:
    """Why there can be no cluster here; None if there can."""
    programs = (CONTROLLER, "slurmd", "sbatch")
    absent = [name for name in programs if shutil.which(name, path=DAEMONS_PATH) is None]
    if absent:
        return f"needs {', '.join(absent)} (Debian: apt install slurmctld slurmd slurm-client)"
    return None


class Job(NamedTuple):
    """A job as `squeue` shows it."""

    id: str
    """Number; of an array also the task, such as 12_3."""
    name: str
    state: str
    """Slurm's word: PENDING, RUNNING, COMPLETED, NODE_FAIL ..."""
    node: str
    """Empty until it has one."""


class SlurmCluster(Service):
    """Nodes n1, n2 ... of 8 cores and a few GPUs, with partitions `low` (default) and `high`."""

    def __init__(self, nodes: int = 4, gpus: int = 2) -> None:
        self.node_names = [f"n{number}" for number in range(1, nodes + 1)]
        self.gpus_per_node = gpus
        self.folder = Path(tempfile.mkdtemp(prefix="ablate-slurm-"))
        self._configuration = self.folder / "slurm.conf"
        self._ports = free_ports(1 + nodes)
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def bring_up(self) -> None:
        """Start the controller and all nodes."""
        self._configure()
        self.restart_controller()
        for name in self.node_names:
            self.restart_node(name)
        self._wait_for_nodes()

    @property
    def environment(self) -> dict[str, str]:
        """What the callers of `sbatch`, `squeue` and `sacct` add to their environment."""
        path = f"{HERE / 'bin'}:{os.environ['PATH']}"
        return {"SLURM_CONF": str(self._configuration), "PATH": path}

    def run(self, *command: str) -> str:
        """Run a command that speaks to the cluster; return what it prints."""
        done = subprocess.run(
            command, env=os.environ | self.environment, cwd=self.folder,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout.strip()

    def jobs(self) -> list[Job]:
        """The jobs that the controller remembers: all but those that ended minutes ago."""
        lines = self.run("squeue", "-h", "-r", "-t", "all", "-o", "%i|%T|%N|%j").splitlines()
        rows = [line.split("|", maxsplit=3) for line in lines]
        return [Job(id, name, state, node) for id, state, node, name in rows]

    def preempt(self, node: str | None = None, seconds: float = 1.0) -> str:
        """Ask for all GPUs of a node in partition `high`; return the job's number.

        Without a name the cluster chooses, a free node first.
        """
        options = ["-p", "high", f"--gres=gpu:{self.gpus_per_node}", "-J", PREEMPTS]
        options += [f"--nodelist={node}"] if node else []
        wrapped = f"--wrap=sleep {seconds}"
        return self.run("sbatch", "--parsable", "-o", "/dev/null", *options, wrapped)

    def crash_node(self, name: str) -> None:
        """Kill all that runs on a node, as if its power went: daemon, steps and jobs."""
        self._kill(name)

    def restart_node(self, name: str) -> None:
        """Start the daemon of a node; the node takes jobs when the controller has heard of it."""
        self._start(name, "slurmd", "-D", "-N", name)

    def kill_controller(self) -> None:
        """Kill the controller; jobs go on.

        It forgets what it did in the last 5 s, as in life: a new job is lost and its number given
        again, one that it had moved may run twice, one that it had started is held for ever.
        """
        self._kill(CONTROLLER)

    def restart_controller(self) -> None:
        """Start the controller and wait until it can be asked."""
        self._start(CONTROLLER, "slurmctld", "-D")
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._ports[0])).close()
                return
            except ConnectionRefusedError:
                assert time.monotonic() < deadline, (self.folder / f"{CONTROLLER}.log").read_text()
                time.sleep(0.02)

    def remove(self) -> None:
        """Kill every daemon and every job, and delete what they wrote."""
        for name in [CONTROLLER, *self.node_names]:
            self._kill(name)
        shutil.rmtree(self.folder)

    def _configure(self) -> None:
        for name in ["state", CONTROLLER, *self.node_names]:
            (self.folder / name).mkdir()
        nodes, gpus = len(self.node_names), range(self.gpus_per_node)
        template = Template((HERE / "slurm.conf").read_text())
        text = template.substitute(
            name=self.folder.name,
            folder=self.folder,
            user=getpass.getuser(),
            host=socket.gethostname().partition(".")[0],
            nodes=f"n[1-{nodes}]",
            gpus=len(gpus),
            controller_port=self._ports[0],
            node_ports=f"[{self._ports[1]}-{self._ports[-1]}]",
        )
        self._configuration.write_text(text)
        # Only character devices count as GPUs: with a plain file CUDA_VISIBLE_DEVICES stays empty.
        for gpu in gpus:
            (self.folder / f"gpu{gpu}").symlink_to("/dev/null")
        devices = f"{self.folder}/gpu[0-{gpus[-1]}]"
        gres = f"NodeName=n[1-{nodes}] Name=gpu File={devices} AutoDetect=off\n"
        (self.folder / "gres.conf").write_text(gres)

    def _wait_for_nodes(self) -> None:
        sinfo = ["sinfo", "-h", "-p", "low", "-t", "idle", "-o", "%D"]
        deadline = time.monotonic() + PATIENCE_S
        environment = os.environ | self.environment
        while True:
            idle = subprocess.run(sinfo, env=environment, capture_output=True, text=True)
            if idle.stdout.strip() == str(len(self.node_names)):
                return
            assert time.monotonic() < deadline, idle
            time.sleep(0.05)

    def _start(self, place: str, program: str, *options: str) -> None:
        """Start a daemon in a folder of its own, which all its processes inherit."""
        assert place not in self._daemons, f"{place} runs"
        executable = shutil.which(program, path=DAEMONS_PATH)
        assert executable is not None, missing()
        with (self.folder / f"{place}.log").open("ab") as log:
            self._daemons[place] = subprocess.Popen(
                [program, *options], executable=executable, cwd=self.folder / place,
                env=os.environ | self.environment, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def _kill(self, place: str) -> None:
        """Kill a daemon, then all that it started and left."""
        daemon = self._daemons.pop(place, None)
        if daemon is not None:
            daemon.kill()
            daemon.wait()
        deadline = time.monotonic() + PATIENCE_S
        while processes := [pid for pid in _processes() if self._is_at(pid, place)]:
            for pid in processes:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            assert time.monotonic() < deadline, processes
            time.sleep(0.01)

    def _is_at(self, pid: int, place: str) -> bool:
        """Whether a process runs on a node: as its daemon does, in its folder, or in a job.

        The programs of Slurm write their title over their environment, and jobs work elsewhere.
        """
        process = Path("/proc", str(pid))
        try:
            if (process / "cwd").readlink() == self.folder / place:
                return True
            environment = (process / "environ").read_bytes().split(b"\0")
        except OSError:  # ended, or of another user
            return False
        job = {f"SLURM_CONF={self._configuration}", f"SLURMD_NODENAME={place}"}
        return {text.encode() for text in job} <= set(environment)


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
