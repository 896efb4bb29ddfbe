import json
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reports.results.frame import StudyResults, UnreadableResults
from reports.results.sources import load_study
from studies.metrics import FINAL_LOSS, VALIDATION_LOSS
from studies.records import Leak, Outcome
from studies.registration import REGISTRATION_FILE
from tests.reports_tests.conftest import Synthetic, grid_study, write_study


def test_every_planned_run_has_one_row(grid: StudyResults) -> None:
    assert len(grid.runs) == 56
    assert grid.runs["run_key"].is_unique
    assert grid.outcomes() == {
        Outcome.COMPLETED: 48,
        Outcome.DIVERGED: 4,
        Outcome.PRUNED: 0,
        Outcome.FAILED: 1,
        Outcome.MISSING: 3,
    }


def test_only_completed_runs_have_a_final_loss(grid: StudyResults) -> None:
    assert list(grid.values(FINAL_LOSS, "relu-layer-pre").index) == [0, 1]
    assert list(grid.values(FINAL_LOSS, "gelu-none").index) == [0]
    assert grid.values(FINAL_LOSS, "swiglu-group-post").empty
    assert grid.values("summary/unheard_of", "relu-layer-pre").empty


def test_runs_carry_the_levels_of_their_variant(grid: StudyResults) -> None:
    keys = ["model.activation", "model.norm", "model.placement"]
    assert list(grid.runs.columns[9:12]) == keys
    rows = grid.runs.drop_duplicates("variant").set_index("variant")[keys]
    assert rows.loc["gelu-layer-post"].tolist() == ["gelu", "layer", "post"]
    assert rows["model.placement"].isna().sum() == 4
    assert rows.loc["gelu-none", "model.placement"] is pd.NA
    by_norm = grid.runs.groupby("model.norm")[FINAL_LOSS].mean()
    assert set(by_norm.index) == {"batch", "layer", "group", "none"}
    assert by_norm["none"] > by_norm["layer"]


def test_levels_that_are_numbers_stay_whole_beside_a_null(tmp_path: Path) -> None:
    factors = {"model.norm": ("layer", "group"), "model.norm_groups": (2, 4)}
    plan = grid_study((0,), factors)
    results = load_study(write_study(tmp_path / "study", plan))
    groups = results.runs.set_index("variant")["model.norm_groups"]
    assert groups["layer"] is pd.NA
    assert groups.dropna().tolist() == [2, 4]
    assert groups.dtype == "Int64"


def test_runs_keep_their_results_when_another_factor_renames_their_variants(
    tmp_path: Path,
) -> None:
    before = grid_study((0, 1), {"model.norm": ("rms", "layer")})
    directory = write_study(tmp_path / "study", before, Synthetic(leaks={"rms": Leak.LEAKY}))
    after = grid_study((0, 1), {"model.norm": ("rms", "layer"), "model.placement": ("pre", "post")})
    (directory / "plan.json").write_text(after.model_dump_json())
    results = load_study(directory)
    assert results.leaks["rms-pre"] is Leak.LEAKY
    assert len(results.values(FINAL_LOSS, "layer-pre")) == 2
    assert results.outcomes("layer-post")[Outcome.MISSING] == 2
    assert {r.levels["model.placement"] for r in results.records.values()} == {"pre"}


def test_curves_carry_the_run_that_they_belong_to(grid: StudyResults) -> None:
    curves = grid.curves(VALIDATION_LOSS)
    died = curves[(curves["variant"] == "relu-none") & (curves["seed"] == 0)]
    assert set(died["outcome"]) == {"diverged"}
    layers = grid.layer_curves("activation_drift")
    assert sorted(layers[layers["tap"] == "residual"]["layer"].unique()) == [0, 1, 2, 3, 4]
    assert sorted(layers[layers["tap"] == "hidden"]["layer"].unique()) == [0, 1, 2, 3]


def test_the_runs_of_a_variant_are_those_of_the_whole(grid: StudyResults) -> None:
    for variant in (*grid.variants, "unheard-of"):
        runs = grid.runs[grid.runs["variant"] == variant]
        records = [r for r in grid.records.values() if r.variant == variant]
        assert grid.runs_of(variant).equals(runs)
        assert list(grid.records_of(variant)) == records
        counts = runs["outcome"].value_counts()
        assert grid.outcomes(variant) == {o: counts.get(o.value, 0) for o in Outcome}


def test_curves_of_a_part_of_the_runs_keep_their_runs(grid: StudyResults) -> None:
    plan = grid.plan.model_copy(update={"runs": grid.plan.runs[::-3]})
    part = replace(
        grid,
        plan=plan,
        runs=grid.runs[grid.runs["run_key"].isin(plan.run_keys)],
        histories=grid.histories[grid.histories["run_key"].isin(plan.run_keys)],
    )
    curves, whole = part.layer_curves("activation_rms"), grid.layer_curves("activation_rms")
    kept = whole[whole["run_key"].isin(plan.run_keys)].reset_index(drop=True)
    assert 0 < len(curves) < len(whole)
    assert curves.equals(kept)
    owners = {run.run_key: (run.variant, run.seed) for run in grid.plan.runs}
    for key, variant, seed in curves[["run_key", "variant", "seed"]].drop_duplicates().values:
        assert owners[key] == (variant, seed)


def test_curves_that_are_not_layered_have_no_taps(grid: StudyResults) -> None:
    assert grid.layered["gradient_norm"] == ("block",)
    assert grid.layered["activation_rms"] == ("residual", "attention_norm", "hidden")
    assert "batch_norm" not in grid.layered
    assert len(grid.curves("gradient_norm/total"))
    assert set(grid.layer_curves("gradient_norm")["tap"]) == {"block"}


def test_labels_and_leaks(grid: StudyResults) -> None:
    assert grid.labels["swiglu-layer-pre"] == "SwiGLU · LayerNorm · pre"
    assert grid.labels["relu-none"] == "ReLU · no norm"
    assert grid.leaks["relu-batch-pre"] is Leak.IN_TRAINING
    assert grid.leaks["relu-layer-pre"] is Leak.CAUSAL
    assert grid.leaks["swiglu-group-post"] is None  # no run measured it


def test_a_record_outside_the_plan_is_left_out(grid_directory: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(grid_directory, tmp_path / "copy")
    some = next((copy / "runs").iterdir())
    shutil.copytree(some, copy / "runs" / "0123456789abcdef")
    assert len(load_study(copy).records) == 53


def test_a_study_without_any_run_is_all_missing(tmp_path: Path) -> None:
    plan = grid_study()
    fates = {(run.variant, run.seed): Outcome.MISSING for run in plan.runs}
    results = load_study(write_study(tmp_path / "study", plan, Synthetic(fates)))
    assert results.outcomes()[Outcome.MISSING] == 56
    assert results.curves(VALIDATION_LOSS).empty
    assert results.layer_curves("gradient_norm").empty


def test_no_plan_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UnreadableResults, match=r"no plan.json in .*ablate run"):
        load_study(tmp_path)


def test_broken_files_are_named(grid_directory: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(grid_directory, tmp_path / "copy")
    record = next((copy / "runs").glob("*/record.json"))
    good = record.read_text()
    record.write_text(json.dumps(json.loads(good) | {"outcome": "vanished"}))
    with pytest.raises(UnreadableResults, match=r"record\.json is no valid RunRecord: outcome"):
        load_study(copy)
    record.write_text(good)
    (copy / REGISTRATION_FILE).write_text("{}")
    with pytest.raises(UnreadableResults, match=r"no valid Registration: study: .*restore it"):
        load_study(copy)
    (copy / REGISTRATION_FILE).unlink()
    history = next((copy / "runs").glob("*/history.parquet"))
    history.write_bytes(b"not parquet")
    with pytest.raises(UnreadableResults, match=r"history\.parquet is no parquet file"):
        load_study(copy)
    pq.write_table(pa.table({"metric": ["a"], "when": [1]}), history)
    with pytest.raises(UnreadableResults, match="has the columns metric, when"):
        load_study(copy)
