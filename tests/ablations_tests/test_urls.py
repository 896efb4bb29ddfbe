from __future__ import annotations

import sys

import pytest

from ablations.storages.opening import open_storage
from ablations.storages.urls import kind_of, parsed, refuse_password, without_password
from studies.errors import AblationError

SECRET = "tr0ub4dor&3"


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("sqlite:////folder/ledger.db", "sqlite"),
        ("sqlite", "sqlite"),
        ("journal:///folder/ledger.journal", "journal"),
        ("postgresql://ada@db/ablations", "postgresql"),
        ("postgres://ada@db/ablations", "postgresql"),
        ("postgresql+psycopg2://ada@db/ablations", "postgresql"),
        ("mysql+pymysql://ada@db/ablations", "mysql"),
        ("grpc://head:13000", "grpc"),
    ],
)
def test_the_kind_of_a_storage_is_its_scheme(url, kind):
    assert kind_of(url) == kind
    assert without_password(url) == url


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg2", "postgres", "mysql"])
def test_a_password_is_neither_shown_nor_taken_from_a_command_line(scheme):
    url = f"{scheme}://ada:{SECRET}@db:5432/ablations"
    assert without_password(url) == f"{scheme}://ada@db:5432/ablations"
    with pytest.raises(
        AblationError, match=r"--storage has a password in it.*PGPASSWORD"
    ) as refused:
        refuse_password(url, "--storage")
    assert SECRET not in str(refused.value)
    refuse_password(without_password(url), "--storage")


@pytest.mark.parametrize("password", [SECRET, "with/slash", "with:colon"])
def test_a_url_that_cannot_be_read_is_refused_without_its_password(password):
    with pytest.raises(AblationError, match="is no storage; allowed: postgresql://USER@HOST") as no:
        parsed(f"postgresql://ada:{password}@db:port/ablations")
    assert password not in str(no.value)


def test_an_unknown_scheme_is_refused_without_its_password():
    with pytest.raises(AblationError, match="redis") as refused:
        open_storage(f"redis://ada:{SECRET}@db/0")
    assert SECRET not in str(refused.value)
    assert "postgresql" in str(refused.value)


def test_a_missing_driver_is_named_with_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pymysql", None)
    with pytest.raises(
        AblationError, match=r"needs the Python package 'pymysql'.*\[cluster\]"
    ) as no:
        open_storage(f"mysql://ada:{SECRET}@127.0.0.1/ablations")
    assert SECRET not in str(no.value)
