"""Checking what must hold between several settings, for every combination of a study."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from studies.configuration import ARGUMENTS_PREFIX, Flat, flatten, with_values
from studies.cost_checks import check_costs
from studies.designs import Combination, combinations, matches
from studies.findings import Findings
from studies.protocol import Range, Tune
from studies.protocol_levels import corners, place_of
from studies.resolution import resolve
from studies.rules import RULES, Rule
from studies.schema import Study, field_of
from studies.values import Scalar

MOST_CHECKED = 1000
"""Numbers of a range, from its low end on, that are held against the rules: those that leave gaps
ask for divisors, and no number has so many in a row."""

_COST_KEYS = ("model.", "data.", "training.", "module", "protocol.budget", "protocol.match")
"""Where what a run costs is read from."""


class _Case(NamedTuple):
    """A combination at a setting of the search, with the steps that its budget buys."""

    levels: Combination
    setting: Mapping[str, Scalar]
    flat: Flat


def check_relations(study: Study, broken: Collection[str], findings: Findings) -> None:
    """Every rule on every combination, and what each costs; what reads a broken value is left out.

    Args:
        study: with what is wrong left out.
        broken: keys at which something was wrong.
        findings: where problems are noted.
    """
    noted = {problem.key for problem in findings.problems} - study.factors.keys()
    if not any(key.removeprefix("factors.").startswith(_COST_KEYS) for key in noted):
        kept = [
            c for c in combinations(study) if not any(matches(e.when, c) for e in study.exclude)
        ]
        check_costs(study, [_settable(study, levels) for levels in kept], findings)
    broken = set(broken) - study.factors.keys()
    if any(problem.key.startswith("protocol.budget") for problem in findings.problems):
        broken.add("training.max_steps")  # which nobody has named
    rules = [rule for rule in RULES if not broken.intersection(rule.keys)]
    if study.module is not None:
        rules = [rule for rule in rules if not rule.is_of_gpt]
    _check_rules(study, rules, findings)
    _check_whole_ranges(study, rules, findings)


def _cases(study: Study) -> Iterator[_Case]:
    base = study.base()
    settings = [{}, *corners(study.protocol.search)]
    for combination in combinations(study):
        levels = _settable(study, combination)
        length = _length(study, levels)
        for setting in settings:
            flat = flatten(with_values(base, {**levels, **setting}))
            yield _Case(
                levels, setting, {**flat, **length, "execution.devices": study.execution.devices}
            )


def _settable(study: Study, combination: Combination) -> Combination:
    """The levels of keys that there are."""
    own = study.module is not None
    return {
        key: level
        for key, level in combination.items()
        if field_of(key) or (own and key.startswith(ARGUMENTS_PREFIX))
    }


def _length(study: Study, levels: Combination) -> dict[str, Any]:
    """How long a budget lets a combination train."""
    if study.protocol.budget is None:
        return {}
    training = resolve(study, levels).configuration["training"]
    return {f"training.{name}": training[name] for name in ("max_steps", "max_minutes")}


def _check_rules(study: Study, rules: Sequence[Rule], findings: Findings) -> None:
    for levels, setting, flat in _cases(study):
        for rule in rules:
            violation = rule.check(flat)
            if violation is not None:
                key = rule.keys[0]
                place = "protocol.search: " if key in setting else ""
                place = "factors." if key in levels else place
                findings.add(place + key, violation.value, violation.allowed, rule.remedy)


def _check_whole_ranges(study: Study, rules: Sequence[Rule], findings: Findings) -> None:
    """Each whole number between two ends, which a rule may forbid though it allows the ends."""
    search = study.protocol.search
    ranges = search.ranges if isinstance(search, Tune) else {}
    for key, tried in ranges.items():
        reading = [rule for rule in rules if key in rule.keys]
        if isinstance(tried, Range) and isinstance(tried.low, int) and reading:
            _check_whole_range(study, key, tried, reading, findings)


def _check_whole_range(
    study: Study, key: str, tried: Range, rules: Sequence[Rule], findings: Findings
) -> None:
    read = {other for rule in rules for other in rule.keys}
    around = ({other: case.flat.get(other) for other in read} for case in _cases(study))
    contexts = {str({**flat, key: None}): flat for flat in around}.values()
    numbers = range(int(tried.low), min(int(tried.high) + 1, int(tried.low) + MOST_CHECKED))
    allowed = {
        number: violation.allowed
        for number in numbers
        for flat in contexts
        for rule in rules
        if (violation := rule.check({**flat, key: number})) is not None
    }
    fits = [number for number in numbers if number not in allowed]
    gap = next((n for n in allowed if fits and fits[0] < n < fits[-1]), None)
    if gap is not None:
        findings.add(
            place_of(study.protocol.search, key),
            f"{tried.low} to {tried.high}",
            f"a range of which every number fits; {gap} does not: {allowed[gap]}",
            f"list the values that fit: {', '.join(map(str, fits))}",
        )
