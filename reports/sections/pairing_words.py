"""What the digests of the runs say about their pairing, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from reports.analysis.pairing import DataAgreement, Pairing, StartAgreement
from reports.words import any_of, factor_label

LISTED = 6
"""Names that a sentence gives."""


def pairing_sentences(pairing: Pairing) -> list[str]:
    """Whether runs of one seed had the same data and the same start, as they recorded it.

    A seed at which fewer than two variants left a digest says nothing, and nothing is said of it.
    """
    if not pairing.seeds:
        return []
    some_wait = bool(pairing.waiting)
    steps = [seed.training_steps for seed in pairing.seeds if seed.training_steps is not None]
    return [
        _data(
            "training batches",
            [seed.training for seed in pairing.seeds],
            some_wait,
            f" (compared up to step {min(steps):,})" if steps else "",
        ),
        _data("evaluation tokens", [seed.evaluation for seed in pairing.seeds], some_wait),
        _start([seed.start for seed in pairing.seeds]),
        *_unknown([seed.training for seed in pairing.seeds]),
    ]


def _data(what: str, found: Sequence[DataAgreement], some_wait: bool, extent: str = "") -> str:
    known = [agreement for agreement in found if agreement.same is not None]
    if not known:
        return f"Whether variants had the same {what} is not known: too few runs say so."
    if all(agreement.same for agreement in known):
        partial = some_wait or any(agreement.unknown for agreement in known)
        who = "all variants that left a digest" if partial else "all variants"
        where = _seeds(len(known), len(found))
        return f"At {where} {who} had the same {what}, by the digests of their runs{extent}."
    varied = list(dict.fromkeys(key for agreement in known for key in agreement.varied))
    if all(agreement.as_designed for agreement in known):
        keys = any_of([factor_label(key) for key in varied], "and")
        return f"Variants had different {what}, since they differ in {keys}."
    return f"Variants had different {what} where they should have had the same: not paired."


def _seeds(known: int, count: int) -> str:
    """The seeds that a sentence is about: "each seed", or "2 of 5 seeds" and why no more."""
    if known == count:
        return "each seed"
    return f"{known} of {count} seeds (of the rest too few runs say so)"


def _start(found: Sequence[StartAgreement]) -> str:
    """Over the seeds that are known: a parameter that is unequal at any of them is unequal."""
    known = [agreement for agreement in found if agreement.is_known]
    if not known:
        return "Whether variants start from equal values is not known: too few runs say so."
    shared = {parameter for agreement in known for parameter in agreement.common}
    if not shared:
        return "No two variants share a parameter by name and shape."
    unequal = dict.fromkeys(p.parameter for agreement in known for p in agreement.unequal)
    text = (
        f"{len(shared) - len(unequal)} of {len(shared)} parameters that variants share by name and "
        f"shape start from equal values at {_seeds(len(known), len(found))}"
    )
    if not unequal:
        return f"{text}."
    names = list(dict.fromkeys(name for name, _ in unequal))
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    varied = list(dict.fromkeys(key for agreement in known for key in agreement.varied))
    why = f" (variants differ in {any_of(list(map(factor_label, varied)), 'and')})" * bool(varied)
    return f"{text}; {', '.join(names[:LISTED])}{more} do not{why}."


def _unknown(found: Sequence[DataAgreement]) -> list[str]:
    missing = sum(len(agreement.unknown) for agreement in found)
    if not missing:
        return []
    return [f"{missing} compared runs left no digest: they did not run, failed, or are older."]
