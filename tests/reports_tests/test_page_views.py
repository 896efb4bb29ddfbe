"""What a person sees of a page: figures at full size, any screen, print, light and dark."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser import browser, open_page
from tests.reports_tests.drawn_page import ask, emulate, no_error, opened, page, press, rows
from tests.waiting import wait_until

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

__all__ = ["browser", "no_error", "opened", "page"]


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


def view_box(browser: Chrome) -> list[float]:
    box = ask(browser, "document.querySelector('#zoom svg').getAttribute('viewBox')")
    return [float(number) for number in box.split()]


def drag(browser: Chrome, kind: str, x: float, y: float) -> None:
    event = {"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1, "buttons": 1}
    browser.execute_cdp_cmd("Input.dispatchMouseEvent", event)


def test_a_figure_is_enlarged_zoomed_moved_and_put_back(opened: Chrome) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    frame = "document.querySelector('#figure-learning_curves .picture')"
    wait_until(lambda: ask(opened, f"{frame}.querySelector('svg') !== null"), "it is drawn")
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
    wait_until(lambda: view_box(opened)[2] < whole[2] / 1.5**2 / 2, "a closer look")
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
    back = "document.querySelectorAll('#figure-training_curves svg').length == 1"
    wait_until(lambda: ask(opened, back), "it is back in its place")


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
    wait_until(lambda: 0 <= ask(browser, top) < 100, "the section")
    here = "document.querySelector('nav .here').textContent"
    wait_until(lambda: ask(browser, here) == "Runs", "where one is")


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


def test_in_a_frame_the_page_has_no_link_that_leads_out_of_it(
    browser: Chrome, page: str, tmp_path: Path
) -> None:
    outer = tmp_path / "mlflow.html"
    outer.write_text(f'<iframe sandbox="allow-scripts" src="{page}"></iframe>')
    open_page(browser, outer.as_uri())
    browser.switch_to.frame(0)
    try:
        wait_until(
            lambda: ask(browser, "document.querySelector('.framed')?.hidden === false"), "note"
        )
        out = "[...document.querySelectorAll('a[href]:not([href^=\\'#\\'])')]"
        assert ask(browser, f"{out}.filter((link) => !link.hidden).length") == 0
        assert ask(browser, "document.querySelectorAll('a[href^=\\'#\\']').length") > 20
    finally:
        browser.switch_to.default_content()
    open_page(browser, page)
    assert ask(browser, "document.querySelector('.framed').hidden")
    assert ask(browser, f"{out}.filter((link) => !link.hidden).length") > 10
