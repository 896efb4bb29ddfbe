"""The user's profiles: where studies of theirs run, whatever the study says.

One YAML file holds them by name, `~/.config/ablate/profiles.yaml` or what ABLATE_PROFILES names:

    lab:
      launcher: slurm
      workers: 16
      storage: postgresql://ablate@db.lab/ablations
      tracking_uri: http://mlflow.lab:5000
      slurm: {partition: gpu, time_limit_minutes: 240}

The profile called `default` holds where none is asked for, by --profile or ABLATE_PROFILE.
"""

from __future__ import annotations

import os
from pathlib import Path

import yaml
from pydantic import Field, TypeAdapter, ValidationError

from ablations.redaction import TRACKING_PASSWORDS, has_password
from studies.errors import AblationError, close_matches
from studies.section import Settings
from studies.values import Scalar

FILE_VARIABLE, NAME_VARIABLE = "ABLATE_PROFILES", "ABLATE_PROFILE"
DEFAULT = "default"


class SlurmSettings(Settings):
    """What a Slurm job of one worker asks for."""

    partition: str | None = None
    """Partition, or several with commas between them."""
    account: str | None = None
    """Account that is charged."""
    qos: str | None = None
    """Quality of service."""
    constraint: str | None = None
    """Features that a node must have."""
    gpus_per_worker: int = Field(1, ge=0)
    """GPUs of a job. It trains as many runs at a time as have room on them; 0 trains on the CPU."""
    cpus_per_worker: int = Field(2, ge=1)
    """CPU cores of a job."""
    memory_gib: float | None = Field(None, gt=0)
    """Memory of a job; null is what the cluster gives."""
    time_limit_minutes: int = Field(240, ge=1)
    """Time limit of a job. A worker stops before it and gives its run back, checkpoint and all."""
    stop_before_limit_s: int = Field(180, ge=30)
    """How long before the time limit a worker is told to stop. Slurm counts in whole minutes."""
    setup: tuple[str, ...] = ()
    """Lines of shell that are run in the job before the worker, such as `module load cuda`."""
    container_image: str | None = None
    """Image that the worker runs in, for clusters with pyxis (`srun --container-image`)."""
    container_mounts: str | None = None
    """What is mounted there (`srun --container-mounts`): the home folder of the study, at least."""
    python: str | None = None
    """Python that has `ablations`, in the job or in its image; null is the one in use."""
    options: dict[str, Scalar] = Field(default_factory=dict)
    """Further options of sbatch, by their long names: `{reservation: night}`."""
    workers_submit: bool = False
    """Whether a worker places its successor when it stops before its time limit. Needs compute
    nodes that may call sbatch; otherwise `ablate run` or `ablate status --watch` does."""


class Profile(Settings):
    """Where and with what studies run."""

    launcher: str = "local"
    """Who places workers: `local`, `slurm` or `debug`."""
    workers: int | None = Field(None, ge=1)
    """Workers at a time; null is one for each GPU of this machine, or else for each core."""
    storage: str | None = None
    """Where queues of new studies go, without a password."""
    tracking_uri: str | None = None
    """MLflow server; user and password come from MLFLOW_TRACKING_USERNAME and _PASSWORD."""
    slurm: SlurmSettings = Field(default_factory=SlurmSettings)
    """Of the launcher `slurm`."""


_PROFILES = TypeAdapter(dict[str, Profile])


def profiles_path() -> Path:
    """The file of the user's profiles."""
    configured = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(os.environ.get(FILE_VARIABLE) or Path(configured) / "ablate" / "profiles.yaml")


def asked_profile(name: str | None) -> str | None:
    """Name of the profile that is asked for: this one, or that of ABLATE_PROFILE, if any."""
    return name or os.environ.get(NAME_VARIABLE) or None


def load_profile(name: str | None = None) -> Profile:
    """A profile by name; without a name the one of ABLATE_PROFILE, or the default one.

    Raises:
        AblationError: there is none of that name, or the file says what it may not.
    """
    asked = asked_profile(name)
    profiles = _read(profiles_path())
    if asked is None:
        return profiles.get(DEFAULT, Profile())
    if asked not in profiles:
        hint = close_matches(asked, profiles)
        raise AblationError(
            f"no profile {asked!r} in {profiles_path()}: {hint + ' ' if hint else ''}"
            f"known: {', '.join(profiles) or 'none; docs/cluster.md shows how to write one'}"
        )
    return profiles[asked]


def _read(path: Path) -> dict[str, Profile]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except yaml.YAMLError as error:
        raise AblationError(f"{path} is no YAML: {error}") from None
    try:
        profiles = _PROFILES.validate_python(content or {})
    except ValidationError as error:
        raise AblationError(f"{path}: {_first_problem(error)}") from None
    from ablations.storages.urls import refuse_password  # slow, and not every command needs it

    for name, profile in profiles.items():
        if profile.storage is not None:
            refuse_password(profile.storage, f"{path}: {name}.storage")
        if profile.tracking_uri is not None and has_password(profile.tracking_uri):
            raise AblationError(
                f"{path}: {name}.tracking_uri has a password in it, which gets into command lines "
                f"and logs. {TRACKING_PASSWORDS}"
            )
    return profiles


def _first_problem(error: ValidationError) -> str:
    first = error.errors()[0]
    key, message = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
    if not key:
        return f"it holds no profiles by name: {first['input']!r}"
    if first["type"] != "extra_forbidden":
        return f"{key} = {first['input']!r}: {message.replace('|', '; ')}"
    known = list((SlurmSettings if first["loc"][1] == "slurm" else Profile).model_fields)
    hint = close_matches(str(first["loc"][-1]), known)
    return f"unknown key {key}: {hint + ' ' if hint else ''}known: {', '.join(known)}"
