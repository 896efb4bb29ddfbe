import json
import shutil
from pathlib import Path

import pytest

import reports.verify
from reports.build import ReportOptions, build_report
from reports.links import RunLinks
from reports.results.frame import StudyResults, UnreadableResults
from reports.results.sources import load_study
from reports.verify import verify_report
from studies.metrics import FINAL_LOSS
from tests.reports_tests.conftest import grid_study, write_study

pytestmark = pytest.mark.usefixtures("undrawn")

FACTORS = {"model.activation": ("relu", "gelu"), "model.norm": ("rms", "layer")}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write_study(tmp_path / "study", grid_study((0, 1, 2), FACTORS))


def reported(directory: Path) -> Path:
    output = directory.parent / "report"
    build_report(load_study(directory), output, ReportOptions(venue="acl", formats=("pdf",)))
    return output


def change_record(directory: Path, variant: str, seed: int, **changes: object) -> str:
    """Change the record of a run; its key."""
    plan = load_study(directory).plan
    key = next(r.run_key for r in plan.runs if (r.variant, r.seed) == (variant, seed))
    path = directory / "runs" / key / "record.json"
    record = json.loads(path.read_text())
    record |= changes
    path.write_text(json.dumps(record))
    return key


def test_a_report_stands_while_its_runs_do(directory: Path) -> None:
    found = verify_report(load_study(directory), reported(directory))
    assert found.holds
    assert (found.redrawn, found.unchecked) == ((), ())
    assert found.runs == 12
    assert found.files > 20


def test_a_changed_number_is_named_with_its_table_row_and_column(directory: Path) -> None:
    output = reported(directory)
    record = load_study(directory).records
    summary = next(r.summary for r in record.values() if (r.variant, r.seed) == ("gelu-layer", 1))
    change_record(directory, "gelu-layer", 1, summary={**summary, FINAL_LOSS: 9.0})
    changes = verify_report(load_study(directory), output).changes
    named = [line for line in changes if line.startswith("tables/main.csv: gelu-layer, final_loss")]
    assert any("final_loss_mean: 1." in line and ", now 4." in line for line in named)
    assert not any("main.csv: relu-layer, final_loss_mean" in line for line in changes)
    assert any(line.startswith("section main now says") for line in changes)
    assert any("files made of these differ too" in line for line in changes)


def test_runs_that_ended_otherwise_or_were_trained_anew_are_named(directory: Path) -> None:
    output = reported(directory)
    first = change_record(directory, "gelu-layer", 1, outcome="failed", error="OOM")
    git = {"git": {"commit": "fedcba98", "dirty": False}}
    second = change_record(directory, "gelu-rms", 0, provenance=git)
    changes = verify_report(load_study(directory), output).changes
    assert f"run {first} (gelu-layer, seed 1): was completed, is failed" in changes
    assert f"run {second} (gelu-rms, seed 0): trained anew by commit fedcba98" in changes


def test_edited_and_lost_files_are_named(directory: Path) -> None:
    output = reported(directory)
    table = output / "tables/main.csv"
    rows = table.read_text().splitlines()
    cells = rows[1].split(",")
    place = rows[0].split(",").index("final_loss_mean")
    was = cells[place]
    cells[place] = "1.0"
    table.write_text("\n".join([rows[0], ",".join(cells), *rows[2:]]))
    (output / "numbers.tex").unlink()
    changes = verify_report(load_study(directory), output).changes
    assert changes == (
        "tables/main.csv: the file was changed after it was written",
        "numbers.tex: the file is missing",
        f"tables/main.csv: {cells[0]}, final_loss_mean: 1.0, now {was}",
    ) or set(changes) == {
        "numbers.tex: the file is missing",
        "tables/main.csv: the file was changed after it was written",
        f"tables/main.csv: {cells[0]}, final_loss_mean: 1.0, now {was}",
    }


def test_other_software_may_draw_otherwise_but_not_compute_otherwise(directory: Path) -> None:
    output = reported(directory)
    manifest = output / "manifest.json"
    text = json.loads(manifest.read_text())
    text["report_versions"]["matplotlib"] = "1.0"
    text["files"]["figures/learning_curves.pdf"] = "0" * 64
    text["files"]["report.html"] = "0" * 64
    manifest.write_text(json.dumps(text))
    (output / "figures/learning_curves.pdf").write_bytes(b"drawn by another")
    found = verify_report(load_study(directory), output)
    assert set(found.redrawn) == {"figures/learning_curves.pdf", "report.html"}
    assert all("changed after it was written" in line for line in found.changes)


def test_pgf_is_not_verified_where_there_is_no_tex(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = reported(directory)
    manifest = output / "manifest.json"
    text = json.loads(manifest.read_text())
    text["options"]["formats"].append("pgf")
    text["files"]["figures/pgf/learning_curves.pgf"] = "0" * 64
    manifest.write_text(json.dumps(text))
    (output / "figures/pgf").mkdir()
    monkeypatch.setattr(reports.verify, "has_tex", lambda: False)
    found = verify_report(load_study(directory), output)
    assert found.unchecked == ("figures/pgf/learning_curves.pgf",)


def test_links_to_mlflow_are_those_that_were_written(small: StudyResults, tmp_path: Path) -> None:
    keys = [run.run_key for run in small.plan.runs]
    links = RunLinks("http://127.0.0.1:5000", "7", dict.fromkeys(keys, "0123"))
    build_report(small, tmp_path, ReportOptions(formats=("pdf",), links=links))
    assert verify_report(small, tmp_path).holds
    assert (
        json.loads((tmp_path / "manifest.json").read_text())["runs"][0]["mlflow_run_id"] == "0123"
    )


def test_what_is_no_report_of_the_study_is_refused(
    directory: Path, small: StudyResults, tmp_path: Path
) -> None:
    with pytest.raises(UnreadableResults, match=r"Write it with `ablate report norm-placement`"):
        verify_report(small, tmp_path / "nothing")
    output = reported(directory)
    shutil.copy(output / "manifest.json", tmp_path / "manifest.json")
    text = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps(text | {"study": "another"}))
    with pytest.raises(UnreadableResults, match="is of the study 'another'"):
        verify_report(small, tmp_path)
    del text["options"]
    (tmp_path / "manifest.json").write_text(json.dumps(text))
    with pytest.raises(UnreadableResults, match="an older version"):
        verify_report(small, tmp_path)
