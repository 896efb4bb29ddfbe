"""What a study said before its first run: its hypotheses, and all that decides what is compared."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Literal

from studies.content import FILES
from studies.errors import ABSENT
from studies.hypotheses import Contrast, Hypothesis
from studies.plan import Plan
from studies.run_spec import digest, without_absent_weights
from studies.schema import DiagnosticsConfig
from studies.section import Section

REGISTRATION_FILE = "registration.json"

HYPOTHESES, CONTRASTS = "hypotheses", "contrasts"

_DECISIVE = ("protocol.search", "protocol.pruning", "report.confidence")
"""Parts of a study that every test rests on, beside its cells and its seeds."""

Parts = Mapping[str, Any]
"""Part of a study to its content, in values of JSON."""

LONGEST_VALUE = 60
"""Characters of a value that a difference quotes."""


class GitState(Section):
    """The code that a study was registered with; null outside a repository."""

    commit: str | None
    dirty: bool | None
    """Whether tracked files differed from the commit."""


class Registration(Section):
    """Written once, at the first `ablate run` of a study. `registration.json` is this."""

    registration_version: Literal[1] = 1
    study: str
    registered_at: str
    """UTC, as 2026-01-31T12:00:00+00:00."""
    after_first_runs: bool
    """Whether runs of the study were there already, so that nothing was said in advance."""
    git: GitState
    parts: dict[str, Any]
    """The hypotheses, and each part of the study that decides what is compared."""
    digests: dict[str, str]
    """Digest of each part."""
    digest: str
    """Digest of all of it, the digests aside."""

    @property
    def hypotheses(self) -> dict[str, Hypothesis]:
        """The registered hypotheses by name."""
        found = self.parts[HYPOTHESES]
        return {name: Hypothesis.model_validate(given) for name, given in found.items()}

    @property
    def is_intact(self) -> bool:
        """Whether it is what the digests were made of; else nothing in it is to be relied on."""
        return (digests_of(self.parts), self._whole()) == (self.digests, self.digest)

    def _whole(self) -> str:
        return digest(self.model_dump(mode="json", exclude={"digests", "digest"}))


def register(
    plan: Plan, *, registered_at: str, after_first_runs: bool, git: Mapping[str, Any]
) -> Registration:
    """The registration of a plan."""
    parts = registered_parts(plan)
    registration = Registration(
        study=plan.study.name,
        registered_at=registered_at,
        after_first_runs=after_first_runs,
        git=GitState.model_validate(git),
        parts=parts,
        digests=digests_of(parts),
        digest="",
    )
    return registration.model_copy(update={"digest": registration._whole()})


def registered_parts(plan: Plan) -> dict[str, Any]:
    """What is registered of a plan."""
    study = plan.study.model_dump(mode="json")
    whole = ("factors", "design", "exclude", "seeds", "protocol", "training")
    return {
        HYPOTHESES: study["hypotheses"],
        CONTRASTS: {name: _cells(plan, contrast) for name, contrast in plan.contrasts.items()},
        **{name: study[name] for name in whole},
        "model": _with_contents(plan, "model", without_absent_weights(study["model"])),
        "data": _with_contents(plan, "data", study["data"]),
        "module": _module(study["module"]),
        "report.baseline": study["report"]["baseline"],
        "report.confidence": study["report"]["confidence"],
    }


def _cells(plan: Plan, contrast: Contrast) -> dict[str, list[str]]:
    """Digests of what each set of cells is; not of how they are looked at."""
    looks = {"diagnostics": DiagnosticsConfig()}
    sides = {"of": contrast.of, "against": contrast.against}
    return {
        name: sorted(plan.cell(v).spec(0).model_copy(update=looks).cell_key for v in variants)
        for name, variants in sides.items()
    }


def _with_contents(plan: Plan, section: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """A section with what its files contain, so that where they lie does not count."""
    found = dict(given)
    for key in (file.removeprefix(f"{section}.") for file in FILES if file.startswith(section)):
        name = f"{key}_digest"
        seen = {cell.configuration[section].get(name) for cell in plan.cells} - {None}
        if seen:
            found[key] = given.get(key) and PurePath(given[key]).name
            found[name] = ", ".join(sorted(seen))
    return found


def _module(module: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if module is None:
        return None
    path = module["import_path"]
    return {**module, "import_path": PurePath(path).name if module["source_digest"] else path}


def digests_of(parts: Parts) -> dict[str, str]:
    """A digest for each part."""
    return {name: digest({name: part}) for name, part in parts.items()}


def seeds_added(registration: Registration | None, plan: Plan) -> int:
    """Number of seeds of a plan that its registration does not have; 0 without an intact one."""
    if registration is None or not registration.is_intact:
        return 0
    return len(set(plan.study.seeds) - set(registration.parts["seeds"]))


def seeds_dropped(registration: Registration | None, plan: Plan) -> tuple[int, ...]:
    """Seeds that a plan had when it was registered; none without an intact registration."""
    if registration is None or not registration.is_intact:
        return ()
    return tuple(s for s in registration.parts["seeds"] if s not in plan.study.seeds)


@dataclass(frozen=True)
class Changes:
    """What a study says now that it did not say when it was registered."""

    parts: tuple[str, ...]
    """In words, hypotheses aside: "seeds: 2 → 5"."""
    changed: tuple[str, ...]
    """Hypotheses that say something else, or that would be tested on something else: on other
    cells, or on these chosen, trained or judged in another way."""
    details: dict[str, str]
    """Hypothesis to how it says something else: "margin: 0.05 → 0.3"."""
    added: tuple[str, ...]
    removed: tuple[str, ...]

    @property
    def text(self) -> str:
        """All of it on one line; empty where nothing changed."""
        kinds = {"changed": self.changed, "added": self.added, "removed": self.removed}
        told = [
            f"hypothesis {name} {kind}{f' ({self.details[name]})' if name in self.details else ''}"
            for kind, names in kinds.items()
            for name in names
        ]
        return "; ".join([*self.parts, *told])


def changes_since(registration: Registration, plan: Plan) -> Changes:
    """How a plan differs from what was registered.

    Args:
        registration: an intact one.
        plan: of the study as it is now.
    """
    then, now = dict(registration.parts), registered_parts(plan)
    cells_then, cells_now = (parts.pop(CONTRASTS) for parts in (then, now))
    told = [parts.pop(HYPOTHESES) for parts in (then, now)]  # one by one
    before, current = registration.hypotheses, plan.study.hypotheses
    differences = dict(_differences("", then, now))
    all_change = any(key.startswith(_DECISIVE) for key in differences)
    return Changes(
        parts=tuple(differences.values()),
        changed=tuple(
            n
            for n in current
            if n in before
            and (all_change or before[n] != current[n] or cells_then[n] != cells_now[n])
        ),
        details={
            name: "; ".join(line for _, line in lines)
            for name in current
            if name in before and (lines := list(_differences("", *(t[name] for t in told))))
        },
        added=tuple(name for name in current if name not in before),
        removed=tuple(name for name in before if name not in current),
    )


def _differences(name: str, before: object, after: object) -> Iterator[tuple[str, str]]:
    """The dotted key of each value that differs, and a line that says how."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in dict.fromkeys([*before, *after]):
            inner = before.get(key, ABSENT), after.get(key, ABSENT)
            yield from _differences(f"{name}.{key}".lstrip("."), *inner)
    elif after is ABSENT:
        yield name, f"{name}: {_text(name, before)} removed"
    elif before is ABSENT:
        yield name, f"{name}: {_text(name, after)} added"
    elif before != after:
        was, is_now = _text(name, before), _text(name, after)
        yield name, f"{name}: {was} → {is_now}" if was != is_now else f"{name}: changed"


def _text(key: str, value: object) -> str:
    """A value as a study file would give it, long ones cut."""
    if key == "seeds" and isinstance(value, list) and value == list(range(len(value))):
        return str(len(value))
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = text.replace('"', "")
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"
