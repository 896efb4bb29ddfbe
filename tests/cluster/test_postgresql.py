from __future__ import annotations

from contextlib import closing

import pytest


def rows(url: str, query: str) -> list[tuple]:
    import psycopg2  # the fixture skips where it is missing

    with closing(psycopg2.connect(url.replace("+psycopg2", ""))) as connection, connection:
        cursor = connection.cursor()
        cursor.execute(query)
        return cursor.fetchall()


@pytest.mark.parametrize("immediate", [True, False])
def test_data_outlive_a_stop_of_the_server(postgresql, immediate):
    url = postgresql.create_database(f"immediate_{immediate}".lower())
    written = rows(url, "CREATE TABLE kept AS SELECT 7 AS x; SELECT x FROM kept")
    postgresql.stop(immediate=immediate)
    with pytest.raises(Exception, match="refused"):
        rows(url, "SELECT x FROM kept")
    postgresql.start()
    assert rows(url, "SELECT x FROM kept") == written == [(7,)]


def test_only_the_password_opens_the_server(postgresql):
    assert rows(postgresql.url, "SELECT current_user, current_database()") == [
        ("ablate", "ablations")
    ]
    with pytest.raises(Exception, match="password authentication failed"):
        rows(postgresql.url.replace(postgresql.password, "wrong"), "SELECT 1")
    with pytest.raises(Exception, match="no password supplied"):
        rows(postgresql.url_without_password, "SELECT 1")
