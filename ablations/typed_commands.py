"""Commands as they are to be typed next."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
from pathlib import Path

UI_HOST, UI_PORT = "127.0.0.1", 5000
PROXY_PORT = 13000
DEFAULT_UI = f"http://{UI_HOST}:{UI_PORT}"
"""Where `ablate ui` serves if nothing else is asked for."""
_TRACKED = ("run", "worker", "status", "sync", "report", "query", "ui")
_OPTIONS = {
    "tracking_uri": _TRACKED,
    "profile": _TRACKED,
    "storage": ("run", "worker", "status", "cancel"),
    "launcher": ("run",),
}
"""Options that go on to the next command, where it has them too."""
DEFAULT_HOME = Path(os.environ.get("ABLATE_HOME", "ablate-out"))


def typed(name: str, options: argparse.Namespace) -> str:
    """Another subcommand on the study, home and store of this one, to be typed as it is printed.

    What `--set` made a study of another name is called by that, but by `run`, which needs the file.
    """
    program = Path(sys.argv[0])
    off_path = program.name == "ablate" and shutil.which("ablate") is None
    words = [sys.argv[0] if off_path else "ablate", name]
    if name == "run":
        words.append(options.study)
        for setting in getattr(options, "set", ()):
            words += ["--set", setting]
    else:
        words.append(name_that_was_set(options) or options.study)
    if options.home != DEFAULT_HOME:
        words += ["--home", str(options.home)]
    for option, commands in _OPTIONS.items():
        value = getattr(options, option, None)
        if value and name in commands:
            words += [f"--{option.replace('_', '-')}", value]
    return shlex.join(words)


def name_that_was_set(options: argparse.Namespace) -> str | None:
    """What `--set` calls the study, if it does."""
    values = [s.removeprefix("name=") for s in getattr(options, "set", ()) if s.startswith("name=")]
    return values[-1] if values else None
