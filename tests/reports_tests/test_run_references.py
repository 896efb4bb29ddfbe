import pandas as pd
import pytest

from reports.exhibits import RUNS, Column, Exhibits, Row, Table
from reports.writers.run_references import RunReferences, spans


def listing(*keys: str) -> Exhibits:
    rows = tuple(Row((), runs=(key,)) for key in keys)
    return Exhibits(tables=(Table(RUNS, "", (Column("Run"),), rows, pd.DataFrame()),))


@pytest.mark.parametrize(
    ("places", "text"),
    [
        ([], []),
        ([4], ["4"]),
        ([0, 1, 2], ["0-2"]),
        ([0, 2, 3, 7, 9, 10], ["0", "2-3", "7", "9-10"]),
    ],
)
def test_neighbours_are_joined(places: list[int], text: list[str]) -> None:
    assert spans(places) == text


def test_an_address_names_the_runs_by_their_places_in_any_order() -> None:
    references = RunReferences([Exhibits(), listing("a", "b", "c", "d")])
    assert references.address(("d", "a", "b", "b")) == f"#runs={references.tag}:0-1,3"
    assert references.address(()) == ""
    assert references.address(("a", "one that fine-tunes")) == ""


def test_an_address_tells_the_list_that_its_places_are_of() -> None:
    before, after = RunReferences([listing("a", "b")]), RunReferences([listing("a", "c", "b")])
    assert before.tag != after.tag
    assert before.tag == RunReferences([listing("a", "b")]).tag


def test_without_a_table_of_runs_nothing_is_linked() -> None:
    assert RunReferences([Exhibits()]).address(("a",)) == ""
