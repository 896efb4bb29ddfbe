"""Checking what a study says of pruning: the options of its pruner, its stage, its seeds."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from studies.errors import ABSENT, close_matches
from studies.findings import Findings
from studies.protocol import Fixed
from studies.pruners import PRUNERS
from studies.schema import Study
from studies.values import Scalar

P_THRESHOLD, STARTUP_SEEDS = 0.1, 2
"""Defaults of the Wilcoxon pruner."""


def parts_of(pruner: str, options: Mapping[str, Scalar]) -> tuple[str, ...]:
    """The pruners that take part: one, or `patient` and the one that it asks."""
    if pruner != "patient":
        return (pruner,)
    wrapped = options.get("wrapped_pruner", "median")
    return ("patient", str(wrapped)) if wrapped in PRUNERS else ("patient",)


def problems_of_options(pruner: str, options: Mapping[str, Scalar]) -> dict[str, tuple[str, str]]:
    """Option to what is allowed there and what to do; "" stands for the options together."""
    parts = [PRUNERS[name] for name in parts_of(pruner, options)]
    known = {name: option for part in parts for name, option in part.options.items()}
    found = {}
    for name, value in options.items():
        if name not in known:
            hint = close_matches(name, known) or "remove the option"
            found[name] = (f"options of {pruner}: {', '.join(known)}", hint)
        elif not known[name].takes(value):
            hint = close_matches(value, known[name].words) if isinstance(value, str) else ""
            found[name] = (known[name].allowed, hint or "change the value")
    for part in parts:
        if part.needs and not set(part.needs) & options.keys():
            found[""] = (f"a value of {' or '.join(part.needs)}", "add it to the options")
    return found or _problems_between(known, options)


def _problems_between(
    known: Collection[str], options: Mapping[str, Scalar]
) -> dict[str, tuple[str, str]]:
    """What contradicts what, among options that are right each for itself."""
    lower, upper = options.get("lower"), options.get("upper")
    if isinstance(lower, int | float) and isinstance(upper, int | float) and lower > upper:
        return {"lower": (f"at most upper ({upper})", "swap or change them")}
    least, most = options.get("min_resource", 1), options.get("max_resource", "auto")
    if isinstance(least, int) and isinstance(most, int) and most < least:
        return {"max_resource": (f"at least min_resource ({least})", "swap or change them")}
    resource = "max_resource" if "max_resource" in known else "min_resource"
    if options.get("bootstrap_count") and options.get(resource, "auto") == "auto":
        return {"bootstrap_count": ("0 where the resource is auto", "give the resource in steps")}
    return {}


def fewest_seeds(options: Mapping[str, Scalar]) -> float:
    """Seeds that a candidate needs so that the last of them can ever be given up.

    A one-sided signed-rank test of n pairs gives no p below 2^-n.
    """
    threshold = float(options.get("p_threshold", P_THRESHOLD) or 0)
    if threshold <= 0:
        return math.inf
    pairs = math.floor(-math.log2(threshold)) + 1
    startup = options.get("n_startup_steps", STARTUP_SEEDS)
    return 1 + max(2, pairs, startup if isinstance(startup, int) else 0)


def check_pruning(study: Study, findings: Findings) -> None:
    """A pruner with options that it knows, and runs that it can prune."""
    pruning, search = study.protocol.pruning, study.protocol.search
    if pruning is None or any(p.key == "protocol.pruning.pruner" for p in findings.problems):
        return
    for option, (allowed, remedy) in problems_of_options(pruning.pruner, pruning.options).items():
        key = f"protocol.pruning.options.{option}".rstrip(".")
        findings.add(key, pruning.options.get(option, ABSENT), allowed, remedy)
    if pruning.stage == "search" and isinstance(search, Fixed):
        findings.add(
            "protocol.pruning.stage",
            "search",
            "report, where there is no search",
            "add protocol.search, set stage: report, or remove protocol.pruning",
        )
    elif PRUNERS[pruning.pruner].of_seeds:
        _check_seeds(study, findings)


def _check_seeds(study: Study, findings: Findings) -> None:
    pruning, search = study.protocol.pruning, study.protocol.search
    assert pruning is not None
    of_search = pruning.stage == "search" and not isinstance(search, Fixed)
    seeds = search.seeds if of_search and not isinstance(search, Fixed) else study.seeds
    fewest = fewest_seeds(pruning.options)
    if fewest == math.inf:
        findings.add(
            "protocol.pruning.options.p_threshold", 0, "a number above 0", "change the value"
        )
    elif len(seeds) < fewest:
        findings.add(
            "protocol.search.seeds" if of_search else "seeds",
            list(seeds),
            f"at least {fewest:g} seeds with the pruner {pruning.pruner}: with these options it "
            f"needs {fewest - 1:g} that have ended before it can give up another",
            "use more seeds, or another pruner",
        )
