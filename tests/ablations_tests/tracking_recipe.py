"""Runs the commands of docs/tracking-server.md as they stand, at another place of this machine."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self

from tests.cluster.ports import free_ports
from tests.cluster.postgresql import DATABASE, USER, PostgreSQL
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "tracking-server.md"
FOLDER = ROOT / "docs" / "tracking-server"
OURS = re.compile(r"^(MLFLOW_|PG)")


def blocks(heading: str) -> list[str]:
    """The commands under a heading of the document."""
    text = DOCS.read_text(encoding="utf-8")
    section = re.split(r"^#+ ", text.split(f"# {heading}\n", 1)[1], maxsplit=1, flags=re.M)[0]
    return re.findall(r"^```bash\n(.*?)^```$", section, re.M | re.S)


def plain_environment() -> dict[str, str]:
    """That of this process without what the recipe sets, with `ablate` on its path."""
    found = {name: value for name, value in os.environ.items() if not OURS.match(name)}
    return found | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{found['PATH']}"}


class Recipe:
    """A server that the document's commands have set up: `with` it, it runs."""

    def __init__(self, folder: Path, database: PostgreSQL) -> None:
        self.folder = folder
        self._database = database
        [self._port] = free_ports()
        self.uri = f"http://127.0.0.1:{self._port}"
        self._log = folder / "server.log"
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        (self.folder / "venv").symlink_to(sys.prefix)
        self.run(*blocks("Settings"))
        self.run(*blocks("Database"))
        by_hand, _service = blocks("Server")
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                ["bash", "-euc", self.here(by_hand)],
                stdout=log, stderr=log, cwd=ROOT, env=plain_environment(), start_new_session=True,
            )  # fmt: skip
        try:
            self._wait_until_up()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def here(self, commands: str) -> str:
        """Commands of the document with this server's folder and ports."""
        places = {
            "su - postgres -c 'psql --set ON_ERROR_STOP=1'": self._administrator(DATABASE),
            "runuser -u mlflow -- ": "exec ",
            "PGPORT=5432": f"PGPORT={self._database.port}",
            "/srv/mlflow": str(self.folder),
            "http://127.0.0.1:5000": self.uri,
            "--port 5000": f"--port {self._port}",
        }
        for there, here in places.items():
            commands = commands.replace(there, here)
        return commands

    def run(self, *commands: str, given: str = "", **variables: str) -> str:
        """What commands of the document print."""
        done = subprocess.run(
            ["bash", "-euc", "".join(map(self.here, commands))],
            input=given, capture_output=True, text=True, check=False, cwd=ROOT,
            env=plain_environment() | {"ADMINISTRATOR": self._database.password} | variables,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run_in_database(self, statement: str, database: str = DATABASE) -> str:
        """What a statement finds, run by the administrator of PostgreSQL."""
        return self.run(f"{self._administrator(database)} --tuples-only", given=statement)

    def _administrator(self, database: str) -> str:
        """How the administrator, whose password is in the environment, calls psql."""
        access = f"-h 127.0.0.1 -p {self._database.port} -U {USER} --dbname={database}"
        return f'PGPASSWORD="$ADMINISTRATOR" psql --set ON_ERROR_STOP=1 {access}'

    def settings(self) -> dict[str, str]:
        """The file of settings."""
        lines = (self.folder / "server.env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)

    def secrets(self) -> list[str]:
        """Every secret of the file of settings."""
        found = [v for k, v in self.settings().items() if re.search("PASSWORD|SECRET", k)]
        assert len(found) == len(set(found)) == 3
        return found

    def stop(self) -> None:
        """End the server with its workers."""
        assert self.process is not None
        for name in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, name)
                self.process.wait(30)
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue

    def _wait_until_up(self) -> None:
        assert self.process is not None
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.uri}/health", timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        raise AssertionError(self._log.read_text())


def missing() -> str | None:
    """What of PostgreSQL's clients the recipe lacks here; None if nothing."""
    lacking = [name for name in ("psql", "pg_dump", "pg_restore") if shutil.which(name) is None]
    return f"needs {', '.join(lacking)} (Debian: apt install postgresql)" if lacking else None
