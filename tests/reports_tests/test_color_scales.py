import numpy as np
import pandas as pd
import pytest

from reports.color_scales import ColorScale, color_scale, fitting_kind, log_ticks, mean_of_runs


def test_a_logarithmic_scale_ends_at_exponents_and_has_zeros_under_it() -> None:
    scale = color_scale("log", np.array([0.0, 0.01, 1.0]))
    assert scale.low == pytest.approx(-2, abs=0.02)
    assert scale.high == pytest.approx(0, abs=0.02)
    assert scale.under
    positions = scale.positions(np.array([0.0, 0.1, np.nan]))
    assert positions[0] < scale.low
    assert positions[1] == pytest.approx(-1)
    assert np.isnan(positions[2])


def test_a_diverging_scale_is_symmetric_about_zero() -> None:
    scale = color_scale("diverging", np.array([-0.5, 2.0]))
    assert scale.low == -scale.high
    assert scale.high == pytest.approx(2, rel=0.01)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("linear", [0.0, 0.0]),
        ("linear", [3.0]),
        ("log", [1.0, 1.0]),
        ("log", [0.0]),
        ("diverging", [0.0]),
    ],
)
def test_a_scale_is_never_empty(kind: str, values: list[float]) -> None:
    scale = color_scale(kind, np.array(values))  # type: ignore[arg-type]
    assert scale.low < scale.high


def test_outliers_run_off_the_scale_at_their_end_only() -> None:
    scale = color_scale("linear", np.concatenate([np.linspace(0, 1, 1000), [50.0]]))
    assert scale.high < 2
    assert scale.over


def test_values_without_a_logarithm_are_drawn_linearly() -> None:
    assert fitting_kind("log", np.array([-1.0, 1.0])) == "linear"
    assert fitting_kind("log", np.array([0.0, 1.0])) == "log"


def test_the_mean_of_runs_is_geometric_on_a_logarithmic_scale() -> None:
    values = pd.Series([1.0, 100.0, 0.0, 5.0])
    by = pd.DataFrame({"variant": ["a", "a", "b", "b"]})
    logarithmic = mean_of_runs("log", values, by).set_index("variant")
    assert logarithmic["mean"].to_dict() == pytest.approx({"a": 10.0, "b": 0.0})
    linear = mean_of_runs("linear", values, by).set_index("variant")
    assert linear["mean"].to_dict() == {"a": 50.5, "b": 2.5}
    assert linear["runs"].to_dict() == {"a": 2, "b": 2}
    for kind in (logarithmic, linear):
        assert kind["least"].to_dict() == pytest.approx({"a": 1.0, "b": 0.0})
        assert kind["most"].to_dict() == pytest.approx({"a": 100.0, "b": 5.0})


def test_light_colours_are_told_from_dark_ones() -> None:
    assert ColorScale("linear", 0.0, 1.0).light(np.array([0.0, 1.0])).tolist() == [False, True]
    assert ColorScale("diverging", -1.0, 1.0).light(np.array([-1.0, 0.0])).tolist() == [False, True]


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (-2.1, 1.2, [0.01, 0.1, 1, 10]),
        (-0.5, 0.6, [0.5, 1, 2]),
        (0.31, 0.32, [10**0.31, 10**0.32]),
    ],
)
def test_ticks_of_a_logarithmic_scale(low: float, high: float, ticks: list[float]) -> None:
    assert log_ticks(low, high) == pytest.approx(ticks)
