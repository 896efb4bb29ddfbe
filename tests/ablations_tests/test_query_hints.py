"""What `ablate query` says of a filter that finds nothing."""

from __future__ import annotations

import json

import pytest

from ablations.cli import main
from ablations.tracking import Tracking
from ablations.tracking_store import default_tracking_uri


@pytest.mark.parametrize(
    ("filter", "reason"),
    [
        ("params.nrom = layer", "no run has params.nrom: did you mean 'norm'"),
        ("params.lr > 1e-3", "no run has params.lr: did you mean 'learning_rate'?"),
        ("metrics.val_loss < 2", "no run has metrics.val_loss: did you mean 'val/loss'"),
        ("metrics.norm < 2", "no run has metrics.norm; it is params.norm"),
        ("params.norm = layernorm", "is batch or group or layer or rms: did you mean 'layer'?"),
        ("metrics.val/loss < 2", "< 2; metrics.val/loss is from 2.101 to 2.24"),
        ("params.learning_rate = '1e-5'", "without quotes, 1e-5 is compared as a number"),
        ("params.seed in (17, 18)", "no run has params.seed IN (17, 18); params.seed is 0 or 1 or"),
        ("tags.at_edge = no", "variants have it, add --kind variant"),
        ("params.norm = batch and tags.stage = search", "all of them by none"),
    ],
)  # fmt: skip
def test_a_filter_that_finds_nothing_is_explained(query, filter, reason):
    answer = query(filter)
    assert (answer.status, answer.out) == (0, "0 runs match\n")
    assert reason in answer.err
    assert len(answer.err.splitlines()) == 1


def test_machines_get_an_empty_answer_where_nothing_is_found(query):
    assert json.loads(query("params.nrom = layer", "--json").out) == []
    empty = query("params.nrom = layer", "--csv", "--columns", "norm,val/loss")
    assert empty.out.splitlines() == [
        "study,kind,run_name,variant,seed,outcome,run_key,run_id,params.norm,metrics.val/loss"
    ]


def test_a_store_without_runs_says_so(tmp_path, capsys):
    Tracking(default_tracking_uri(tmp_path))
    assert main(["query", "--home", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert out == "0 runs match\n"
    assert "there is no run of kind 'run'" in err
