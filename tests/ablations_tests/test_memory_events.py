from __future__ import annotations

import pytest

from ablations.memory_events import oom_kills

VERSION_1 = "11:devices:/job\n4:cpu,memory:/slurm/job_7\n1:name=systemd:/x\n"
VERSION_2 = "0::/slurm/job_7\n"


def written(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def events(kills):
    return f"low 0\nhigh 3\nmax 9\noom 2\noom_kill {kills}\noom_group_kill 0\n"


def control(kills):
    return f"oom_kill_disable 0\nunder_oom 0\noom_kill {kills}\n"


@pytest.mark.parametrize(
    ("membership", "files", "kills"),
    [
        (VERSION_2, {"slurm/job_7/memory.events": events(2)}, 2),
        (VERSION_2, {"slurm/job_7/memory.events": events(2), "memory.events": events(8)}, 2),
        (VERSION_2, {"memory.events": events(8)}, 8),  # a container that sees no group but its own
        (VERSION_2, {}, 0),
        (VERSION_2, {"slurm/job_7/memory.events": "oom 4\n"}, 0),
        (VERSION_1, {"memory/slurm/job_7/memory.oom_control": control(3)}, 3),
        (VERSION_1, {"slurm/job_7/memory.events": events(2)}, 0),
        (VERSION_1 + "0::/\n", {"memory/slurm/job_7/memory.oom_control": control(3)}, 3),
        ("4:cpu:/x\n0::/slurm/job_7\n", {"slurm/job_7/memory.events": events(5)}, 5),
        ("", {"memory.events": events(1)}, 0),
    ],
    ids=lambda value: str(value)[:40].replace("\n", " "),
)
def test_the_kernel_s_kills_are_counted_in_our_own_group(tmp_path, membership, files, kills):
    for name, text in files.items():
        written(tmp_path / "cgroup" / name, text)
    own = written(tmp_path / "self", membership)
    assert oom_kills(tmp_path / "cgroup", own) == kills


def test_a_system_without_groups_knows_of_no_kill(tmp_path):
    assert oom_kills(tmp_path, tmp_path / "missing") == 0


def test_this_machine_can_be_asked():
    assert oom_kills() >= 0
