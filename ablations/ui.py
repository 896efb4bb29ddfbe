"""`ablate ui`: the MLflow UI on a study's store."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

from ablations.tracking_store import sqlite_path
from studies.errors import AblationError

START_TIMEOUT_S = 120.0


def serve(study: str, tracking_uri: str, host: str, port: int) -> int:
    """Serve the store's UI until Ctrl-C, after printing where the study is in it.

    Raises:
        AblationError: the store does not hold the study, or the port is taken.
    """
    from ablations.tracking import Tracking

    experiment = Tracking(tracking_uri).client.get_experiment_by_name(study)
    if experiment is None:
        raise AblationError(
            f"{tracking_uri} has no experiment {study!r}. Run the study first, or send its runs "
            f"there with `ablate sync {study} --tracking-uri {tracking_uri}`."
        )
    path = f"/#/experiments/{experiment.experiment_id}/runs?searchFilter=tags.kind%20%3D%20'run'"
    if tracking_uri.startswith("http"):
        print(f"{study}: {tracking_uri.rstrip('/')}{path}")
        return 0
    _refuse_taken_port(host, port)
    server = subprocess.Popen(server_command(tracking_uri, host, port), env=server_environment())
    try:
        _wait_until_up(server, f"http://{host}:{port}/health")
        print(f"\n{study}: http://{host}:{port}{path}\nCtrl-C stops the server.", flush=True)
        return server.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        server.terminate()
        server.wait()


def server_command(tracking_uri: str, host: str, port: int) -> list[str]:
    """Command line of a lean MLflow server: one worker, no job runner."""
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", tracking_uri]
    store = sqlite_path(tracking_uri)
    if store is not None:
        command += ["--default-artifact-root", (store.parent / "mlartifacts").as_uri()]
    return [*command, "--host", host, "--port", str(port), "--workers", "1"]


def server_environment() -> dict[str, str]:
    """Environment of the server: nothing runs that a study does not need."""
    return os.environ | {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }


def _refuse_taken_port(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise AblationError(
                f"cannot listen on {host}:{port} ({error.strerror}); choose another --port"
            ) from None


def _wait_until_up(server: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise AblationError(f"the MLflow server ended with code {server.returncode}")
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    raise AblationError(f"the MLflow server did not answer at {url} in {START_TIMEOUT_S:.0f} s")
