"""What a person sees in a browser: the MLflow UI that `ablate ui` serves, and the report."""

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from ablations.tracking import Tracking
from ablations.ui import serve
from reports.build import ReportOptions, build_report
from reports.results.mlflow_source import load_tracked_study
from reports.results.sources import load_study
from studies.errors import AblationError
from tests.browser import browser, open_page
from tests.finished_study import FinishedStudy, finished, run_study
from tests.processes import is_alive
from tests.waiting import wait_until

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

__all__ = ["browser", "finished"]


@dataclass(frozen=True)
class Server:
    """A running `ablate ui`."""

    process: subprocess.Popen[str]
    url: str
    links: dict[str, str]
    """Link by the name of its view, as printed."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def server(finished: FinishedStudy) -> Iterator[Server]:
    port = free_port()
    home, name = str(finished.directory.path.parent), finished.plan.study.name
    process = subprocess.Popen(
        [sys.executable, "-m", "ablations.cli", "ui", name, "--home", home, "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    links = {}
    for line in process.stdout:
        if link := re.fullmatch(r"  (.+?)\s+(http://\S+)\n", line):
            links[link[1]] = link[2]
        if "Ctrl-C" in line:
            break
    try:
        yield Server(process, f"http://127.0.0.1:{port}", links)
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


def text_of(browser: "Chrome") -> str:
    return str(browser.execute_script("return document.body.innerText"))


def run_names(browser: "Chrome") -> set[str]:
    """Names of the runs that are listed on the page."""
    return set(re.findall(r"^\w+ seed \d$", text_of(browser), re.MULTILINE))


def test_it_prints_a_link_to_each_view(server: Server) -> None:
    assert list(server.links)[:3] == ["Runs", "Variants", "Learning curves"]
    assert "By activation" in server.links
    assert all(link.startswith(f"{server.url}/#/experiments/") for link in server.links.values())


def test_a_filter_in_the_runs_list_finds_swiglu(server: Server, browser: "Chrome") -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    everything = {f"{name} seed {seed}" for name in ("gelu", "swiglu") for seed in (0, 1)}
    open_page(browser, server.links["Runs"])
    wait_until(lambda: run_names(browser) == everything, "the four runs")
    assert "4 matching runs" in text_of(browser)
    box = browser.find_element(By.CSS_SELECTOR, "[data-testid='search-box']")
    box.send_keys(" and params.activation = 'swiglu'" + Keys.ENTER)
    wait_until(lambda: run_names(browser) == {"swiglu seed 0", "swiglu seed 1"}, "SwiGLU's runs")
    assert "2 matching runs" in text_of(browser)


def test_variants_are_listed_with_their_aggregates(server: Server, browser: "Chrome") -> None:
    open_page(browser, server.links["Variants"])
    wait_until(lambda: "2 matching runs" in text_of(browser), "the two variants")
    shown = text_of(browser)
    assert {"swiglu", "gelu"} <= set(shown.split())
    assert "aggregate/" in shown


def test_learning_curves_are_drawn_by_variant(server: Server, browser: "Chrome") -> None:
    open_page(browser, server.links["Learning curves"])
    plots = "return [...document.querySelectorAll('.js-plotly-plot .scatterlayer .trace')].length"
    wait_until(lambda: browser.execute_script(plots), "lines in charts")
    shown = text_of(browser)
    assert "Group: gelu" in shown
    assert "Group: swiglu" in shown
    sections = re.findall(r"^(\w+)\s+\(\d+\)$", shown, re.MULTILINE)
    assert sections[:2] == ["val", "train"], shown


def test_the_plain_experiment_links_to_the_views(server: Server, browser: "Chrome") -> None:
    from selenium.webdriver.common.by import By

    page = server.links["Runs"].partition("?")[0]
    open_page(browser, page)
    link = wait_until(lambda: browser.find_elements(By.LINK_TEXT, "By activation"), "a link")
    assert link[0].get_attribute("href") == server.links["By activation"]


def test_the_report_shows_every_variant_without_an_error(
    finished: FinishedStudy, browser: "Chrome", tmp_path: Path
) -> None:
    from selenium.webdriver.common.by import By

    options = ReportOptions(formats=("pdf",))
    page = build_report(load_study(finished.directory.path), tmp_path, options).html
    browser.get_log("browser")  # drops what the pages before had to say
    open_page(browser, page.as_uri())
    assert finished.plan.study.name in browser.find_element(By.TAG_NAME, "h1").text
    rows = [row.text for row in browser.find_elements(By.CSS_SELECTOR, "table tbody tr")]
    for variant in ("gelu", "swiglu"):
        assert any(variant in row.split() for row in rows), rows
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_a_study_is_tracked_over_http_as_on_disk(server: Server, tmp_path: Path) -> None:
    study = run_study(tmp_path, server.url, name="over-http")
    local = load_study(study.directory.path)
    tracked = load_tracked_study(server.url, "over-http")
    pd.testing.assert_frame_equal(local.runs, tracked.runs)
    pd.testing.assert_frame_equal(local.histories, tracked.histories)
    assert len(tracked.records) == 4


def test_a_server_that_runs_elsewhere_is_linked_to(
    server: Server, finished: FinishedStudy, capsys: pytest.CaptureFixture[str]
) -> None:
    assert serve(finished.directory, server.url, "127.0.0.1", 5000) == 0
    assert server.links["Runs"] in capsys.readouterr().out


def test_it_listens_on_this_machine_only(server: Server) -> None:
    port = int(server.url.rpartition(":")[2])
    listening = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    addresses = re.findall(rf"(\w+):{port:04X} \w+:0000 0A", listening)
    assert addresses == ["0100007F"]


@pytest.mark.parametrize("port", ["taken", 70_000])
def test_a_port_that_cannot_be_had_is_refused(
    server: Server, finished: FinishedStudy, port: int | str
) -> None:
    number = int(server.url.rpartition(":")[2]) if port == "taken" else int(port)
    with pytest.raises(AblationError, match=rf"cannot listen on 127.0.0.1:{number}.*--port"):
        serve(finished.directory, finished.uri, "127.0.0.1", number)


def test_a_store_without_the_study_says_how_to_fill_it(
    finished: FinishedStudy, tmp_path: Path
) -> None:
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    with pytest.raises(AblationError, match=r"no tracking store mlflow.db.*ablate sync"):
        serve(finished.directory, store, "127.0.0.1", free_port())
    assert list(tmp_path.iterdir()) == []
    Tracking(store).client.create_experiment("another")
    with pytest.raises(AblationError, match=r"no experiment 'gating'.*ablate sync gating"):
        serve(finished.directory, store, "127.0.0.1", free_port())


def test_a_signal_stops_the_server_with_all_its_processes(server: Server) -> None:
    children = processes_below(server.process.pid)
    assert len(children) >= 2
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(30) == 0
    wait_until(lambda: not any(map(is_alive, children)), "all of them are gone")


def processes_below(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has just ended
            continue
        if parent == pid:
            child = int(path.parent.name)
            found += [child, *processes_below(child)]
    return found
