"""What may be said of a cell in several studies: its tests pick the words, nothing else does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reports.analysis.joined.comparison import (
    JoinedComparison,
    JoinedReading,
    JoinedRow,
    has_verdict,
    sign_of,
)
from reports.sections.readings import Verdict, verdict_of
from reports.words import any_of, listed

_TEXTS: Mapping[JoinedReading, str] = {
    JoinedReading.UNTESTED: "no verdict",
    JoinedReading.UNDETECTED: "no evidence of a difference",
    JoinedReading.OPPOSITE: "differs between studies",
    JoinedReading.ABSENT: "not tested in every study",
    JoinedReading.REPEATED: "no separate evidence",
    JoinedReading.LOWER: "consistently lower final loss",
    JoinedReading.HIGHER: "consistently higher final loss",
}
_SIGNS = {-1: "lower", 1: "higher"}


def joined_verdict(row: JoinedRow, letters: Sequence[str], decimals: int) -> Verdict:
    """The reading of a cell, and what each study says of it.

    Args:
        row: the cell.
        letters: of the studies.
        decimals: of numbers that a verdict names.
    """
    assert row.reading is not None
    said: dict[str, list[str]] = {}
    for letter, side in zip(letters, row.sides, strict=True):
        if side is None:
            text = "not in"
        elif side.test is None:
            text = "baseline in"
        elif sign := sign_of(side.test.reading):
            text = f"{_SIGNS[sign]} in"
        else:
            text = f"{verdict_of(side.test, decimals).sentence} in"
        said.setdefault(text, []).append(letter)
    parts = [f"{text} {any_of(found, 'and')}" for text, found in said.items()]
    for i, j in row.alike:
        parts.append(f"{letters[i]} and {letters[j]} on the same text, size and seeds")
    text = _TEXTS.get(row.reading) or _apart(row, letters)
    return Verdict(text, "; ".join(parts))


def _apart(row: JoinedRow, letters: Sequence[str]) -> str:
    """Which studies detect a difference: "higher in A (n = 6), not detected in B (n = 3)"."""
    said: dict[str, list[str]] = {}
    for letter, side in zip(letters, row.sides, strict=True):
        if side is None or side.test is None:
            continue
        reading = side.test.reading
        known = f"{letter} (n = {side.test.difference.n})"
        if sign := sign_of(reading):
            said.setdefault(_SIGNS[sign], []).append(known)
        elif has_verdict(reading):
            said.setdefault("not detected", []).append(known)
        else:
            said.setdefault("no verdict", []).append(letter)
    ordered = sorted(said.items(), key=lambda item: item[0] == "no verdict")
    return ", ".join(f"{text} in {any_of(found, 'and')}" for text, found in ordered)


def joined_sentences(data: JoinedComparison) -> tuple[str, ...]:
    """What the table says, counted."""
    found = [_evaluation(data)]
    if data.baseline is None:
        named = "; ".join(f"{a}: {b}" for a, b in zip(data.letters, data.baselines, strict=True))
        found.append(
            f"The studies have different baselines ({named}): differences to them are not "
            "comparable, and none is shown. Name one cell as `report.baseline` in every study file."
        )
        return tuple(found)
    read = [row for row in data.rows if row.reading is not None]
    if not read:
        found.append(
            f"The baseline ({data.baseline}) is the only shared cell: there is nothing that two "
            "studies compare with it."
        )
        return tuple(found)
    found += [sentence for reading in JoinedReading if (sentence := _said(read, reading, data))]
    return (*found, *_repeated(data))


_COUNTED: Mapping[JoinedReading, str] = {
    JoinedReading.UNTESTED: "There is no joint verdict on",
    JoinedReading.UNDETECTED: "No study has detected a difference to the baseline for",
    JoinedReading.OPPOSITE: "The sign of the difference to the baseline differs between studies, "
    "significantly in each of two, for",
    JoinedReading.PARTLY: "A difference to the baseline is detected with one sign in some studies "
    "and not in others, which is no evidence that there is none, for",
    JoinedReading.OPEN: "A difference to the baseline is detected with one sign in some studies, "
    "and the others have no verdict, for",
    JoinedReading.ABSENT: "Significant with one sign in each study that has the cell, which is "
    "not every study of this report:",
    JoinedReading.REPEATED: "Significant with one sign in every study, but two of them are on the "
    "same text, size and seeds, so that one does not replicate the other:",
    JoinedReading.LOWER: "Final loss is consistently lower than the baseline's, by the Holm p of "
    "every study, under their protocols at their scales, for",
    JoinedReading.HIGHER: "Final loss is consistently higher than the baseline's, by the Holm p of "
    "every study, under their protocols at their scales, for",
}


def _said(read: Sequence[JoinedRow], reading: JoinedReading, data: JoinedComparison) -> str:
    rows = [row for row in read if row.reading is reading]
    labels = [row.cell.label for row in rows]
    if not labels:
        return ""
    named = any_of(listed(labels), "and")
    if reading not in _TEXTS:
        told = [f"{row.cell.label}: {_apart(row, data.letters)}" for row in rows]
        named = "; ".join(listed(told))
    return f"{_COUNTED[reading]} {len(labels)} of {len(read)} shared cells ({named})."


def _evaluation(data: JoinedComparison) -> str:
    """Whether losses of different studies stand side by side."""
    same = sum(row.same_evaluation for row in data.rows)
    if same == len(data.rows):
        return (
            "The losses of each shared cell are on one evaluation set in all studies that have it, "
            "and stand side by side; they are not ranked across studies."
        )
    if not same:
        return (
            "For no shared cell the losses are known to be on one evaluation set in all studies: "
            "no loss is shown, and only differences to each study's own baseline are compared."
        )
    return (
        f"For {same} of {len(data.rows)} shared cells the losses are on one evaluation set in all "
        "studies, and stand side by side. For the others that is not known or not so: their losses "
        "are not shown, and only differences to each study's own baseline are compared."
    )


def _repeated(data: JoinedComparison) -> list[str]:
    pairs = sorted({pair for row in data.rows for pair in row.alike})
    if not pairs:
        return []
    named = "; ".join(f"{data.letters[i]} and {data.letters[j]}" for i, j in pairs)
    return [
        f"Same text, same size of model and at least one same seed: {named}. Such runs share the "
        "start of their parameters or the order of their data, and are no independent replications."
    ]
