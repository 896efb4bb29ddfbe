"""Which file system a folder is on."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

MOUNTS = Path("/proc/mounts")
NETWORK = {
    *("nfs", "nfs4", "lustre", "gpfs", "beegfs", "cifs", "smb3", "ceph", "fuse.ceph-fuse"),
    *(
        "glusterfs",
        "fuse.glusterfs",
        "fuse.sshfs",
        "fuse.s3fs",
        "fuse.gcsfuse",
        "pvfs2",
        "orangefs",
    ),
    *("wekafs", "panfs", "afs", "9p", "virtiofs", "fuse.juicefs"),
}
"""File systems that several machines may write to."""
FLEETING = {"tmpfs", "ramfs"}
"""File systems that a restart empties."""


class Mount(NamedTuple):
    """A mounted file system."""

    device: str
    point: str
    kind: str

    @property
    def is_network(self) -> bool:
        """Whether other machines may write there as well."""
        return self.kind in NETWORK


def mount_of(folder: Path) -> Mount | None:
    """The mount that a folder is on; None where the system does not say."""
    try:
        lines = MOUNTS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    real, best = folder.resolve(), None
    for line in lines:
        device, point, kind = (_unescaped(word) for word in line.split()[:3])
        deeper = best is None or len(point) >= len(best.point)  # later mounts hide earlier ones
        if real.is_relative_to(point) and deeper:
            best = Mount(device, point, kind)
    return best


def existing(folder: Path) -> Path:
    """A folder, or the nearest one above it that is there."""
    return next(path for path in (folder, *folder.parents) if path.is_dir())


def _unescaped(word: str) -> str:
    """Spaces and tabs of names are written in octal."""
    return word.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
