"""The files of docs/cluster/, which users copy."""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest
import yaml

from ablations.cli import _parser
from ablations.worker import FLUSH_S

FOLDER = Path(__file__).parents[2] / "docs" / "cluster"


def parsed(words: list[str]) -> argparse.Namespace:
    assert words[0] == "ablate"
    return _parser().parse_args(words[1:])


@pytest.fixture(scope="module")
def job() -> dict:
    return yaml.safe_load((FOLDER / "kubernetes-job.yaml").read_text())


@pytest.fixture
def ray(monkeypatch):
    """`ray_workers.py` on a pretended Ray cluster of three GPUs; what it asked of Ray and of us."""
    calls: dict[str, list] = {"remote": [], "init": [], "commands": []}
    stub = types.ModuleType("ray")

    class Task:
        def __init__(self, function):
            self.function = function

        def remote(self, *arguments):
            return lambda: self.function(*arguments)

    def remote(**options):
        calls["remote"].append(options)
        return Task

    def called(command, *, check):
        calls["commands"].append(command)
        return subprocess.CompletedProcess(command, int(len(calls["commands"]) == 2))

    stub.remote, stub.init = remote, lambda **options: calls["init"].append(options)
    stub.cluster_resources = lambda: {"CPU": 8.0, "GPU": 3.0}
    stub.get = lambda references: [reference() for reference in references]
    monkeypatch.setitem(sys.modules, "ray", stub)
    monkeypatch.setattr(subprocess, "run", called)
    spec = importlib.util.spec_from_file_location("ray_workers", FOLDER / "ray_workers.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module, calls


def test_the_job_has_what_kubernetes_asks_of_one(job):
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", job["metadata"]["name"])
    pod = job["spec"]["template"]["spec"]
    assert pod["restartPolicy"] in ("OnFailure", "Never")  # what a Job allows
    assert job["spec"]["parallelism"] <= job["spec"]["completions"]
    [container] = pod["containers"]
    assert {"name", "image", "command"} <= container.keys()
    volumes = [volume["name"] for volume in pod["volumes"]]
    assert [mount["name"] for mount in container["volumeMounts"]] == volumes
    assert container["resources"]["limits"] == {"nvidia.com/gpu": 1}


def test_a_pod_has_time_for_a_checkpoint_and_the_last_metrics(job):
    assert job["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] >= FLUSH_S + 60


def test_a_pod_is_a_worker_whose_runs_are_on_the_volume(job):
    [container] = job["spec"]["template"]["spec"]["containers"]
    words = [*container["command"], *container["args"]]
    assert all(isinstance(word, str) for word in words)
    options = parsed(words)
    assert options.action.__name__ == "worker"
    assert (options.study, options.top_up, options.parent) == ("quickstart", False, None)
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert str(options.home) == mounts["runs"]


def test_passwords_of_the_job_are_in_a_secret_alone(job):
    text = (FOLDER / "kubernetes-job.yaml").read_text()
    [container] = job["spec"]["template"]["spec"]["containers"]
    [source] = container["envFrom"]
    secret = source["secretRef"]["name"]
    assert f"kubectl create secret generic {secret} " in text
    literals = dict(re.findall(r"--from-literal=(\w+)='?([^' \n]+)", text))
    assert set(literals) == {
        "ABLATE_STORAGE",
        "MLFLOW_TRACKING_USERNAME",
        "MLFLOW_TRACKING_PASSWORD",
    }
    assert set(literals.values()) == {"postgresql://ablate:...@db/ablations", "..."}
    assert "env" not in container


def test_ray_places_a_worker_on_each_gpu_again_when_its_node_dies(ray):
    module, calls = ray
    given = ["quickstart", "--home", "/shared/ablate-out"]
    assert module.main(given) == 1  # of the worst of them
    assert calls["remote"] == [{"num_gpus": 1, "max_retries": -1}]
    assert calls["init"] == [{"address": "auto"}]
    assert calls["commands"] == [["ablate", "worker", *given]] * 3


def test_the_command_of_the_ray_example_is_a_worker_s(ray):
    module, calls = ray
    [line] = re.findall(r"python ray_workers\.py (.+)", module.__doc__)
    module.main(line.split())
    options = parsed(calls["commands"][0])
    assert (options.study, str(options.home)) == ("quickstart", "/shared/ablate-out")
