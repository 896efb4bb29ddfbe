"""What the digests of the runs say about their pairing, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from reports.pairing import DataAgreement, Pairing, StartAgreement
from reports.words import any_of, factor_label

LISTED = 6
"""Names that a sentence gives."""


def pairing_sentences(pairing: Pairing) -> list[str]:
    """Whether runs of one seed had the same data and the same start, as they recorded it."""
    if not pairing.seeds:
        return []
    return [
        _data("training batches", [seed.training for seed in pairing.seeds]),
        _data("evaluation tokens", [seed.evaluation for seed in pairing.seeds]),
        _start([seed.start for seed in pairing.seeds]),
        *_unknown([seed.training for seed in pairing.seeds]),
    ]


def _data(what: str, found: Sequence[DataAgreement]) -> str:
    known = [agreement for agreement in found if agreement.same is not None]
    if not known:
        return f"Whether variants had the same {what} is not known: too few runs say so."
    if all(agreement.same for agreement in known):
        return f"At each seed all variants had the same {what}, by the digests of their runs."
    varied = list(dict.fromkeys(key for agreement in known for key in agreement.varied))
    if all(agreement.as_designed for agreement in known):
        keys = any_of([factor_label(key) for key in varied], "and")
        return f"Variants had different {what}, since they differ in {keys}."
    return f"Variants had different {what} where they should have had the same: not paired."


def _start(found: Sequence[StartAgreement]) -> str:
    shared = max(agreement.shared for agreement in found)
    if not shared:
        return "No two variants share a parameter by name and shape, or no run says so."
    equal = min(agreement.equal for agreement in found)
    text = (
        f"{equal} of {shared} parameters that variants share by name and shape start from equal "
        "values at each seed"
    )
    unequal = list(dict.fromkeys(p.name for agreement in found for p in agreement.unequal))
    if not unequal:
        return f"{text}."
    more = f" and {len(unequal) - LISTED} more" if len(unequal) > LISTED else ""
    varied = list(dict.fromkeys(key for agreement in found for key in agreement.varied))
    why = f" (variants differ in {any_of(list(map(factor_label, varied)), 'and')})" * bool(varied)
    return f"{text}; {', '.join(unequal[:LISTED])}{more} do not{why}."


def _unknown(found: Sequence[DataAgreement]) -> list[str]:
    missing = sum(len(agreement.unknown) for agreement in found)
    if not missing:
        return []
    return [f"{missing} compared runs left no digest: they did not run, failed, or are older."]
