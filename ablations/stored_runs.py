"""Runs as the tracking store has them, and which of their numbers and texts are shown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ablations.query_filter import Key, Value, as_number, parse_key
from studies.errors import AblationError, close_matches
from studies.metrics import FINAL_LOSS, METRICS
from studies.task_metrics import TASK_SCORE

STUDY = Key("attributes", "study")
KIND = Key("tags", "kind")
VARIANT = Key("tags", "variant")
SEED = Key("tags", "seed")
STAGE = Key("tags", "stage")
COLUMN = Key("tags", "column")
OUTCOME = Key("tags", "outcome")
RUN_NAME = Key("attributes", "run_name")
RUN_KEY = Key("tags", "run_key")
RUN_ID = Key("attributes", "run_id")
LOSS = Key("metrics", FINAL_LOSS)
TASK, ARM = Key("tags", "task"), Key("tags", "arm")
SCORE = Key("metrics", TASK_SCORE)
"""Of runs that fine-tune: on what, in which way, and what came of it."""
IDENTITY = (STUDY, KIND, RUN_NAME, VARIANT, SEED)
"""What names a run."""
STANDARD = (*IDENTITY, OUTCOME, RUN_KEY, RUN_ID)
"""What heads columns under its name alone."""
FACTORS, SEARCHED_KEYS = "factors", "searched"
"""Tags of the run that stands for a study: names of params, with commas between them."""
NO_RANK = (2, 0.0, "")
"""Place in an order of what is missing: behind everything."""
KINDS = ("params", "metrics", "tags", "attributes")
"""Where a name without a kind is looked for, in this order."""


@dataclass(frozen=True)
class StoredRun:
    """One run of a tracking store: kind of key to name to value."""

    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    attributes: Mapping[str, str]
    """MLflow's own: `run_id`, `run_name`, `status`, `start_time` ...; and `study`."""

    def values(self, kind: str) -> Mapping[str, Value]:
        """Everything of a kind."""
        kinds: dict[str, Mapping[str, Value]] = {
            "params": self.params,
            "metrics": self.metrics,
            "tags": self.tags,
            "attributes": self.attributes,
        }
        return kinds.get(kind, {})

    def value(self, key: Key) -> Value | None:
        """A value, None where the run has none."""
        return self.values(key.kind).get(key.name)


def distinct(runs: Iterable[StoredRun], key: Key) -> list[Value]:
    """The values that runs have, each once; numbers in their order, then texts."""
    values = {value for run in runs if (value := run.value(key)) is not None}
    return sorted(values, key=_rank)


def names_of(runs: Iterable[StoredRun], kind: str) -> list[str]:
    """Names of a kind that any of the runs has."""
    return list(dict.fromkeys(name for run in runs for name in run.values(kind)))


def resolve(text: str, runs: Sequence[StoredRun]) -> Key:
    """The key that a user means by a name with its kind or, as columns are headed, alone.

    Raises:
        AblationError: a name alone that no run has.
    """
    key = parse_key(text)
    if key is not None:
        return key
    name = text.strip().strip("\"'`")
    for standard in STANDARD:
        if name == standard.name:
            return standard
    for kind in KINDS:
        if any(name in run.values(kind) for run in runs):
            return Key(kind, name)
    if name in METRICS or not runs:
        return Key("metrics", name)
    raise unknown(text, runs)


def unknown(text: str, runs: Sequence[StoredRun]) -> AblationError:
    """The error that no run has what a user names, with what comes near."""
    key = parse_key(text)
    known = [name for kind in ([key.kind] if key else KINDS) for name in names_of(runs, kind)]
    hint = close_matches(key.name if key else text, known)
    return AblationError(
        f"no run that was found has {text}{f': {hint}' if hint else '.'} Name a param, metric or "
        'tag as a column is headed, or in full, such as params.norm or metrics."val/loss"; '
        "--json prints all that runs have."
    )


def compared_params(runs: Sequence[StoredRun], studies: Iterable[StoredRun]) -> list[Key]:
    """Factors of the studies that runs are of, and then the keys that these studies searched.

    Args:
        runs: the runs.
        studies: those that stand for studies, with both in their tags. Of a study that has none,
            all params count in which its runs differ.
    """
    tags = {study.value(STUDY): study.tags for study in studies if FACTORS in study.tags}
    own = {run.value(STUDY): None for run in runs}
    lists = [tags[s].get(tag, "") for tag in (FACTORS, SEARCHED_KEYS) for s in own if s in tags]
    names = dict.fromkeys(name for listed in lists for name in listed.split(", "))
    others = _differing([run for run in runs if run.value(STUDY) not in tags])
    return [Key("params", name) for name in names | others if any(name in r.params for r in runs)]


def _differing(runs: Iterable[StoredRun]) -> dict[str, None]:
    """Params in which runs of one study differ; one that lacks a param does not count."""
    values: dict[tuple[str | None, str], set[str]] = defaultdict(set)
    for run in runs:
        for name, value in run.params.items():
            values[run.attributes.get(STUDY.name), name].add(value)
    return {name: None for (_, name), found in values.items() if len(found) > 1 and name != "seed"}


def in_order(
    runs: Iterable[StoredRun], key: Key | None = None, *, descending: bool = False
) -> list[StoredRun]:
    """Runs by study, variant and seed, or by a key and then these; what lacks it comes last."""
    names = (STUDY, VARIANT, SEED, RUN_NAME)
    ordered = sorted(runs, key=lambda run: [_rank(run.value(name)) for name in names])
    if key is None:
        return ordered
    having = [run for run in ordered if _rank(run.value(key)) != NO_RANK]
    having.sort(key=lambda run: _rank(run.value(key)), reverse=descending)
    return having + [run for run in ordered if _rank(run.value(key)) == NO_RANK]


def _rank(value: Value | None) -> tuple[int, float, str]:
    """Numbers before texts before nothing; NaN is none of the numbers."""
    if value is None or value != value:
        return NO_RANK
    number = value if isinstance(value, float) else as_number(value)
    return (1, 0.0, str(value)) if number is None else (0, number, "")
