import pytest

from reports.links import RunLinks, ui_address
from studies.errors import AblationError


def test_a_run_in_the_store_has_an_address_and_another_has_none() -> None:
    links = RunLinks("http://host:5000/mlflow", "12", {"0a": "f00", "0b": "../x?y#z"})
    assert links.to("0a") == "http://host:5000/mlflow/#/experiments/12/runs/f00"
    assert links.to("0b") == "http://host:5000/mlflow/#/experiments/12/runs/..%2Fx%3Fy%23z"
    assert links.to("0c") is None


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("https://mlflow.example/team/", "https://mlflow.example/team"),
        ("https://me:secret@mlflow.example:8443/?a=b#c", "https://mlflow.example:8443"),
    ],
)
def test_an_address_is_kept_without_slash_user_and_password(given: str, kept: str) -> None:
    assert ui_address(given) == kept


@pytest.mark.parametrize(
    "given", ["javascript:alert(1)", "localhost:5000", "file:///x", "http://", "http://[", ""]
)
def test_what_is_no_web_address_is_refused(given: str) -> None:
    with pytest.raises(AblationError, match="has to begin with http"):
        ui_address(given)
