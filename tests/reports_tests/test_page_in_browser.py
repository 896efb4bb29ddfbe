"""What a person does with the page of a report: filter, sort, follow numbers to runs, enlarge."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from reports.exhibits import Cell, Column, Exhibits, Row, Table
from reports.figures.drawing import inline_svg
from reports.links import RunLinks
from reports.overview import collect_overview
from reports.results.frame import StudyResults
from reports.sections.contents import SECTIONS
from reports.writers.page import page_html
from studies.records import Outcome
from tests.browser import browser, eventually, open_page

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

__all__ = ["browser"]

SHOWN = ("fairness", "unfinished", "learning-curves", "runs")
CONTRAST = """
const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
const channels = (color) => {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = color;
  canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data];
};
const light = (color) => channels(color).slice(0, 3)
  .map((c) => c / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
  .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
const behind = (element) => {
  for (; element; element = element.parentElement) {
    const color = getComputedStyle(element).backgroundColor;
    if (channels(color)[3] === 255) return color;
  }
  return "white";
};
const found = [];
for (const element of document.body.querySelectorAll("*:not(svg, svg *, script)")) {
  const words = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
  if (!words || !element.checkVisibility()) continue;
  const pair = [light(getComputedStyle(element).color), light(behind(element))];
  const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
  const least = element.closest("[aria-hidden]") ? 3 : 4.5;  // marks stand beside their words
  if (ratio < least) found.push([element.tagName, element.className, element.textContent, ratio]);
}
return [found, document.body.innerText.length];
"""


def wide_table(results: StudyResults) -> Table:
    """A table of 12 columns, of which 9 may be hidden."""
    columns = [Column("Variant"), Column("Final loss", "", True), Column("n", "", True)]
    columns += [Column(f"A further number {i}", "", True, paper=False) for i in range(9)]
    cells = tuple(Cell(f"{i}.25 ± 0.125", order=float(i)) for i in range(11))
    rows = tuple(Row((Cell(results.labels[v]), *cells)) for v in results.variants[:3])
    return Table("wide", "A wide table.", tuple(columns), rows, pd.DataFrame())


@pytest.fixture(scope="module")
def page(grid: StudyResults, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Address of a page of the grid: some sections, a wide table, links to MLflow."""
    shown = [(name, SECTIONS[name].title, SECTIONS[name].exhibits(grid)) for name in SHOWN]
    sections = [(name, title, found) for name, title, found in shown if found]
    sections.insert(1, ("wide", "Wide", Exhibits(tables=(wide_table(grid),))))
    figures = [figure for _, _, exhibits in sections for figure in exhibits.figures]
    drawings = {figure.name: inline_svg(figure.draw, figure.name) for figure in figures}
    links = RunLinks("http://mlflow.example", "3", {key: f"id-{key}" for key in grid.records})
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(page_html(collect_overview(grid), sections, drawings, links))
    return file.as_uri()


@pytest.fixture(autouse=True)
def no_error(browser: Chrome) -> Iterator[None]:
    """The page has nothing to complain of."""
    browser.get_log("browser")  # drops what the pages before had to say
    yield
    assert browser.get_log("browser") == []


def emulate(browser: Chrome, *, width: int = 1280, media: str = "", scheme: str = "light") -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [
        {"name": "prefers-color-scheme", "value": scheme},
        {"name": "prefers-reduced-motion", "value": "reduce"},
    ]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})


@pytest.fixture
def opened(browser: Chrome, page: str) -> Chrome:
    """The page, freshly opened on a screen of a laptop."""
    emulate(browser)
    open_page(browser, page)
    return browser


def ask(browser: Chrome, script: str, *arguments: object) -> Any:
    return browser.execute_script(f"return {script}", *arguments)


def press(browser: Chrome, selector: str) -> None:
    browser.find_element("css selector", selector).click()


def rows(browser: Chrome, table: str) -> list[list[str]]:
    """Texts of the cells that are to be seen, row by row."""
    return ask(
        browser,
        "[...document.querySelectorAll(arguments[0])].filter((row) => row.checkVisibility())"
        ".map((row) => [...row.cells].filter((cell) => cell.checkVisibility())"
        ".map((cell) => cell.innerText))",
        f"#table-{table} tbody tr",
    )


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
    assert count(opened, "fairness") == "0 of 28 rows"
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


def behind(browser: Chrome, results: StudyResults, table: str, row: int) -> set[str]:
    """Follows the link of a row, and gives the runs that it leads to."""
    link = browser.find_element("css selector", f"#table-{table} tbody tr:nth-child({row}) .behind")
    browser.execute_script("arguments[0].click()", link)
    eventually(lambda: count(browser, "runs"), "a number of runs")
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
    eventually(lambda: len(keys(opened)) == 56, "all runs")
    open_page(opened, address)
    assert set(keys(opened)) == wanted
    press(opened, ".tools .all")
    eventually(lambda: len(keys(opened)) == 56, "all runs")
    assert not opened.find_element("css selector", ".tools .all").is_displayed()


def test_a_figure_leads_to_its_runs(opened: Chrome, grid: StudyResults) -> None:
    link = opened.find_element("css selector", "#figure-learning_curves .behind")
    assert link.text == "52 runs"
    opened.execute_script("arguments[0].click()", link)
    eventually(lambda: count(opened, "runs") == "52 of 56 rows", "the runs")
    assert set(keys(opened)) == set(grid.histories["run_key"].unique())


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


def view_box(browser: Chrome) -> list[float]:
    box = ask(browser, "document.querySelector('#zoom svg').getAttribute('viewBox')")
    return [float(number) for number in box.split()]


def drag(browser: Chrome, kind: str, x: float, y: float) -> None:
    event = {"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1, "buttons": 1}
    browser.execute_cdp_cmd("Input.dispatchMouseEvent", event)


def test_a_figure_is_enlarged_zoomed_moved_and_put_back(opened: Chrome) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    frame = "document.querySelector('#figure-learning_curves .picture')"
    box = ask(opened, f"{frame}.querySelector('svg').getAttribute('viewBox')")
    height = ask(opened, "document.documentElement.scrollHeight")
    press(opened, "#figure-learning_curves .enlarge")
    assert ask(opened, "document.getElementById('zoom').open")
    assert ask(opened, "document.documentElement.scrollHeight") == height
    whole = view_box(opened)
    press(opened, "[data-zoom=in]")
    x, y, width, tall = view_box(opened)
    assert width == pytest.approx(whole[2] / 1.5)
    assert tall == pytest.approx(whole[3] / 1.5)
    assert x + width / 2 == pytest.approx(whole[2] / 2, rel=0.01)
    stage = opened.find_element("css selector", ".stage")
    drag(opened, "mousePressed", 600, 400)
    drag(opened, "mouseMoved", 700, 450)
    drag(opened, "mouseReleased", 700, 450)
    moved = view_box(opened)
    assert moved[0] < x
    assert moved[1] < y
    ActionChains(opened).scroll_to_element(stage).send_keys("+").perform()
    assert view_box(opened)[2] == pytest.approx(whole[2] / 1.5**2)
    opened.execute_cdp_cmd(
        "Input.dispatchMouseEvent",
        {"type": "mouseWheel", "x": 600, "y": 400, "deltaX": 0, "deltaY": -400},
    )
    eventually(lambda: view_box(opened)[2] < whole[2] / 1.5**2 / 2, "a closer look")
    ActionChains(opened).send_keys("0").perform()
    assert view_box(opened) == whole
    press(opened, "[data-zoom=out]")
    assert view_box(opened) == whole  # never smaller than the window
    ActionChains(opened).send_keys("+").send_keys("\ue00c").perform()
    assert not ask(opened, "document.getElementById('zoom').open")
    assert ask(opened, f"{frame}.querySelector('svg').getAttribute('viewBox')") == box
    assert ask(opened, "document.activeElement.className") == "enlarge"


def test_enter_on_a_figure_opens_it(opened: Chrome) -> None:
    picture = opened.find_element("css selector", "#figure-training_curves .picture")
    picture.send_keys("\n")
    assert ask(opened, "document.getElementById('zoom').open")
    press(opened, "[data-zoom=close]")
    assert ask(opened, "document.querySelectorAll('#figure-training_curves svg').length") == 1


def overflow(browser: Chrome, table: str) -> bool:
    return bool(
        ask(
            browser,
            "arguments[0].scrollWidth > arguments[0].clientWidth",
            browser.find_element("css selector", f".scroll:has(> #table-{table})"),
        )
    )


def test_columns_are_hidden_where_there_is_no_room_and_shown_on_request(opened: Chrome) -> None:
    assert not overflow(opened, "wide")
    assert len(rows(opened, "wide")[0]) == 3
    press(opened, "[data-table=table-wide] .columns")
    assert len(rows(opened, "wide")[0]) == 12
    emulate(opened, width=1000)  # whoever decided is not overruled
    assert overflow(opened, "wide")
    assert not overflow(opened, "runs")


def test_a_wide_page_shows_all_columns_and_the_sections_beside_the_text(
    browser: Chrome, page: str
) -> None:
    emulate(browser, width=2400)
    open_page(browser, page)
    pressed = ".columns[aria-pressed=true]"
    assert browser.find_elements("css selector", f"[data-table=table-runs] {pressed}")
    nav, main = (
        ask(browser, f"document.querySelector('{name}').getBoundingClientRect()")
        for name in ("nav ul", "main")
    )
    assert nav["right"] <= main["left"]
    assert all(link.is_displayed() for link in browser.find_elements("css selector", "nav a"))


def test_a_phone_has_a_menu_and_no_page_to_scroll_sideways(browser: Chrome, page: str) -> None:
    emulate(browser, width=390)
    open_page(browser, page)
    assert ask(browser, "document.documentElement.scrollWidth") == 390
    link = browser.find_element("css selector", "nav a[href='#runs']")
    assert not link.is_displayed()
    press(browser, "nav button")
    link.click()
    assert not link.is_displayed()
    top = "document.getElementById('runs').getBoundingClientRect().top"
    eventually(lambda: 0 <= ask(browser, top) < 100, "the section")
    here = "document.querySelector('nav .here').textContent"
    eventually(lambda: ask(browser, here) == "Runs", "where one is")


def test_a_print_has_every_row_and_column(opened: Chrome) -> None:
    press(opened, ".tools [data-outcome=failed]")
    assert len(rows(opened, "runs")) == 1
    emulate(opened, media="print")
    assert len(rows(opened, "runs")) == 56
    assert len(rows(opened, "wide")[0]) == 12
    assert not opened.find_element("css selector", "nav").is_displayed()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_the_paper(opened: Chrome, scheme: str) -> None:
    emulate(opened, scheme=scheme)
    press(opened, ".tools [data-outcome=failed]")
    faint, letters = opened.execute_script(CONTRAST)
    assert letters > 3000
    assert faint == []


def test_the_page_asks_for_nothing_but_itself(opened: Chrome) -> None:
    assert ask(opened, "performance.getEntriesByType('resource').map((entry) => entry.name)") == []
