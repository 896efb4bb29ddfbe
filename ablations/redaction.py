"""Keeping secrets of the environment out of what is written down."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

_SECRET_NAME = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|ACCESS_KEY", re.IGNORECASE)
_IN_URL = re.compile(r"(?P<start>\w[\w+.-]*://[^/@\s:]*:)(?P<password>[^@\s]+)@")
SHORTEST = 6
"""Shorter values of such variables are words like `true`, which texts have for other reasons."""
TRACKING_PASSWORDS = (
    "Leave it out, and set it in the environment: MLFLOW_TRACKING_USERNAME and "
    "MLFLOW_TRACKING_PASSWORD for a server, PGPASSWORD (or ~/.pgpass) for PostgreSQL"
)
"""Where the password of a tracking store belongs."""


def has_password(url: str) -> bool:
    """Whether there is a password in the address of a store; what is no address has none."""
    try:
        return urlsplit(url).password is not None
    except ValueError:
        return False


def redacted(text: str) -> str:
    """A text without passwords of URLs, and without the values of secret variables."""
    text = _IN_URL.sub(r"\g<start>***@", text)
    for secret in _secrets():
        text = text.replace(secret, "***")
    return text


def _secrets() -> Iterator[str]:
    for name, value in os.environ.items():
        match = _IN_URL.search(value)
        secret = value if _SECRET_NAME.search(name) else match and match["password"]
        if secret and len(secret) >= SHORTEST:
            yield secret
