"""URLs of storages: what they may say, and how they are shown."""

from __future__ import annotations

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from ablations.redaction import redacted
from studies.errors import AblationError

SERVERS = ("postgresql", "mysql")
EXAMPLES = "postgresql://USER@HOST/DATABASE, mysql://..., grpc://HOST:13000, journal or sqlite"


def kind_of(url: str) -> str:
    """What a storage is: `sqlite`, `journal`, `postgresql`, `mysql`, `grpc`."""
    scheme = url.partition(":")[0].partition("+")[0]
    return "postgresql" if scheme == "postgres" else scheme


def parsed(url: str) -> URL:
    """The parts of a URL.

    Raises:
        AblationError: it is none.
    """
    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        raise AblationError(f"{redacted(url)!r} is no storage; allowed: {EXAMPLES}") from None


def without_password(url: str) -> str:
    """The URL as it may be shown and stored."""
    if kind_of(url) not in SERVERS:
        return url
    return parsed(url)._replace(password=None).render_as_string()  # `set` takes no None


def refuse_password(url: str, source: str) -> None:
    """Keep secrets out of command lines and files.

    Raises:
        AblationError: the URL has a password in it.
    """
    if kind_of(url) in SERVERS and parsed(url).password is not None:
        raise AblationError(
            f"{source} has a password in it, which others can read. Leave it out, and set it in "
            "the environment: PGPASSWORD (or ~/.pgpass) for PostgreSQL, or the whole URL as "
            "ABLATE_STORAGE."
        )
