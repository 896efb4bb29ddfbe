"""What the tests of several studies allow to say of a cell together."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from reports.analysis.against_baseline import BaselineTest, Reading
from reports.analysis.joined.comparison import (
    JoinedComparison,
    JoinedReading,
    compare_joined,
    joined_reading,
    sign_of,
)
from reports.exhibits import Exhibits
from reports.sections.joined import cells as joined_cells
from reports.sections.joined.words import joined_sentences, joined_verdict
from studies.plan import Choice
from studies.records import Outcome
from tests.reports_tests.conftest import Synthetic
from tests.reports_tests.joined_studies import CODE, joined, study, without_runs
from tests.reports_tests.searched import RATE

LOWER = {"swiglu-layer": -0.05, "swiglu-rms": -0.05}
FLAT = {"gelu-layer": 0.0}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> JoinedComparison:
    folder = tmp_path_factory.mktemp("joined")
    first = study(folder, "a", shifts=LOWER, evaluation="e1")
    return compare_joined(joined(first, study(folder, "b", shifts=LOWER, data=CODE)))


def reading_of(data: JoinedComparison, name: str) -> JoinedReading | None:
    return next(row.reading for row in data.rows if row.cell.name == name)


def a_test(data: JoinedComparison, reading: Reading) -> BaselineTest:
    side = data.rows[0].sides[0]
    assert side is not None
    assert side.test is not None
    return replace(side.test, reading=reading)


def said(data: JoinedComparison) -> str:
    """Every word of the section, its captions included."""
    found: Exhibits = joined_cells.render(data)
    parts = [*found.sentences, *(table.caption for table in found.tables)]
    parts += [f"{cell.text} {cell.detail} {cell.tex}" for table in found.tables
              for row in table.rows for cell in row.cells]  # fmt: skip
    return " ".join([*parts, *(figure.caption for figure in found.figures)])


def test_what_all_studies_show_on_their_own_text_is_consistent(data: JoinedComparison) -> None:
    assert reading_of(data, "swiglu-layer") is JoinedReading.LOWER
    assert "consistently lower final loss" in said(data)
    assert "consistently higher" not in said(data)
    (sentence,) = (s for s in joined_sentences(data) if "consistently" in s)
    assert re.search(r"for 2 of 5 shared cells \(SwiGLU · (\w+) and SwiGLU · (?!\1)\w+\)", sentence)


def test_consistently_is_said_only_where_every_study_is_significant_with_one_sign(
    data: JoinedComparison,
) -> None:
    row = next(row for row in data.rows if row.reading is not None)
    sides = [side for side in row.sides if side is not None]
    for readings in product([*Reading, None], repeat=2):
        for separate in (True, False):
            tests = [a_test(data, reading) if reading else None for reading in readings]
            found = joined_reading(tests, separate=separate)
            signs = {sign_of(reading) if reading else 0 for reading in readings}
            allowed = separate and signs in ({-1}, {1})
            assert found.is_consistent == allowed
            shown = replace(
                row,
                reading=found,
                alike=() if separate else ((0, 1),),
                sides=tuple(
                    replace(side, test=test) if test else None
                    for side, test in zip(sides, tests, strict=True)
                ),
            )
            text = joined_verdict(shown, data.letters, 3).sentence
            text += " ".join(joined_sentences(replace(data, rows=(shown,))))
            assert ("consistently" in text) == allowed
            for word in ("equal ", "better"):
                assert word not in text or any(
                    reading and reading.is_significant for reading in readings
                )


@pytest.mark.parametrize(
    ("readings", "separate", "expected"),
    [
        ((Reading.LOWER, Reading.BETTER), True, JoinedReading.LOWER),
        ((Reading.HIGHER, Reading.WORSE), True, JoinedReading.HIGHER),
        ((Reading.LOWER, Reading.LOWER), False, JoinedReading.REPEATED),
        ((Reading.LOWER, Reading.HIGHER), True, JoinedReading.OPPOSITE),
        ((Reading.LOWER, Reading.HIGHER), False, JoinedReading.OPPOSITE),
        ((Reading.LOWER, Reading.NOT_SIGNIFICANT), True, JoinedReading.PARTLY),
        ((Reading.LOWER, Reading.AT_EDGE), True, JoinedReading.OPEN),
        ((Reading.LOWER, Reading.TOO_FEW), True, JoinedReading.OPEN),
        ((Reading.LOWER, Reading.AT_EDGE, Reading.NO_DIFFERENCE), True, JoinedReading.PARTLY),
        ((Reading.LOWER, Reading.AT_EDGE, None), True, JoinedReading.OPEN),
        ((Reading.LOWER, None), True, JoinedReading.ABSENT),
        ((Reading.NO_DIFFERENCE, Reading.EQUIVALENT), True, JoinedReading.UNDETECTED),
        ((Reading.NO_DIFFERENCE, Reading.TOO_FEW), True, JoinedReading.UNDETECTED),
        ((Reading.NO_DIFFERENCE, Reading.AT_EDGE), True, JoinedReading.UNTESTED),
        ((Reading.ONE_RUN, Reading.NO_PAIR), True, JoinedReading.UNTESTED),
    ],
)
def test_each_reading(
    data: JoinedComparison,
    readings: tuple[Reading | None, ...],
    separate: bool,
    expected: JoinedReading,
) -> None:
    tests = [a_test(data, reading) if reading else None for reading in readings]
    assert joined_reading(tests, separate=separate) is expected


def test_what_one_study_alone_detects_is_told_study_by_study(data: JoinedComparison) -> None:
    row = next(row for row in data.rows if row.cell.name == "swiglu-layer")
    (one, other), expected = row.sides, {}
    assert one is not None
    assert other is not None
    for reading in (Reading.NO_DIFFERENCE, Reading.AT_EDGE, Reading.UNRANKED):
        sides = (one, replace(other, test=a_test(data, reading)))
        shown = replace(row, sides=sides, reading=joined_reading([s.test for s in sides],
                                                                 separate=True))  # fmt: skip
        expected[reading] = joined_verdict(shown, data.letters, 3).text
        (sentence,) = joined_sentences(replace(data, rows=(shown,)))[1:]
        assert f"(SwiGLU · LayerNorm: {expected[reading]})" in sentence
    assert expected == {
        Reading.NO_DIFFERENCE: "lower in A (n = 4), not detected in B (n = 4)",
        Reading.AT_EDGE: "lower in A (n = 4), no verdict in B",
        Reading.UNRANKED: "lower in A (n = 4), no verdict in B",
    }


def test_a_star_is_an_edge_and_bold_is_what_a_study_detects(data: JoinedComparison) -> None:
    choice = Choice(settings={RATE: 0.1}, trial=0, loss=2.0, edges={RATE: "high"})
    edged = tuple(
        replace(row, sides=(row.sides[0], row.sides[1] and replace(row.sides[1], chosen=choice)))
        for row in data.rows
    )
    (plain,) = joined_cells.render(data).tables
    (found,) = joined_cells.render(replace(data, rows=edged)).tables
    assert "*" not in str(plain)
    assert "* At the edge of what was tried" in found.caption
    assert "So is the baseline in B." in found.caption
    places = [i for i, column in enumerate(found.columns) if "difference" in column.heading]
    for row, shown in zip(edged, found.rows, strict=True):
        first, second = (shown.cells[i] for i in places)
        assert not first.text.endswith("*")
        assert second.text.endswith("*")
        side = row.sides[1]
        assert second.strong == bool(side and side.test and sign_of(side.test.reading))


def test_p_and_difference_are_those_of_each_study_by_itself(data: JoinedComparison) -> None:
    for i, comparison in enumerate(data.comparisons):
        alone = {row.variant: row.test for row in comparison.rows}
        for row in data.rows:
            side, variant = row.sides[i], row.cell.variants[i]
            assert side is not None
            assert side.test == alone[str(variant)]


def test_the_same_text_size_and_seeds_are_no_second_study(tmp_path: Path) -> None:
    one = study(tmp_path, "a", shifts=LOWER)
    rate = {"learning_rate": 0.002}
    again = study(tmp_path, "b", shifts=LOWER, training=rate)
    data = compare_joined(joined(one, again))
    assert reading_of(data, "swiglu-layer") is JoinedReading.REPEATED
    assert "consistently" not in said(data)
    assert "A and B on the same text, size and seeds" in said(data)

    fresh = study(tmp_path, "c", shifts=LOWER, training=rate, seeds=(10, 11, 12, 13))
    assert reading_of(compare_joined(joined(one, fresh)), "swiglu-layer") is JoinedReading.LOWER
    wider = study(tmp_path, "d", shifts=LOWER, model={"d_model": 64})
    assert reading_of(compare_joined(joined(one, wider)), "swiglu-layer") is JoinedReading.LOWER
    held = study(tmp_path, "e", shifts=LOWER, seeds=(20, 21, 22, 23), training={"data_seed": 0})
    assert reading_of(compare_joined(joined(one, held)), "swiglu-layer") is JoinedReading.REPEATED


def test_losses_stand_side_by_side_on_one_evaluation_set_alone(tmp_path: Path) -> None:
    first = study(tmp_path, "a", evaluation="e1")
    same = study(tmp_path, "b", evaluation="e1", model={"d_model": 64})
    other = study(tmp_path, "c", evaluation="e2", data=CODE)
    unknown = study(tmp_path, "d", model={"d_model": 32})
    for second, shown in ((same, True), (other, False), (unknown, False)):
        found = joined_cells.render(compare_joined(joined(first, second)))
        (table,) = found.tables
        headings = [column.heading for column in table.columns]
        assert ("A: loss" in headings) == shown
        assert bool(table.data["A_final_loss_mean"].notna().any()) == shown
        (figure,) = found.figures
        assert ("one scale, for all losses are on one" in figure.caption) == shown


def test_different_baselines_show_no_difference(tmp_path: Path) -> None:
    report = {"baseline": {"model.activation": "relu", "model.norm": "rms"}}
    other = study(tmp_path, "b", data=CODE, report=report)
    data = compare_joined(joined(study(tmp_path, "a"), other))
    found = joined_cells.render(data)
    assert found.figures == ()
    (table,) = found.tables
    assert not any("difference" in column.heading for column in table.columns)
    assert table.data.filter(regex="difference|_p$|_low$").isna().all(axis=None)
    assert any("different baselines (A: GELU · LayerNorm; B: ReLU · RMSNorm)" in sentence
               for sentence in found.sentences)  # fmt: skip


def test_outcomes_stay_visible_and_a_study_that_has_not_begun_has_no_verdict(
    tmp_path: Path,
) -> None:
    fates = {("swiglu-layer", 1): Outcome.DIVERGED, ("swiglu-rms", 0): Outcome.MISSING}
    first = study(tmp_path, "a", synthetic=Synthetic(fates))
    waiting = without_runs(study(tmp_path, "b", data=CODE))
    data = compare_joined(joined(first, waiting))
    readings = {row.reading for row in data.rows}
    assert readings <= {None, JoinedReading.UNTESTED, JoinedReading.OPEN,
                        JoinedReading.UNDETECTED}  # fmt: skip
    text = said(data)
    assert "3/4, 1 diverged" in text
    assert "0/4, 4 missing" in text
    assert "1 diverged, 25 missing" in text
    assert "consistently" not in text


def test_one_seed_and_one_common_cell(tmp_path: Path) -> None:
    first = study(tmp_path, "a", seeds=(0,))
    found = joined_cells.render(compare_joined(joined(first, study(tmp_path, "b", seeds=(0,),
                                                                   data=CODE))))  # fmt: skip
    assert "(n = 1), without an interval" in found.tables[0].caption
    alone = study(tmp_path, "c", seeds=(0,), factors={"model.activation": ("tanh", "gelu")})
    found = joined_cells.render(compare_joined(joined(first, alone)))
    assert found.figures == ()
    assert "is the only shared cell" in " ".join(found.sentences)
