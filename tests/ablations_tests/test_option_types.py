from __future__ import annotations

import pytest

from ablations.cli import main
from ablations.option_types import address


@pytest.mark.parametrize(
    "uri", ["http://ada:a-secret@127.0.0.1:5000", "postgresql+psycopg2://ada:a-secret@db/mlflow"]
)
@pytest.mark.parametrize("command", [["run", "quickstart"], ["sync", "quickstart"], ["query"]])
def test_a_password_in_an_address_is_refused_and_not_repeated(uri, command, capsys, tmp_path):
    with pytest.raises(SystemExit, match="2"):
        main([*command, "--home", str(tmp_path), "--tracking-uri", uri])
    out, err = capsys.readouterr()
    assert "--tracking-uri: it has a password in it" in err
    assert "MLFLOW_TRACKING_PASSWORD" in err
    assert "PGPASSWORD" in err
    assert "a-secret" not in out + err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1:5000",
        "https://mlflow.example.org/team",
        "postgresql+psycopg2://ada@db/mlflow",
        "sqlite:////home/a:b@c/mlflow.db",
        "http://[",
    ],
)
def test_other_addresses_are_left_as_they_are(uri):
    assert address(uri) == uri
