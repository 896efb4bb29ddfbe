from __future__ import annotations

import pytest

from ablations.redaction import redacted
from tests.ablations_tests import telling_model
from tests.ablations_tests.tiny_studies import STUDY, keys_of, queue, trials, work

NO_STORE = "sqlite:////dev/null/mlflow.db"
SECRET = "correct-horse-battery"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://ada:pw@db/x does not answer", "postgresql://ada:***@db/x does not answer"),
        ("mysql+pymysql://ada:a/b:c@db", "mysql+pymysql://ada:***@db"),
        ("https://:token@host and http://u:p@h", "https://:***@host and http://u:***@h"),
        ("postgresql://ada@db/x", "postgresql://ada@db/x"),
        ("http://127.0.0.1:5000/#/experiments", "http://127.0.0.1:5000/#/experiments"),
        ("write to ada@example.org: 3:4", "write to ada@example.org: 3:4"),
    ],
)
def test_passwords_of_urls_are_blotted_out(text, shown):
    assert redacted(text) == shown


@pytest.mark.parametrize(
    "name", ["PGPASSWORD", "WANDB_API_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "my_passwd"]
)
def test_values_of_secret_variables_are_blotted_out(monkeypatch, name):
    monkeypatch.setenv(name, SECRET)
    assert redacted(f"a{SECRET}b, {SECRET!r}") == "a***b, '***'"


def test_the_password_of_a_url_in_the_environment_is_blotted_out_alone(monkeypatch):
    monkeypatch.setenv("ABLATE_STORAGE", f"postgresql://ada:{SECRET}@db/x")
    assert redacted(f"password authentication failed ({SECRET})") == (
        "password authentication failed (***)"
    )


def test_short_values_and_other_variables_are_left_alone(monkeypatch):
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    monkeypatch.setenv("MY_SECRET", "")
    monkeypatch.setenv("ABLATE_STORAGE", "postgresql://ada:at@db/x")
    monkeypatch.setenv("COLOUR", SECRET)
    text = f"false: what is at {SECRET} is not a secret"
    assert redacted(text) == text


def test_a_run_that_fails_with_a_secret_in_its_message_leaves_it_nowhere(home, monkeypatch, caplog):
    monkeypatch.setenv("DATA_PASSWORD", SECRET)
    module = {"import_path": f"{telling_model.__file__}:TellingModel"}
    diagnostics = {**STUDY["diagnostics"], "enabled": []}
    plan, directory, _ = queue(home, module=module, factors={}, seeds=1, diagnostics=diagnostics)
    [key] = keys_of(plan)
    work(directory, NO_STORE)
    [trial] = trials(directory)
    assert trial["error"] == "RuntimeError: no entry to ftp://ada:***@data with ***"
    assert directory.run(key).record().error == trial["error"]
    trace = (directory.run(key).attempt(0).path / "error.txt").read_text()
    assert "telling_model.py" in trace
    assert trial["error"] in caplog.text
    assert SECRET not in caplog.text
    files = [path for path in directory.path.rglob("*") if path.is_file()]
    assert directory.ledger_path in files
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
