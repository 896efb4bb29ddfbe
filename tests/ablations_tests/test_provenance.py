from __future__ import annotations

import json
import socket
import subprocess

import torch

from ablations.provenance import git_state, provenance


def git(*arguments, folder):
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def test_commit_and_uncommitted_changes_of_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state() == {"commit": None, "dirty": None}
    git("init", folder=tmp_path)
    (tmp_path / "study.yaml").write_text("name: a")
    git("add", ".", folder=tmp_path)
    git("commit", "-m", "a", folder=tmp_path)
    state = git_state()
    assert len(state["commit"]) == 40
    assert state["dirty"] is False
    (tmp_path / "study.yaml").write_text("name: b")
    assert git_state() == {**state, "dirty": True}


def test_no_git_at_all_is_not_an_error(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert git_state() == {"commit": None, "dirty": None}


def test_versions_and_machine_are_plain_data():
    found = provenance()
    assert json.loads(json.dumps(found)) == found
    assert found["host"] == socket.gethostname()
    assert found["packages"]["torch"] == torch.__version__
    missing = [name for name, version in found["packages"].items() if version is None]
    assert missing == []
