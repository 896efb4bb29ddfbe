"""The home folder: whether many processes, on many machines, can rely on what it says."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from ablations.doctor.findings import Finding, ok, problem, warning
from ablations.doctor.mounts import FLEETING, Mount, existing, mount_of
from ablations.doctor.situation import Situation
from studies.files import write_atomically

ENOUGH_GIB = 5.0
MOST_SKEW_S = 2.0
CONTENDERS, ROUNDS = 4, 50
LOCK_S = 1
"""How long the second process tries to take a lock that is held."""
TAKE_LOCK = """
import sys, filelock
try:
    with filelock.FileLock(sys.argv[1], timeout=float(sys.argv[2])):
        print("taken")
except filelock.Timeout:
    print("held")
"""
OTHER_HOME = "Choose a --home (or ABLATE_HOME) on another file system"


def writable(situation: Situation) -> Iterator[Finding]:
    """Whether files can be made there, and how much room there is."""
    base = existing(situation.home)
    try:
        with _scratch(situation) as folder:
            (folder / "file").write_bytes(bytes(1 << 16))
    except OSError as error:
        found = f"cannot be written ({error.strerror or error})"
        remedy = f"Give yourself the right to write in {base}, or choose another --home."
        yield problem(str(situation.home), found, remedy)
        return
    made = "" if base == situation.home else f", to be made in {base}"
    yield ok(str(situation.home), f"writable{made}")
    free_gib = shutil.disk_usage(base).free / 2**30
    if free_gib < ENOUGH_GIB:
        remedy = "Make room, or choose another --home: runs keep checkpoints and curves there."
        yield warning("free space", f"{free_gib:.1f} GiB", remedy)
    else:
        yield ok("free space", f"{free_gib:.1f} GiB")


def file_system(situation: Situation) -> Iterator[Finding]:
    """What it is, and whether it suits the launcher."""
    mount = mount_of(situation.home)
    if mount is None:
        yield ok("file system", "this system does not say which")
        return
    words = f"{mount.kind} at {mount.point}"
    if mount.kind in FLEETING:
        remedy = f"{OTHER_HOME}: a restart of the machine empties this one."
        yield warning("file system", f"{words}, in memory", remedy)
    elif situation.is_on_cluster and not _may_be_shared(mount):
        remedy = f"{OTHER_HOME} that the nodes see at the same path, or make sure that they do."
        yield warning("file system", f"{words}, as a rule of this machine alone", remedy)
    else:
        yield ok("file system", words + (", shared by machines" if mount.is_network else ""))


def locks(situation: Situation) -> Iterator[Finding]:
    """Whether a lock keeps another process out, and lets it in when it is given back."""
    with _scratch(situation) as folder:
        path = folder / "lock"
        try:
            with FileLock(path, timeout=LOCK_S):
                start = time.monotonic()
                while_held = _other_process(path)
        except (OSError, NotImplementedError) as error:
            yield problem("file locks", f"cannot be taken ({error})", _LOCK_REMEDY)
            return
        after, took_s = _other_process(path), time.monotonic() - start
    if (while_held, after) == ("held", "taken"):
        yield ok("file locks", f"keep a second process out ({took_s:.1f} s)")
    else:
        found = f"do not work: while held {while_held!r}, then {after!r} by a second process"
        yield problem("file locks", found, _LOCK_REMEDY)


def creation(situation: Situation) -> Iterator[Finding]:
    """Whether of several that create one file exactly one does: what the journal's lock needs."""
    with _scratch(situation) as folder:
        wrong = 0
        start = time.monotonic()
        for number in range(ROUNDS):
            wrong += _creators_of(folder / str(number)) != 1
        each_ms = (time.monotonic() - start) / ROUNDS * 1000
    if wrong:
        found = f"in {wrong} of {ROUNDS} rounds not exactly one of {CONTENDERS} created a file"
        remedy = f"{OTHER_HOME} (NFS from version 3 on); a journal would run trials twice here."
        yield problem("exclusive creation", found, remedy)
    else:
        yield ok(
            "exclusive creation", f"{ROUNDS} of {ROUNDS} rounds had one winner ({each_ms:.1f} ms)"
        )


def renaming(situation: Situation) -> Iterator[Finding]:
    """Whether a reader of a file that is replaced sees the old or the new one, always whole."""
    with _scratch(situation) as folder:
        path, texts = folder / "file", ("a" * 5000, "b" * 5000)
        write_atomically(path, texts[0])
        broken: list[str] = []
        stop = threading.Event()

        def read() -> None:
            while not stop.is_set():
                try:
                    seen = path.read_text(encoding="utf-8")
                except OSError as error:
                    seen = str(error)
                if seen not in texts:
                    broken.append(seen[:60])

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        start = time.monotonic()
        for number in range(1, ROUNDS + 1):
            write_atomically(path, texts[number % 2])
        each_ms = (time.monotonic() - start) / ROUNDS * 1000
        stop.set()
        reader.join()
    if broken:
        found = f"a reader saw {broken[0]!r} while the file was replaced"
        yield problem("atomic rename", found, f"{OTHER_HOME}: plans and checkpoints rely on it.")
    else:
        yield ok("atomic rename", f"no reader saw half a file; a safe write takes {each_ms:.1f} ms")


def clock(situation: Situation) -> Iterator[Finding]:
    """The clock of the file system against that of this machine."""
    with _scratch(situation) as folder:
        before = time.time()
        (folder / "file").write_bytes(b"x")
        stamp, after = (folder / "file").stat().st_mtime, time.time()
    skew_s = stamp - after if stamp > after else min(0.0, stamp - before)
    if abs(skew_s) > MOST_SKEW_S:
        remedy = "Have the administrators run NTP: run times and file ages will mislead."
        yield warning("clock", f"the file server is {skew_s:+.1f} s off", remedy)
    else:
        yield ok("clock", f"file times are within {max(abs(skew_s), 0.01):.2f} s of this machine's")


_LOCK_REMEDY = (
    f"{OTHER_HOME} whose locks work (Lustre: mounted with flock; NFS: with lockd, not nolock)."
)


@contextlib.contextmanager
def _scratch(situation: Situation) -> Iterator[Path]:
    """A folder to try things in, on the file system of the home folder, which is removed."""
    base = existing(situation.home)
    with tempfile.TemporaryDirectory(prefix=".ablate-doctor-", dir=base) as name:
        yield Path(name)


def _other_process(path: Path) -> str:
    """What another process says of a lock."""
    command = [sys.executable, "-c", TAKE_LOCK, str(path), str(LOCK_S)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return done.stdout.strip() or done.stderr.strip()[-200:]


def _creators_of(path: Path) -> int:
    """How many of several threads believe that they created a file."""
    barrier = threading.Barrier(CONTENDERS)
    created: list[int] = []

    def create() -> None:
        barrier.wait()
        with contextlib.suppress(FileExistsError):
            created.append(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))

    threads = [threading.Thread(target=create, daemon=True) for _ in range(CONTENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for descriptor in created:
        os.close(descriptor)
    return len(created)


def _may_be_shared(mount: Mount) -> bool:
    return mount.is_network or mount.kind.startswith("fuse")
