"""Rules on every combination, and on every whole number that a search may try."""

from __future__ import annotations

import pytest

from tests.studies_tests.helpers import problems_of


def problems_with(ranges, **raw):
    return problems_of(protocol={"search": {"kind": "tune", "ranges": ranges}}, **raw)


@pytest.mark.parametrize(
    ("key", "low", "high", "raw", "fits"),
    [
        ("model.n_heads", 1, 4, {"model": {"d_model": 16}}, "1, 2, 4"),
        ("model.n_heads", 1, 6, {"factors": {"model.d_model": [12, 60]}}, "1, 2, 3, 4, 6"),
        ("model.n_heads", 1, 4, {"factors": {"model.position": ["none", "rope"]}}, "1, 2, 4"),
        ("model.norm_groups", 1, 4, {"factors": {"model.norm": ["rms", "group"]}}, "1, 2, 4"),
        ("training.accumulate", 2, 1024, {"training": {"batch_size": 1024}},
         "2, 4, 8, 16, 32, 64, 128, 256, 512"),
    ],
)  # fmt: skip
def test_a_range_with_gaps_is_refused_with_the_values_that_fit(key, low, high, raw, fits):
    problem = problems_with({key: {"low": low, "high": high}}, **raw)[
        f"protocol.search.ranges.{key}"
    ]
    assert problem.value == f"{low} to {high}"
    assert problem.remedy == f"list the values that fit: {fits}"


@pytest.mark.parametrize(
    ("key", "low", "high", "raw"),
    [
        ("model.n_heads", 1, 2, {}),
        ("model.n_heads", 1, 4, {"model": {"d_model": 12}}),
        ("model.norm_groups", 1, 4, {}),
        ("training.warmup_steps", 10, 900, {}),
        ("training.warmup_steps", 10, 10**8, {"protocol": {"budget": {"minutes": 5}}}),
        ("module.arguments.depth", 1, 4, {"module": {"import_path": "some.module:Own"}}),
    ],
)
def test_a_range_without_gaps_is_searched(key, low, high, raw):
    protocol = {"search": {"kind": "tune", "ranges": {key: {"low": low, "high": high}}}}
    assert problems_of(**raw | {"protocol": protocol | raw.get("protocol", {})}) == {}


def test_a_range_that_only_has_to_be_shorter_is_told_its_end():
    problems = problems_with({"training.warmup_steps": {"low": 10, "high": 5000}})
    assert list(problems) == ["protocol.search: training.warmup_steps"]
