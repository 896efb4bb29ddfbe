"""A page of the default grid, opened in Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
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
from tests.browser import open_page

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

SHOWN = ("fairness", "unfinished", "learning-curves", "runs")


def wide_table(results: StudyResults) -> Table:
    """A table of 12 columns, of which 9 may be hidden."""
    columns = [Column("Variant"), Column("Final loss", "", True), Column("n", "", True)]
    columns += [Column(f"A further number {i}", "", True, paper=False) for i in range(9)]
    cells = tuple(Cell(f"{i}.25 ± 0.125", order=float(i)) for i in range(11))
    rows = tuple(Row((Cell(results.labels[v]), *cells)) for v in results.variants[:3])
    return Table("wide", "A wide table.", tuple(columns), rows, pd.DataFrame())


def write_page(grid: StudyResults, folder: Path) -> str:
    """Address of a page of the grid: some sections, a wide table, links to MLflow."""
    shown = [(name, SECTIONS[name].title, SECTIONS[name].exhibits(grid)) for name in SHOWN]
    sections = [(name, title, found) for name, title, found in shown if found]
    sections.insert(1, ("wide", "Wide", Exhibits(tables=(wide_table(grid),))))
    figures = [figure for _, _, exhibits in sections for figure in exhibits.figures]
    drawings = {figure.name: inline_svg(figure.draw, figure.name) for figure in figures}
    links = RunLinks("http://mlflow.example", "3", {key: f"id-{key}" for key in grid.records})
    file = folder / "report.html"
    file.write_text(page_html(collect_overview(grid), sections, drawings, links))
    return file.as_uri()


@pytest.fixture(scope="module")
def page(grid: StudyResults, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Address of a page of the grid."""
    return write_page(grid, tmp_path_factory.mktemp("page"))


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
