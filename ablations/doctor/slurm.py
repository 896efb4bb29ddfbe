"""Slurm, where the launcher is it: whether it would take the jobs that the profile describes."""

from __future__ import annotations

import getpass
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ablations.doctor.findings import Finding, ok, problem, warning
from ablations.doctor.situation import Situation
from ablations.launchers.slurm import SlurmFleet, slurm
from studies.errors import AblationError

ANSWER_S = 10.0
PROGRAMS = ("sbatch", "squeue", "scancel", "srun")
SHORTEST_GRACE_S = 15
"""A checkpoint of a large model on a busy shared disk takes this long."""


class Partition(NamedTuple):
    """A group of nodes as sinfo shows it."""

    name: str
    is_default: bool
    is_up: bool
    limit_minutes: float | None
    """None where there is no limit."""
    nodes: int
    gpus: int
    """Most of a node."""


def answers(situation: Situation) -> Iterator[Finding]:
    """Whether the commands are here and the controller answers them."""
    if situation.launcher != "slurm":
        return
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        remedy = "Go to a machine where jobs are submitted, such as a login node; `module load`?"
        yield problem("commands", f"not on PATH: {', '.join(missing)}", remedy)
        return
    start = time.monotonic()
    try:
        version = slurm("sbatch", "--version", limit_s=ANSWER_S).strip()
        own = slurm("squeue", "--noheader", "--user", getpass.getuser(), limit_s=ANSWER_S)
    except AblationError as error:
        yield problem("controller", str(error), "Is slurmctld up? `scontrol ping` says so.")
        return
    took_ms = (time.monotonic() - start) * 1000
    yield ok(
        "controller",
        f"{version}, answers in {took_ms:.0f} ms; {len(own.splitlines())} jobs of ours",
    )


def partition(situation: Situation) -> Iterator[Finding]:
    """Whether the partition is there and up, and gives the time and the GPUs that are asked for."""
    if situation.launcher != "slurm":
        return
    asked = situation.profile.slurm.partition
    known = _partitions()
    names = asked.split(",") if asked else [name for name, p in known.items() if p.is_default]
    if not names:
        remedy = f"Set slurm.partition in the profile to one of {', '.join(known)}."
        yield problem("partition", "none is asked for, and the cluster has no default", remedy)
    for name in names:
        if name not in known:
            remedy = f"Set slurm.partition in the profile to one of {', '.join(known)}."
            yield problem(f"partition {name}", "does not exist", remedy)
        else:
            yield _judged(known[name], situation)


def account(situation: Situation) -> Iterator[Finding]:
    """Whether the account of the profile is ours, where accounting answers."""
    if situation.launcher != "slurm":
        return
    asked = situation.profile.slurm.account
    command = ["sacctmgr", "-nP", "show", "associations", f"user={getpass.getuser()}"]
    try:
        output = slurm(*command, "format=account", limit_s=ANSWER_S)
    except AblationError:
        yield ok("account", f"{asked or 'none asked for'}; there is no accounting to ask")
        return
    known = sorted(set(output.split()))
    if asked is not None and asked not in known:
        remedy = f"Set slurm.account in the profile to one of {', '.join(known) or 'none'}."
        yield problem("account", f"{asked} is not one of yours", remedy)
    else:
        yield ok("account", asked or f"none asked for; yours: {', '.join(known) or 'none'}")


def submission(situation: Situation) -> Iterator[Finding]:
    """What sbatch says of a worker's job, which is not submitted."""
    if situation.launcher != "slurm":
        return
    with tempfile.TemporaryDirectory(prefix="ablate-doctor-") as folder:
        try:
            fleet = SlurmFleet("ablate-doctor", [], Path(folder), situation.profile.slurm)
            said = fleet.rehearse(limit_s=20)
        except AblationError as error:
            remedy = "Correct the section `slurm` of the profile; `sinfo` shows what there is."
            yield problem("sbatch --test-only", _told(str(error)), remedy)
            return
    yield ok("sbatch --test-only", _told(said))


def grace(situation: Situation) -> Iterator[Finding]:
    """How long a job has between a signal and its end."""
    if situation.launcher != "slurm":
        return
    settings = situation.profile.slurm
    config = slurm("scontrol", "show", "config", limit_s=ANSWER_S)
    found = re.search(r"^KillWait\s*=\s*(\d+)", config, re.MULTILINE)
    before = f"told to stop {settings.stop_before_limit_s} s before the time limit"
    if settings.stop_before_limit_s >= settings.time_limit_minutes * 60:
        remedy = "Raise slurm.time_limit_minutes, or lower slurm.stop_before_limit_s."
        yield problem(
            "time to save", f"{before}, which is {settings.time_limit_minutes} min", remedy
        )
    elif found is None:
        yield ok("time to save", f"{before}; KillWait is not said")
    elif int(found[1]) < SHORTEST_GRACE_S:
        words = f"{before}; cancelled or preempted, {found[1]} s (KillWait) to write a checkpoint"
        remedy = "A lower execution.checkpoint_every_s costs fewer steps where that is too short."
        yield warning("time to save", words, remedy)
    else:
        yield ok("time to save", f"{before}; cancelled or preempted, {found[1]} s (KillWait)")


def _judged(found: Partition, situation: Situation) -> Finding:
    settings, subject = situation.profile.slurm, f"partition {found.name}"
    limit = "no time limit" if found.limit_minutes is None else f"{found.limit_minutes:g} min"
    words = f"{found.nodes} nodes, at most {found.gpus} GPUs each, {limit}"
    if not found.is_up:
        return problem(subject, f"{words}, is down", "Wait, or choose another partition.")
    if found.limit_minutes is not None and settings.time_limit_minutes > found.limit_minutes:
        asked = f"slurm.time_limit_minutes is {settings.time_limit_minutes}"
        remedy = f"Set it to {found.limit_minutes:g}: workers hand over before their limit."
        return problem(subject, f"{words}; {asked}", remedy)
    if settings.gpus_per_worker > found.gpus:
        asked = f"slurm.gpus_per_worker is {settings.gpus_per_worker}"
        remedy = f"Set it to {found.gpus} or less, or choose another partition."
        return problem(subject, f"{words}; {asked}", remedy)
    if situation.wants_gpu and settings.gpus_per_worker == 0:
        remedy = "Set slurm.gpus_per_worker to 1 or more."
        return problem(subject, f"{words}; the study wants GPUs, the jobs ask for none", remedy)
    return ok(subject, words)


def _partitions() -> dict[str, Partition]:
    """All partitions by name; sinfo has a line for each kind of node in one."""
    output = slurm("sinfo", "--noheader", "-o", "%P|%a|%l|%D|%G", limit_s=ANSWER_S)
    found: dict[str, Partition] = {}
    for line in output.splitlines():
        shown, state, limit, nodes, gres = line.strip().split("|")
        name = shown.rstrip("*")
        so_far = found.get(name)
        found[name] = Partition(
            name=name,
            is_default=shown.endswith("*"),
            is_up=state == "up",
            limit_minutes=_minutes(limit),
            nodes=int(nodes) + (so_far.nodes if so_far else 0),
            gpus=max(_gpus(gres), so_far.gpus if so_far else 0),
        )
    return found


def _gpus(gres: str) -> int:
    """GPUs in what Slurm calls generic resources: `gpu:a100:4(S:0-1),shard:8`."""
    counts = (re.match(r"gpu(?::[^:,(]+)*?:(\d+)(?:\(|$)", part) for part in gres.split(","))
    return sum(int(count[1]) for count in counts if count)


def _minutes(limit: str) -> float | None:
    """A time limit such as 2-12:00:00, 4:00:00 or 30:00; None where there is none."""
    days, _, clock = limit.rpartition("-")
    parts = clock.split(":")
    if not all(part.isdigit() for part in parts):
        return None  # infinite
    hours, minutes, seconds = (int(part) for part in ["0", "0", *parts][-3:])
    return int(days or 0) * 1440 + hours * 60 + minutes + seconds / 60


def _told(text: str) -> str:
    """What sbatch says, without its name before each line."""
    lines = (
        line.removeprefix("sbatch: ") for line in text.removeprefix("sbatch failed: ").splitlines()
    )
    return "; ".join(line.removeprefix("error: ").strip() for line in lines if line.strip())[:300]
