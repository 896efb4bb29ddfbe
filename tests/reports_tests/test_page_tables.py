"""What a person does with the tables of a page: filter, sort, follow numbers to runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reports.results.frame import StudyResults
from reports.sections.contents import SECTIONS
from studies.records import Outcome
from tests.browser import browser, open_page
from tests.reports_tests.drawn_page import (
    ask,
    emulate,
    no_error,
    opened,
    page,
    press,
    rows,
    write_page,
)
from tests.waiting import wait_until

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

__all__ = ["browser", "no_error", "opened", "page"]


def keys(browser: Chrome) -> list[str]:
    """Full keys of the runs that are to be seen in the table of runs."""
    return ask(
        browser,
        "[...document.querySelectorAll('#table-runs tbody tr')]"
        ".filter((row) => row.checkVisibility())"
        ".map((row) => row.lastElementChild.querySelector('[title]').title)",
    )


def count(browser: Chrome, table: str) -> str:
    return str(browser.find_element("css selector", f"[data-table=table-{table}] output").text)


def type_into(browser: Chrome, table: str, text: str) -> None:
    browser.find_element("css selector", f"[data-table=table-{table}] input").send_keys(text)


def test_words_leave_the_rows_that_have_them_all_and_escape_brings_back_the_others(
    opened: Chrome, grid: StudyResults
) -> None:
    type_into(opened, "fairness", "SWIGLU  post")
    assert count(opened, "fairness") == "3 of 28 rows"
    labels = [row[0].partition("\n")[0] for row in rows(opened, "fairness")]
    assert all("SwiGLU" in label and "post" in label for label in labels)
    type_into(opened, "fairness", " runs")  # the links to runs are no entries
    assert count(opened, "fairness") == "None of 28 rows matches “SWIGLU post runs”."
    type_into(opened, "fairness", "\ue00c")  # Escape
    assert count(opened, "fairness") == ""
    assert len(rows(opened, "fairness")) == 28
    key = sorted(grid.plan.run_keys)[0]
    type_into(opened, "runs", key)
    assert keys(opened) == [key]
    assert not opened.find_elements("css selector", "[data-table=table-wide] input")  # 3 rows


def test_outcomes_are_chosen_by_buttons(opened: Chrome) -> None:
    press(opened, "[data-outcome=failed]")
    press(opened, ".tools [data-outcome=diverged]")
    assert count(opened, "runs") == "5 of 56 rows"
    assert {row[2].split()[0] for row in rows(opened, "runs")} == {"failed", "diverged"}
    type_into(opened, "runs", "relu")
    assert count(opened, "runs") == "3 of 56 rows"
    assert not opened.find_elements("css selector", ".tools [data-outcome=pruned]")  # there is none


def test_a_click_on_a_heading_sorts_and_absent_numbers_stay_last(opened: Chrome) -> None:
    for order in (1, -1):
        press(opened, "#table-runs th:nth-child(4) button")
        losses = [row[3] for row in rows(opened, "runs")]
        known = [float(loss) for loss in losses if loss != "–"]
        assert known == sorted(known)[::order]
        assert losses[len(known) :] == ["–"] * 8
    assert ask(opened, "document.querySelector('[aria-sort]').ariaSort") == "descending"


def test_a_table_is_sorted_from_the_keyboard(opened: Chrome) -> None:
    opened.find_element("css selector", "#table-fairness th:first-child button").send_keys("\n")
    labels = [row[0].partition("\n")[0] for row in rows(opened, "fairness")]
    assert labels == sorted(labels, key=str.lower)
    assert ask(opened, "document.querySelector('#table-fairness th').ariaSort") == "ascending"


def test_no_two_links_of_one_name_lead_to_different_files(opened: Chrome) -> None:
    files = ask(
        opened,
        "[...document.querySelectorAll('.files a:not(.behind)')]"
        ".map((link) => [link.ariaLabel, link.getAttribute('href')])",
    )
    assert len(files) > 4
    assert len({name for name, _ in files}) == len({address for _, address in files}) == len(files)


def behind(browser: Chrome, results: StudyResults, table: str, row: int) -> set[str]:
    """Follows the link of a row, and gives the runs that it leads to."""
    link = browser.find_element("css selector", f"#table-{table} tbody tr:nth-child({row}) .behind")
    browser.execute_script("arguments[0].click()", link)
    wait_until(lambda: count(browser, "runs"), "a number of runs")
    assert set(keys(browser)) <= results.plan.run_keys
    return set(keys(browser))


def test_a_row_leads_to_its_runs_and_back(opened: Chrome, page: str, grid: StudyResults) -> None:
    press(opened, "#table-runs th:nth-child(4) button")  # whatever the order of the rows
    type_into(opened, "runs", "layer")
    section = SECTIONS["fairness"].exhibits(grid)
    assert section is not None
    wanted = set(section.tables[0].rows[4].runs)
    assert behind(opened, grid, "fairness", 5) == wanted
    assert count(opened, "runs") == "2 of 56 rows"
    assert ask(opened, "document.activeElement.contains(document.getElementById('table-runs'))")
    top = ask(opened, "document.getElementById('runs').getBoundingClientRect().top")
    assert 0 <= top < 100
    address = opened.current_url
    assert address.startswith(f"{page}#runs=")
    opened.back()
    wait_until(lambda: len(keys(opened)) == 56, "all runs")
    open_page(opened, address)
    assert set(keys(opened)) == wanted
    press(opened, "[data-table=table-runs] [data-outcome=failed]")
    type_into(opened, "runs", "nowhere")
    none = "None of the 2 runs behind the number matches “nowhere”, failed."
    assert count(opened, "runs") == none
    press(opened, "[data-table=table-runs] [data-outcome=failed]")
    type_into(opened, "runs", "\ue00c")  # Escape
    press(opened, ".tools .all")
    wait_until(lambda: len(keys(opened)) == 56, "all runs")
    assert not opened.find_element("css selector", ".tools .all").is_displayed()


def test_a_figure_leads_to_its_runs(opened: Chrome, grid: StudyResults) -> None:
    link = opened.find_element("css selector", "#figure-learning_curves .behind")
    assert link.text == "52 runs"
    opened.execute_script("arguments[0].click()", link)
    wait_until(lambda: count(opened, "runs") == "52 of 56 rows", "the runs")
    assert set(keys(opened)) == set(grid.histories["run_key"].unique())


@pytest.fixture
def long(
    browser: Chrome, grid: StudyResults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Chrome:
    """A page on which 56 rows are many."""
    monkeypatch.setattr("reports.writers.page.MANY_ROWS", 55)
    emulate(browser)
    open_page(browser, write_page(grid, tmp_path))
    return browser


def test_a_long_table_shows_its_first_rows_until_it_is_unfolded(long: Chrome) -> None:
    assert len(rows(long, "runs")) == 50
    assert len(rows(long, "fairness")) == 28
    (button,) = long.find_elements("css selector", ".unfold")
    press(long, "#table-runs th:nth-child(4) button")  # the last of all losses come first
    press(long, "#table-runs th:nth-child(4) button")
    losses = [float(row[3]) for row in rows(long, "runs") if row[3] != "–"]
    assert losses == sorted(losses, reverse=True)
    assert button.text == "Show all 56 rows"
    emulate(long, media="print")
    assert len(rows(long, "runs")) == 56
    assert not button.is_displayed()
    emulate(long)
    button.click()
    assert len(rows(long, "runs")) == 56
    assert not button.is_displayed()
    assert ask(long, "document.activeElement.contains(document.getElementById('table-runs'))")


def test_filters_and_jumps_reach_the_rows_behind_the_fold(long: Chrome, grid: StudyResults) -> None:
    shown = keys(long)
    (key, *others) = sorted(grid.plan.run_keys - set(shown))
    assert len(others) == 5
    type_into(long, "runs", key)
    assert keys(long) == [key]
    assert not long.find_element("css selector", ".unfold").is_displayed()
    type_into(long, "runs", "\ue00c")  # Escape
    assert keys(long) == shown
    last = behind(long, grid, "fairness", 28)
    assert last == {run.run_key for run in grid.plan.runs if run.variant == grid.variants[-1]}
    assert not last <= set(shown)


@pytest.mark.parametrize("fragment", ["#runs=000000:0-3", "#runs=:", "#runs=<b>:1", "#nowhere"])
def test_an_address_of_another_list_shows_all_runs(
    browser: Chrome, page: str, fragment: str
) -> None:
    emulate(browser)
    open_page(browser, page + fragment)
    assert len(keys(browser)) == 56
    is_address = fragment == "#runs=000000:0-3"
    assert ("of another state of the study" in count(browser, "runs")) == is_address


def test_run_keys_are_linked_to_their_mlflow_runs(opened: Chrome, grid: StudyResults) -> None:
    found = ask(opened, "[...document.querySelectorAll('#table-runs a')].map((a) => a.href)")
    missing = grid.outcomes()[Outcome.MISSING]
    assert len(found) == 56 - missing
    base = "http://mlflow.example/#/experiments/3/runs/id-"
    assert {link.removeprefix(base) for link in found} == set(grid.records)
