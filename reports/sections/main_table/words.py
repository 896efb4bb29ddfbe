"""The sentences under the main table: as strong as its numbers allow, and no stronger."""

from __future__ import annotations

from reports.analysis.against_baseline import UNTESTED, BaselineTest, Reading
from reports.analysis.comparison import Comparison, VariantRow
from reports.analysis.statistics import LEAST_FLIPS, PairedDifference, least_flip_p
from reports.sections.main_table.caption import DIFFERENT_SETS
from reports.sections.readings import detectable_sentence
from reports.words import SCOPE, number, percent
from studies.records import Leak, Outcome


def sentences(data: Comparison, decimals: int) -> tuple[str, ...]:
    """What the table says, in words that a template picks from the numbers."""
    found = [*_best_sentences(data, decimals), *_baseline_sentences(data), *_verdicts(data)]
    found += [*_declared(data), *_unranked(data), *([data.budgets] if data.budgets else [])]
    if data.searching:
        compared = "some variants have no result yet" if data.tuned else "shared ones are compared"
        found.insert(0, f"The search has not chosen all values yet: {compared}.")
    if data.evaluation_sets > 1:
        found.insert(0, DIFFERENT_SETS)
    largest = max((row.test.difference.n for row in data.rows if row.test), default=0)
    if 2 <= largest < LEAST_FLIPS:
        found.append(
            f"With n = {largest} an exact two-sided paired test cannot go below "
            f"p = {least_flip_p(largest):.3g}: the intervals rest on the t distribution."
        )
    return tuple(found)


def _best_sentences(data: Comparison, decimals: int) -> list[str]:
    best = data.best
    if best is None:
        return [] if data.evaluation_sets > 1 else ["No variant can be ranked yet."]
    on, so_far = data.ranked_on, " so far" * data.partial
    if any(row.ranked and row.loss.n > on for row in data.rows):
        seeds, those = ("one seed", "it") if on == 1 else (f"{on} seeds", "these")
        found = [
            f"So far all ranked variants have {seeds} in common; on {those}, {best.label} is "
            "lowest. The means in the table are over all completed runs of a variant, and may "
            "order them otherwise."
        ]
    elif on == 1:
        return [
            f"In one run{so_far}, {best.label} has the lowest final loss of the ranked variants, "
            f"{number(best.loss.mean, decimals)}; one seed gives no interval."
        ]
    else:
        spread = f"SD {number(best.loss.sd, decimals)}, n = {best.loss.n}"
        found = [
            f"Lowest mean final loss of the ranked variants{so_far}: {best.label}, "
            f"{number(best.loss.mean, decimals)} ({spread})."
        ]
    return [*found, *_others_to_best(data)]


def _others_to_best(data: Comparison) -> list[str]:
    """Where the intervals against the lowest mean lie; which one that is, the same runs say."""
    known = [row.to_best for row in data.rows if row.to_best is not None and row.to_best.n > 1]
    if not known:
        return []
    return [
        f"Against it, the {percent(data.confidence)} interval of the paired difference "
        f"{_places(known, 'other ranked variant')}{' so far' * data.partial} (not corrected, and "
        "these runs picked the lowest)."
    ]


def _places(differences: list[PairedDifference], noun: str) -> str:
    """For how many of the variants the interval lies where; places without any are left out."""
    places = {
        "includes 0": sum(difference.includes_zero for difference in differences),
        "lies above 0": sum(difference.low > 0 for difference in differences),
        "lies below 0": sum(difference.high < 0 for difference in differences),
    }
    found = {place: count for place, count in places.items() if count}
    if len(differences) == 1:
        return f"{next(iter(found))} for the one {noun}"
    if len(found) == 1:
        return f"{next(iter(found))} for all {len(differences)} {noun}s"
    text = " and ".join(f"{place} for {count}" for place, count in found.items())
    return f"{text} of {len(differences)} {noun}s"


def _baseline_sentences(data: Comparison) -> list[str]:
    """How many ranked variants' intervals lie where; survivors and leaky variants are no part."""
    others = [row for row in data.rows if row.difference is not None]
    known = [row for row in others if row.difference and row.difference.n > 1]
    baseline = next((row for row in data.rows if row.difference is None), None)
    if baseline is not None and not baseline.ranked:
        if not baseline.loss.n and any(row.ranked for row in others):
            return [
                f"The baseline ({data.baseline}) has no completed run, and is not ranked: no "
                "variant has a difference to it."
            ]
        return [
            f"The baseline ({data.baseline}) is not ranked: no interval of a difference to it is "
            "counted."
        ] * bool(known)
    if not known:
        return []
    rows = [row for row in known if row.ranked]
    unclear = [row for row in rows if row.difference and row.difference.includes_zero]
    tests = [row.test for row in unclear if row.test]
    detectable = detectable_sentence("Where the interval includes 0", tests, len(others))
    noun = "other variant" if len(rows) == len(others) else "counted variant"
    return [" ".join([_counted(data, rows, noun), *_left_out(others, rows), *detectable])]


def _counted(data: Comparison, rows: list[VariantRow], noun: str) -> str:
    if not rows:
        return f"Against the baseline ({data.baseline}), no ranked variant has an interval."
    differences = [row.difference for row in rows if row.difference]
    return (
        f"Against the baseline ({data.baseline}), the interval, not corrected,"
        f"{' so far' * data.partial} {_places(differences, noun)}."
    )


def _left_out(others: list[VariantRow], counted: list[VariantRow]) -> list[str]:
    """The variants that the count is not of, and why."""
    unranked = sum(not row.ranked for row in others)
    without = len(others) - len(counted) - unranked
    why = [f"{unranked} not ranked"] * bool(unranked)
    why += [f"{without} without an interval"] * bool(without)
    return [f"Left out of the count: {', '.join(why)}."] if why else []


def _verdicts(data: Comparison) -> list[str]:
    """Which variants differ from the baseline by the adjusted p, and what the readings mean."""
    tests = {row.label: row.test for row in data.rows if row.test}
    tested = {label: test for label, test in tests.items() if test.reading not in UNTESTED}
    short = (Reading.NO_PAIR, Reading.TOO_FEW)
    waiting = sum(test.reading in short for test in tests.values()) if data.seeds > 1 else 0
    found = []
    if waiting:
        variants = "1 variant waits" if waiting == 1 else f"{waiting} variants wait"
        found.append(f"p is given once all {data.seeds} seeds have run; {variants}.")
    if not tested:
        return found
    alpha = f"{1 - data.confidence:.3g}"
    named = [
        f"{word} for {_listed(labels)}"
        for word, readings in _SIDES.items()
        if (labels := [label for label, test in tested.items() if test.reading in readings])
    ]
    turning = [
        label
        for label, test in tested.items()
        if test.reading is Reading.AT_EDGE and test.adjusted_p <= 1 - data.confidence
    ]
    if turning:
        corrected = " adjusted by Holm" if len(tests) > 1 else ""
        found.append(
            f"No verdict for {_listed(turning)}: p{corrected} is at most {alpha}, but a "
            "search ended at its edge, and beyond it the higher loss may be lower."
        )
    if not named:
        none = "no other one" if turning else "none"
        if len(tests) > 1:
            found.append(f"With p {_adjusted(tests)}, {none} is at most {alpha}.")
        elif not turning:
            found.append(f"p {_adjusted(tests)} is above {alpha}.")
        return found
    is_ = f"final loss is {' and '.join(named)}, {SCOPE}"
    found.append(f"With p {_adjusted(tests)} (at most {alpha}), {is_}.")
    return [*found, *_beyond(tested)]


def _declared(data: Comparison) -> list[str]:
    """Which pairs a hypothesis is about: its verdict is another one."""
    labels = {row.variant: row.label for row in data.rows}
    named = [
        f"{labels[pair.variant]} ({pair.hypothesis}"
        f"{'' if pair.margin is None else f', with a declared margin of {pair.margin:g}'})"
        for pair in data.declared
    ]
    if not named:
        return []
    return [
        f"See Hypotheses as well: one was declared for {_listed(named)}. Its test is its own, and "
        "its verdict may differ from the reading here."
    ]


_SIDES = {
    "lower": (Reading.LOWER, Reading.BETTER),
    "higher": (Reading.HIGHER, Reading.WORSE),
}


def _beyond(tested: dict[str, BaselineTest]) -> list[str]:
    """Which of these differences are also large, and sure in most seeds."""
    margin = next(iter(tested.values())).margin
    found = []
    for reading, word in ((Reading.BETTER, "better"), (Reading.WORSE, "worse")):
        labels = [label for label, test in tested.items() if test.reading is reading]
        if labels:
            found.append(
                f"Called {word}, for the difference is beyond {margin:.2g} nats/token (0.01, or "
                "the baseline's SD over seeds) by a t test that is adjusted the same way, and the "
                "interval of P(win) beyond one half: "
                f"{_listed(labels)}."
            )
    return found


def _adjusted(tests: dict[str, BaselineTest]) -> str:
    """Whose p it is."""
    if len(tests) == 1:
        return "of the one comparison with the baseline"
    return f"adjusted by Holm over all {len(tests)} comparisons with the baseline"


def _listed(labels: list[str]) -> str:
    """The first six names, and how many more there are."""
    shown = ", ".join(labels[:6])
    return shown + (f" and {len(labels) - 6} more" if len(labels) > 6 else "")


def _unranked(data: Comparison) -> list[str]:
    def listed(rows: list[VariantRow]) -> str:
        return _listed([row.label for row in rows])

    diverged = [row for row in data.rows if row.outcomes[Outcome.DIVERGED]]
    pruned = [row for row in data.rows if row.outcomes[Outcome.PRUNED] and row not in diverged]
    failed = [
        row for row in data.rows if row.outcomes[Outcome.FAILED] and row not in diverged + pruned
    ]
    leaky = [row for row in data.rows if row.leak is Leak.LEAKY]
    found = []
    if diverged:
        found.append(f"Not ranked, because runs diverged: {listed(diverged)}.")
    if pruned:
        found.append(f"Not ranked, because runs were pruned: {listed(pruned)}.")
    if failed:
        found.append(f"Not ranked until failed runs are run again: {listed(failed)}.")
    if leaky:
        found.append(f"Not ranked, because the evaluation leaks: {listed(leaky)}.")
    return found
