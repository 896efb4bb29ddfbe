"""The subcommands of `ablate` that only clusters need, and their options."""

from __future__ import annotations

from ablations import commands
from ablations.command_adder import CommandAdder
from ablations.option_types import positive
from ablations.typed_commands import PROXY_PORT, UI_HOST


def add_cluster_commands(add: CommandAdder) -> None:
    """Add `ablate move`, `ablate proxy` and `ablate doctor`."""
    _add_move(add)
    _add_proxy(add)
    _add_doctor(add)


def _add_move(add: CommandAdder) -> None:
    move = add(
        "move",
        commands.move,
        "take the queue of a study to another storage, such as from one machine to a cluster",
        "ablate move quickstart --storage journal",
    )
    move.add_argument(
        "--storage",
        required=True,
        metavar="URL",
        help="where to: journal, postgresql://USER@HOST/DATABASE, mysql://... or sqlite",
    )


def _add_proxy(add: CommandAdder) -> None:
    proxy = add(
        "proxy",
        commands.proxy,
        "serve a database to hundreds of workers, which reach it as --storage grpc://HOST:PORT",
        "ablate proxy --storage postgresql://ablate@db/ablations --host 10.0.0.5",
        study=False,
        stored=True,
    )
    proxy.add_argument(
        "--host",
        default=UI_HOST,
        help="address to bind; who reaches it may change every study there (default: %(default)s)",
    )
    proxy.add_argument(
        "--port", type=positive, default=PROXY_PORT, help="port (default: %(default)s)"
    )


def _add_doctor(add: CommandAdder) -> None:
    doctor = add(
        "doctor",
        commands.doctor,
        "whether what a study needs is there, and what to do where it is not: packages, GPUs, "
        "home folder, storage, tracking, Slurm",
        "ablate doctor quickstart --profile lab",
        study=False,
        tracked=True,
        stored=True,
    )
    doctor.add_argument(
        "study", nargs="?", help="a shipped study or the path of a study file (default: none)"
    )
    doctor.add_argument(
        "--launcher",
        metavar="NAME",
        help="look at what this one needs: local, slurm or debug (default: as the profile says)",
    )
