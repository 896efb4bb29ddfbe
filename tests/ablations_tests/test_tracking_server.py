"""The server of docs/tracking-server.md, set up by its very commands, and what it is for."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shlex
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
import yaml
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from ablations.cli import main
from ablations.run_directory import StudyDirectory
from reports.results.mlflow_source import load_tracked_study
from reports.results.sources import load_study
from tests.ablations_tests import tracking_recipe
from tests.ablations_tests.synthetic_runs import plan_study, write_run
from tests.ablations_tests.tracking_recipe import DOCS, FOLDER, ROOT, Recipe, blocks
from tests.cluster.postgresql import PostgreSQL

OWNER, COLLEAGUE, STRANGER = "ada", "grace", "eve"


@dataclass(frozen=True)
class Team:
    """A running server, and the passwords of its users."""

    recipe: Recipe
    passwords: dict[str, str]

    @property
    def uri(self) -> str:
        return self.recipe.uri

    def ask_as_admin(self, action: str, **body: str) -> None:
        password = self.recipe.settings()["MLFLOW_AUTH_ADMIN_PASSWORD"]
        address = f"{self.uri}/api/{action}"
        answer = requests.post(address, json=body, auth=("admin", password), timeout=60)
        assert answer.ok, answer.text


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory, postgresql: PostgreSQL) -> Iterator[Team]:
    pytest.importorskip("flask_wtf", reason="needs Flask-WTF (pip install 'mlflow[auth]')")
    if reason := tracking_recipe.missing():
        pytest.skip(reason)
    with Recipe(tmp_path_factory.mktemp("server"), postgresql) as recipe:
        team = Team(recipe, {OWNER: recipe.run(*blocks("Users")).strip()})
        for name in (COLLEAGUE, STRANGER):
            team.passwords[name] = password = secrets.token_urlsafe(12)
            team.ask_as_admin("2.0/mlflow/users/create", username=name, password=password)
        yield team


@dataclass(frozen=True)
class Sent:
    """A study that its owner sent as the document says, and what the command printed."""

    directory: StudyDirectory
    output: str

    @property
    def home(self) -> str:
        return str(self.directory.path.parent)


@pytest.fixture(scope="module")
def sent(team: Team, tmp_path_factory: pytest.TempPathFactory) -> Sent:
    directory = ended_study(tmp_path_factory.mktemp("home"), "shared")
    return Sent(directory, as_documented(team, directory, "sync"))


def ended_study(home: Path, name: str) -> StudyDirectory:
    """A study whose runs have ended, and nobody has sent."""
    plan, directory = plan_study(home, name, model={"n_layers": 2}, seeds=(0,))
    for run in plan.runs:
        write_run(plan, directory, run)
    return directory


def as_documented(team: Team, directory: StudyDirectory, command: str) -> str:
    """What a command of the document prints when the owner types it on a study of ours."""
    who_asks, commands, _tunnel = blocks("What a researcher sets")
    [typed] = [c for c in commands.splitlines() if c.startswith(f"ablate {command} ")]
    typed = f"{typed.replace('quickstart', directory.study)} --home {directory.path.parent}"
    return team.recipe.run(who_asks, typed, given=f"{team.passwords[OWNER]}\n")


@pytest.fixture
def asking(team: Team, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Become a user, by name and password; before that, nobody."""
    monkeypatch.setenv("HOME", str(tmp_path))  # without ~/.mlflow/credentials
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.delenv(name, raising=False)

    def ask(user: str, password: str | None = None) -> MlflowClient:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", user)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password or team.passwords[user])
        return MlflowClient(team.uri)

    return ask


def bytes_under(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def command_lines(group: int) -> Iterator[bytes]:
    """Those of the processes of a group."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            if os.getpgid(int(process.name)) == group:
                yield (process / "cmdline").read_bytes()


def test_it_listens_on_this_machine_alone_and_asks_who_is_there(team, asking):
    port = f":{int(team.uri.rpartition(':')[2]):04X}"
    tables = [path for path in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")) if path.exists()]
    sockets = [line.split()[1:4] for path in tables for line in path.read_text().splitlines()]
    listening = [local for local, _, state in sockets if local.endswith(port) and state == "0A"]
    assert listening == [f"0100007F{port}"]
    with pytest.raises(MlflowException, match="401"):
        MlflowClient(team.uri).search_experiments()
    assert "Default" in [e.name for e in asking(OWNER).search_experiments()]


def test_secrets_are_in_one_file_and_in_no_command_line(team):
    recipe = team.recipe
    settings = recipe.folder / "server.env"
    assert stat.S_IMODE(settings.stat().st_mode) == 0o600
    commands = list(command_lines(recipe.process.pid))
    assert len(commands) >= 3, "the server, the parent of its workers, and workers"
    files = [p for p in recipe.folder.rglob("*") if p.is_file() and "venv" not in p.parts]
    for secret in recipe.secrets():
        assert [path for path in files if secret.encode() in path.read_bytes()] == [settings]
        assert not [command for command in commands if secret.encode() in command]


def test_a_researcher_sends_a_study_and_finds_it_whole(team, asking, sent):
    assert sent.output == f"2 runs sent to {team.uri}\n"
    client = asking(OWNER)
    tracked, local = load_tracked_study(team.uri, "shared"), load_study(sent.directory.path)
    assert tracked.records == local.records
    assert tracked.histories.equals(local.histories)
    experiment = client.get_experiment_by_name("shared")
    assert experiment.artifact_location.startswith("mlflow-artifacts:/")
    runs = client.search_runs([experiment.experiment_id], "tags.kind = 'run'")
    assert len(runs) == 2
    for run in runs:
        names = {item.path for item in client.list_artifacts(run.info.run_id)}
        assert names == {"record.json", "history.parquet", "spec.json", "environment.json"}
        assert list((team.recipe.folder / "artifacts").rglob(f"{run.info.run_id}/*/record.json"))
    assert "2 runs match" in as_documented(team, sent.directory, "query")
    links = as_documented(team, sent.directory, "ui")
    assert f"{team.uri}/#/experiments/{experiment.experiment_id}/" in links


def test_the_password_of_a_researcher_is_nowhere(team, sent):
    password = team.passwords[OWNER]
    stored = team.recipe.run("set -a; . /srv/mlflow/server.env; set +a; pg_dump --inserts")
    log = (team.recipe.folder / "server.log").read_text()
    assert "summary/val_loss" in stored
    assert "runs/create" in log
    for text in (stored, log, sent.output):
        assert password not in text
    for folder in (Path(sent.home), team.recipe.folder / "artifacts"):
        found = bytes_under(folder)
        assert b"summary/val_loss" in found
        assert password.encode() not in found


@pytest.mark.parametrize(
    "command",
    [["sync", "shared"], ["ui", "shared"], ["report", "shared", "--from-tracking"], ["query"]],
    ids=lambda command: command[0],
)
def test_a_wrong_password_is_told_at_once_with_what_to_do(team, asking, sent, command, capsys):
    asking(OWNER, "not-the-password")
    assert main([*command, "--home", sent.home, "--tracking-uri", team.uri]) == 2
    out, err = capsys.readouterr()
    fact, advice = err.splitlines()
    refused = f"ablate: the tracking store {team.uri} refuses: no user 'ada' with this password"
    assert (out, fact) == ("", refused)
    assert advice.startswith("Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD")


def test_who_did_not_make_a_study_reads_it_and_writes_when_granted(team, asking, sent, capsys):
    send = ["sync", "shared", "--home", sent.home, "--tracking-uri", team.uri]
    asking(COLLEAGUE)
    assert main(["query", "--study", "shared", "--tracking-uri", team.uri]) == 0
    assert "2 runs match" in capsys.readouterr().out
    assert main(send) == 2
    fact, advice = capsys.readouterr().err.splitlines()
    assert fact.endswith("refuses: grace may not write to this study")
    assert "grants READ or EDIT" in advice

    [grant] = blocks("Who may do what")
    password = team.passwords[OWNER]
    owner = {"MLFLOW_TRACKING_USERNAME": OWNER, "MLFLOW_TRACKING_PASSWORD": password}
    team.recipe.run(grant.replace("quickstart", "shared"), **owner)
    assert main(send) == 0
    client = asking(COLLEAGUE)
    with pytest.raises(MlflowException, match="Permission denied"):
        client.delete_experiment(client.get_experiment_by_name("shared").experiment_id)


def test_who_may_make_no_experiment_is_told(team, asking, tmp_path, capsys):
    right = {"resource_type": "experiment", "resource_id": "*", "permission": "DENY"}
    team.ask_as_admin("3.0/mlflow/users/permissions/grant", username=STRANGER, **right)
    asking(STRANGER)
    ended_study(tmp_path, "denied")
    assert main(["sync", "denied", "--home", str(tmp_path), "--tracking-uri", team.uri]) == 2
    fact, advice = capsys.readouterr().err.splitlines()
    assert fact.endswith("refuses: eve may not make an experiment")
    assert advice.startswith("Ask who runs the server")


def test_a_host_name_that_the_server_does_not_serve_is_told(team, asking, capsys):
    asking(OWNER)
    other_name = team.uri.replace("127.0.0.1", "127.1")
    assert main(["query", "--tracking-uri", other_name]) == 2
    fact, advice = capsys.readouterr().err.splitlines()
    assert fact.endswith("refuses: it does not serve under this host name")
    assert "--allowed-hosts" in advice


def test_a_backup_has_everything_and_tables_are_brought_up_to_date(team, sent, postgresql):
    recipe = team.recipe
    save, restore = blocks("Backup")
    recipe.run(save)
    for name in ("mlflow.dump", "artifacts.tar.gz"):
        assert stat.S_IMODE((recipe.folder / name).stat().st_mode) == 0o600
    postgresql.create_database("restored")
    recipe.run_in_database("ALTER DATABASE restored OWNER TO mlflow")
    (artifacts := recipe.folder / "artifacts").rename(recipe.folder / "lost")
    recipe.run(restore.replace("--dbname=mlflow", "--dbname=restored"))
    assert bytes_under(artifacts) == bytes_under(recipe.folder / "lost")
    found = recipe.run_in_database("SELECT name FROM experiments", "restored")
    assert "shared" in found.split()

    [upgrade] = blocks("Upgrade")
    install, *others = upgrade.splitlines(keepends=True)
    assert "pip install" in install
    recipe.run(*others)


def server_words(command: str) -> list[str]:
    """The arguments of `mlflow server`, without the address that it binds."""
    arguments = command.replace("\\\n", " ").partition("mlflow server ")[2]
    return [word for word in shlex.split(arguments) if word not in ("127.0.0.1", "0.0.0.0")]


def test_the_document_the_service_and_the_containers_start_the_same_server():
    service = (FOLDER / "mlflow.service").read_text().partition("ExecStart=")[2]
    compose = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    by_hand = server_words(blocks("Server")[0])
    assert by_hand[:2] == ["--app-name", "basic-auth"]
    assert by_hand == server_words(service.partition("\nRestart=")[0])
    assert by_hand == server_words(compose["services"]["mlflow"]["command"])


def test_containers_are_reached_from_here_alone_and_want_every_secret():
    services = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert ports == ["127.0.0.1:5000:5000"]
    settings = dict(re.findall(r"^([A-Z_]+)=(.*)$", blocks("Settings")[0], re.M))
    wanted = set()
    for service in services.values():
        for name, value in service["environment"].items():
            if re.search("PASSWORD|SECRET", name):
                source = re.fullmatch(rf"\$\{{(\w+):\?see {DOCS.relative_to(ROOT)}\}}", value)
                assert source is not None, value
                wanted.add(source[1])
    assert wanted == {name for name, value in settings.items() if value.startswith("$(openssl")}
    assert services["mlflow"]["environment"].keys() == settings.keys() - {"PGPORT"}


def test_everything_installs_the_version_that_is_tested():
    tested = re.findall(r"^mlflow==(.*)$", (ROOT / "constraints.txt").read_text(), re.M)
    for file in (DOCS, FOLDER / "Dockerfile"):
        assert re.findall(r"'mlflow\[auth\]==(.*?)'", file.read_text()) == tested
