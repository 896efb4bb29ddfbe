import hashlib
import math
from collections.abc import Iterator
from dataclasses import replace

import pandas as pd
import pytest

from reports.exhibits import RUNS, Cell, Column, Exhibits, IntervalBar, Row, Table
from reports.links import RunLinks
from reports.overview import collect_overview
from reports.results.frame import StudyResults
from reports.writers.page import (
    BAR_WIDTH,
    interval_bar,
    order_attribute,
    outcome_counts,
    page_html,
)
from studies.records import Outcome


def test_absent_numbers_sort_last_and_text_by_itself() -> None:
    assert order_attribute(math.nan, "–") == ""
    assert order_attribute(1.25, "1.2") == "1.25"
    assert order_attribute(3, "3") == "3"
    assert order_attribute(None, "GELU") == "GELU"


def test_bar_puts_zero_in_the_middle_and_marks_cut_ends() -> None:
    shape = interval_bar(IntervalBar(-0.5, 0.0, 2.0), 1.0)
    assert shape.middle == BAR_WIDTH / 2
    assert shape.low == BAR_WIDTH / 4
    assert shape.high == BAR_WIDTH
    assert (shape.cut_low, shape.cut_high) == (False, True)
    assert not shape.excludes_zero


@pytest.mark.parametrize("bar", [IntervalBar(0.1, 0.2, 0.3), IntervalBar(-0.3, -0.2, -0.1)])
def test_bar_away_from_zero(bar: IntervalBar) -> None:
    assert interval_bar(bar, 1.0).excludes_zero


def exhibits_of(runs: int, tables: int, variants: int) -> Iterator[tuple[str, str, Exhibits]]:
    """Sections of a large study: tables with a row for each variant, and all of its runs."""
    keys = [hashlib.sha256(str(i).encode()).hexdigest()[:16] for i in range(runs)]
    each = runs // variants
    columns = (Column("Variant"), *(Column(f"Number {i}", "", True) for i in range(6)))
    for name in range(tables):
        rows = tuple(
            Row(
                (Cell(f"variant {v}", swatch="#0173b2"), *[Cell("2.345", order=2.3456789)] * 6),
                runs=tuple(keys[v * each : (v + 1) * each]),
            )
            for v in range(variants)
        )
        table = Table(f"metric_{name}", "A caption.", columns, rows, pd.DataFrame())
        yield f"metric-{name}", f"Metric {name}", Exhibits(tables=(table,))
    columns = (*(Column(f"Column {i}") for i in range(8)), Column("Run"))
    shown = [Cell("learning rate 0.003", order=0.003)] * 7
    rows = tuple(
        Row(
            (*shown, Cell("completed", marks=(Outcome.COMPLETED,)), Cell(key[:8], run=key)),
            runs=(key,),
            outcome=Outcome.COMPLETED,
        )
        for key in keys
    )
    table = Table(RUNS, "Every planned run.", columns, rows, pd.DataFrame(), paper=False)
    yield "runs", "Runs", Exhibits(tables=(table,))


@pytest.mark.parametrize(
    ("runs", "tables", "mib"), [(28 * 5, 60, 2), (28 * 350, 1, 10)], ids=["60 metrics", "9800 runs"]
)
def test_run_references_keep_a_large_page_small(
    small: StudyResults, runs: int, tables: int, mib: int
) -> None:
    sections = list(exhibits_of(runs, tables, 28))
    keys = [row.runs[0] for row in sections[-1][2].tables[0].rows]
    links = RunLinks("http://127.0.0.1:5000", "1", dict.fromkeys(keys, "0" * 32))
    page = page_html(collect_overview(small), sections, {}, links)
    assert len(page.encode()) < mib * 2**20
    assert page.count('class="behind"') == 28 * tables
    assert page.count("http://127.0.0.1:5000/#/experiments/1/runs/") == runs


def test_a_row_says_whose_its_runs_are_where_they_are_not_its_own_only(small: StudyResults) -> None:
    (name, title, exhibits), runs = exhibits_of(28, 1, 28)
    whose = "its own and the baseline's"
    for behind, count in (("", 0), (whose, 28)):
        table = replace(exhibits.tables[0], behind=behind)
        sections = [(name, title, Exhibits(tables=(table,))), runs]
        page = page_html(collect_overview(small), sections, {}).replace("&#39;", "'")
        assert page.count(f'title="Runs behind this row: {whose}"') == count
        assert (f"A caption. The number of runs in a row leads to {whose}." in page) == bool(count)


def test_run_keys_have_no_address_without_a_store(small: StudyResults) -> None:
    sections = list(exhibits_of(28, 1, 28))
    page = page_html(collect_overview(small), sections, {})
    assert "http" not in page.replace("http://www.w3.org", "")
    assert page.count("<code title=") == 28


def test_only_tables_of_single_runs_count_their_outcomes() -> None:
    ends = (Outcome.FAILED, Outcome.COMPLETED, Outcome.FAILED)
    rows = tuple(Row((), outcome=outcome) for outcome in ends)
    table = Table("t", "", (), rows, pd.DataFrame())
    assert outcome_counts(table) == {Outcome.COMPLETED: 1, Outcome.FAILED: 2}
    assert outcome_counts(replace(table, rows=(Row(()),))) == {}
