"""How fast workers claim runs and beat on each storage, and what a plan of 100,000 runs costs.

    python benchmarks/claiming.py                  # claims per second, 1 to 64 workers
    python benchmarks/claiming.py --beats          # beats per second instead
    python benchmarks/claiming.py --ended 100000   # a look at a queue of which so many have ended

PostgreSQL is a throw-away server of this machine; `grpc` is `ablate proxy` in front of it.
"""

# ruff: noqa: E402
from __future__ import annotations

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[1])  # servers of the tests are used

import argparse
import json
import multiprocessing
import os
import resource
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier

import sqlalchemy

from ablations.claims import PULSE, Pulse
from ablations.ledger import Ledger
from ablations.storages.sqlite import sqlite_url
from ablations.trial_index import RUN_KEY
from studies.records import Outcome
from tests.cluster.ports import free_ports
from tests.cluster.postgresql import PostgreSQL

STORAGES = ("sqlite", "journal", "postgresql", "grpc")
WORKERS = (1, 4, 16, 64)
BEATING_S = 10.0


@contextmanager
def storage_urls(names: list[str], folder: Path) -> Iterator[dict[str, str]]:
    """URL of each storage."""
    with ExitStack() as stack:
        urls = {"sqlite": sqlite_url(folder / "queue.db"), "journal": f"journal://{folder}/queue"}
        if {"postgresql", "grpc"} & set(names):
            server = stack.enter_context(PostgreSQL())
            urls["postgresql"] = server.url
            if "grpc" in names:
                urls["grpc"] = stack.enter_context(_proxy(server.url))
        yield {name: urls[name] for name in names}


@contextmanager
def _proxy(url: str) -> Iterator[str]:
    [port] = free_ports()
    command = [sys.executable, "-m", "ablations.cli", "proxy", "--port", str(port)]
    environment = os.environ | {"ABLATE_STORAGE": url}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert "serving" in process.stdout.readline()
        yield f"grpc://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def work(url: str, name: str, keys: list[str], barrier: Barrier, waits: Queue[list[float]]) -> None:
    """Claim and complete until nothing is left; tell how long each claim took, in seconds."""
    ledger = Ledger(url, name, existing=True)
    barrier.wait()
    took: list[float] = []
    while True:
        started = time.perf_counter()
        claim = ledger.claim(keys)
        if claim is None:
            waits.put(took)
            return
        took.append(time.perf_counter() - started)
        claim.complete(Outcome.COMPLETED, 0.0)


def beat(url: str, name: str, keys: list[str], barrier: Barrier, waits: Queue[list[float]]) -> None:
    """Claim one run and beat without a pause; tell how long each beat took, in seconds."""
    ledger = Ledger(url, name, existing=True)
    claim = ledger.claim(keys)
    assert claim is not None
    barrier.wait()
    took: list[float] = []
    until = time.perf_counter() + BEATING_S
    while (started := time.perf_counter()) < until:
        pulse = asdict(Pulse(beat=len(took)))
        ledger.storage.set_trial_user_attr(claim._trial_id, PULSE, pulse)
        took.append(time.perf_counter() - started)
    waits.put(took)
    claim.complete(Outcome.COMPLETED, 0.0)


def all_at_once(
    act: Callable[..., None], url: str, name: str, keys: list[str], workers: int
) -> tuple[list[float], float]:
    """Times that processes tell that begin together, and the time of all, in seconds."""
    context = multiprocessing.get_context("spawn")
    barrier, waits = context.Barrier(workers + 1), context.Queue()
    processes = [
        context.Process(target=act, args=(url, name, keys, barrier, waits)) for _ in range(workers)
    ]
    for process in processes:
        process.start()
    barrier.wait()
    started = time.perf_counter()
    took = [seconds for _ in processes for seconds in waits.get()]
    wall_s = time.perf_counter() - started
    for process in processes:
        process.join()
    return took, wall_s


def beats(storage: str, url: str, workers: int) -> str:
    """Beats per second of all workers together."""
    name, keys = f"{storage}-beats-{workers}", [f"run{i:06d}" for i in range(workers)]
    Ledger(url, name).reconcile(keys)
    took, wall_s = all_at_once(beat, url, name, keys, workers)
    middle, longest = 1e3 * statistics.median(took), max(took)
    return f"{len(took) / wall_s:6.0f} beats/s   a beat {middle:5.0f} ms (longest {longest:.1f} s)"


def claims(storage: str, url: str, workers: int, runs: int) -> str:
    """Claims per second of all workers together, from an own study of the storage."""
    name, keys = f"{storage}-claims-{workers}", [f"run{i:06d}" for i in range(runs)]
    ledger = Ledger(url, name)
    started = time.perf_counter()
    ledger.reconcile(keys)
    queued_s = time.perf_counter() - started
    took, wall_s = all_at_once(work, url, name, keys, workers)
    ended = sum(s.state.is_ended() for s in ledger.statuses(keys).values())
    assert ended == len(took) == runs, f"{len(took)} claims of {runs} runs, {ended} ended"
    middle, longest = 1e3 * statistics.median(took), max(took)
    return (
        f"{runs / wall_s:6.0f} claims/s   a claim {middle:5.0f} ms (longest {longest:.1f} s)   "
        f"queueing {runs / queued_s:5.0f} runs/s"
    )


def long_queue(url: str, ended: int) -> str:
    """What a worker pays to look at a queue of which so many runs have ended."""
    name, keys = f"long-{ended}", [f"run{i:06d}" for i in range(ended + 1000)]
    started = time.perf_counter()
    _fill(Ledger(url, name), keys[:ended])
    filled_s = time.perf_counter() - started
    times = []
    opened = time.perf_counter()
    ledger = Ledger(url, name, existing=True)
    for _ in range(4):
        started = time.perf_counter()
        ledger.reconcile(keys)
        times.append(time.perf_counter() - started)
    first_s = times[0] + (started - opened - sum(times[:-1]))
    memory_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return (
        f"filled in {filled_s:5.0f} s; first look {first_s:5.1f} s, each one after "
        f"{1e3 * statistics.median(times[1:]):5.0f} ms; {memory_mib:.0f} MiB"
    )


def _fill(ledger: Ledger, keys: list[str]) -> None:
    """Put completed trials into a queue; into tables many at a time, past Optuna."""
    from optuna.storages._rdb import models
    from optuna.trial import TrialState, create_trial

    study_id = ledger.storage.get_study_id_from_name(ledger.name)
    engine = getattr(getattr(ledger.storage, "_backend", None), "engine", None)
    attrs = [{RUN_KEY: key, "outcome": "completed"} for key in keys]
    if engine is None:
        for own in attrs:
            trial = create_trial(state=TrialState.COMPLETE, value=1.0, user_attrs=own)
            ledger.storage.create_new_trial(study_id, trial)
        return
    trials = [
        {"number": number, "study_id": study_id, "state": TrialState.COMPLETE}
        for number in range(len(keys))
    ]
    of_study = sqlalchemy.select(models.TrialModel.trial_id).filter_by(study_id=study_id)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.insert(models.TrialModel), trials)
        ids = connection.scalars(of_study.order_by(models.TrialModel.number)).all()
        told = [
            {"trial_id": id, "key": key, "value_json": json.dumps(value)}
            for id, own in zip(ids, attrs, strict=True)
            for key, value in own.items()
        ]
        connection.execute(sqlalchemy.insert(models.TrialUserAttributeModel), told)
        kind = models.TrialValueModel.TrialValueType.FINITE
        values = [{"trial_id": i, "objective": 0, "value": 1.0, "value_type": kind} for i in ids]
        connection.execute(sqlalchemy.insert(models.TrialValueModel), values)


def main() -> None:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--storages", nargs="+", choices=STORAGES, default=list(STORAGES))
    parser.add_argument("--workers", nargs="+", type=int, default=list(WORKERS))
    parser.add_argument("--runs", type=int, default=256)
    parser.add_argument("--beats", action="store_true")
    parser.add_argument("--ended", nargs="+", type=int)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        storage_urls(options.storages, Path(folder)) as urls,
    ):
        for name, url in urls.items():
            for workers in options.workers if options.ended is None else ():
                if options.beats:
                    line = beats(name, url, workers)
                else:
                    line = claims(name, url, workers, options.runs)
                print(f"{name:10} {workers:3} workers  {line}", flush=True)
            for ended in options.ended or ():
                print(f"{name:10} {ended:6} ended  {long_queue(url, ended)}", flush=True)


if __name__ == "__main__":
    main()
