"""What may happen to a study on a cluster, each with its repair where it needs one."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from contextlib import suppress

from tests.cluster.disturbed_study import Chaos
from tests.cluster.slurm import PREEMPTS, Job

FROZEN_S = 40.0
"""Longer than the grace time of the queue: the worker is given up, and then wakes."""


def kill_training(chaos: Chaos) -> bool:
    """Kill a process that trains."""
    return _signal_one(chaos, signal.SIGKILL, training=True) is not None


def kill_worker(chaos: Chaos) -> bool:
    """Kill a worker; the process that trains for it is left behind."""
    return _signal_one(chaos, signal.SIGKILL, training=False) is not None


def terminate_worker(chaos: Chaos) -> bool:
    """Ask a worker to end."""
    return _signal_one(chaos, signal.SIGTERM, training=False) is not None


def freeze_training(chaos: Chaos) -> bool:
    """Have a process that trains stand still until it is given up, and then wake up."""
    pid = _signal_one(chaos, signal.SIGSTOP, training=True)
    if pid is not None:
        chaos.in_a_while(FROZEN_S, lambda: _send(pid, signal.SIGCONT))
    return pid is not None


def requeue_job(chaos: Chaos) -> bool:
    """Have Slurm end a job and start it again."""
    with suppress(AssertionError, IndexError):  # it ended just now, or the controller is away
        chaos.cluster.run("scontrol", "requeue", chaos.generator.choice(_workers_jobs(chaos)).id)
        return True
    return False


def preempt_job(chaos: Chaos) -> bool:
    """Take a node for a job of higher priority."""
    name = _busy_node(chaos)
    if name is not None:
        chaos.cluster.preempt(name)
    return name is not None


def crash_node(chaos: Chaos) -> bool:
    """Have a node lose its power."""
    name = _busy_node(chaos)
    if name is None:
        return False
    chaos.cluster.crash_node(name)
    chaos.in_a_while(8, lambda: chaos.cluster.restart_node(name))
    return True


def kill_controller(chaos: Chaos) -> bool:
    """Kill Slurm's controller."""
    chaos.cluster.kill_controller()
    chaos.in_a_while(3, chaos.cluster.restart_controller)
    return True


def stop_database(chaos: Chaos) -> bool:
    """Stop the database as a crash would."""
    chaos.database.stop()
    chaos.in_a_while(4, chaos.database.start)
    return True


def kill_server(chaos: Chaos) -> bool:
    """Kill the tracking server."""
    chaos.server.kill()
    chaos.in_a_while(6, chaos.server.start)
    return True


def kill_watcher(chaos: Chaos) -> bool:
    """Kill whoever watches."""
    assert chaos.watcher is not None
    chaos.watcher.kill()
    return True


FAULTS: dict[str, Callable[[Chaos], bool]] = {
    fault.__name__: fault
    for fault in (
        kill_training,
        kill_worker,
        terminate_worker,
        freeze_training,
        requeue_job,
        preempt_job,
        crash_node,
        kill_controller,
        stop_database,
        kill_server,
        kill_watcher,
    )
}
ONE_AT_A_TIME = ("crash_node", "kill_controller", "stop_database", "kill_server")
"""Faults of what has to be repaired before it can break again."""


def _busy_node(chaos: Chaos) -> str | None:
    """A node that a worker runs on."""
    with suppress(AssertionError, IndexError):  # there is none, or the controller is away
        return chaos.generator.choice(_workers_jobs(chaos)).node
    return None


def _workers_jobs(chaos: Chaos) -> list[Job]:
    return [job for job in chaos.cluster.jobs() if job.state == "RUNNING" and job.name != PREEMPTS]


def _signal_one(chaos: Chaos, number: int, *, training: bool) -> int | None:
    pids = chaos.workers(training=training)
    if not pids:
        return None
    pid = chaos.generator.choice(pids)
    _send(pid, number)
    return pid


def _send(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def suffer(chaos: Chaos, name: str) -> bool:
    """One fault, and whether it hit somebody; what it breaks is repaired some seconds later."""
    hit = FAULTS[name](chaos)
    chaos.done[name] += hit
    return hit


def draw(count: int, seed: int) -> list[str]:
    """So many faults in an order drawn by the seed, each kind about equally often."""
    generator = random.Random(seed)
    drawn: list[str] = []
    while len(drawn) < count:
        drawn += generator.sample(list(FAULTS), len(FAULTS))
    return drawn[:count]
