"""`ablate ui`: the MLflow UI on a study's store."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from types import FrameType

from ablations.run_directory import StudyDirectory
from ablations.tracking_store import require_store, sqlite_path
from studies.errors import AblationError

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 10.0


def serve(directory: StudyDirectory, tracking_uri: str, host: str, port: int) -> int:
    """Serve the store's UI until a signal asks to stop, after printing links into it.

    Raises:
        AblationError: the store does not hold the study, or the address cannot be had.
    """
    paths = _links(directory, tracking_uri)
    if tracking_uri.startswith("http"):
        _print_links(directory.study, tracking_uri.rstrip("/"), paths)
        return 0
    _refuse_taken_port(host, port)
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, _stop)
    server = subprocess.Popen(
        server_command(tracking_uri, host, port),
        env=server_environment(),
        start_new_session=True,  # a group of its own, so that its workers can be stopped with it
    )
    try:
        _wait_until_up(server, f"http://{host}:{port}/health")
        _print_links(directory.study, f"http://{host}:{port}", paths)
        print("Ctrl-C stops the server.", flush=True)
        return server.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        _stop_group(server)


def server_command(tracking_uri: str, host: str, port: int) -> list[str]:
    """Command line of a lean MLflow server: one worker, no job runner."""
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", tracking_uri]
    store = sqlite_path(tracking_uri)
    if store is not None:
        command += ["--default-artifact-root", (store.parent / "mlartifacts").as_uri()]
    command += ["--host", host, "--port", str(port), "--workers", "1"]
    return [*command, "--uvicorn-opts", "--log-level warning"]  # no line for each request


def server_environment() -> dict[str, str]:
    """Environment of the server: nothing runs that a study does not need."""
    return os.environ | {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "PYTHONWARNINGS": "ignore",  # of what MLflow imports: nothing that one can act on
    }


def _links(directory: StudyDirectory, tracking_uri: str) -> dict[str, str]:
    """Name of each saved view to its path in the UI."""
    from ablations.tracking import Tracking
    from ablations.tracking_errors import explaining
    from ablations.tracking_views import saved_views

    require_store(tracking_uri)
    with explaining(tracking_uri):
        experiment = Tracking(tracking_uri).client.get_experiment_by_name(directory.study)
    if experiment is None:
        raise AblationError(
            f"{tracking_uri} has no experiment {directory.study!r}. Run the study first, or send "
            f"its runs there with `ablate sync {directory.study} --tracking-uri {tracking_uri}`."
        )
    views = saved_views(directory.load_plan())
    return {view.name: view.path(experiment.experiment_id) for view in views}


def _print_links(study: str, root: str, paths: dict[str, str]) -> None:
    print(f"\n{study} in the MLflow UI:")
    width = max(map(len, paths))
    for name, path in paths.items():
        print(f"  {name:{width}}  {root}/{path}")


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _stop_group(server: subprocess.Popen[bytes]) -> None:
    """End the server with all of its processes, whichever of them still run."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, number)
            server.wait(STOP_TIMEOUT_S)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _refuse_taken_port(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise AblationError(
                f"cannot listen on {host}:{port} ({reason}); choose another --port, "
                "such as 5001, or another --host"
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
