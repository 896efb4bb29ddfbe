import numpy as np
import pandas as pd
import pytest

from reports.figures.color_scales import ColorScale, Kind, color_scale, fitting_kind, mean_of_runs


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


@pytest.mark.parametrize("kind", ["linear", "log"])
def test_one_end_of_a_scale_is_lighter_than_the_other_all_the_way(kind: Kind) -> None:
    scale = ColorScale(kind, 0, 1)
    red, green, blue, _ = scale.mapping.to_rgba(np.linspace(0, 1, 256)).T ** 2.2
    assert (np.diff(0.2126 * red + 0.7152 * green + 0.0722 * blue) > 0).all()


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
    ("kind", "low", "high", "first", "second", "share"),
    [
        ("linear", 0.0, 10.0, 2.0, 5.0, 0.3),
        ("linear", 0.0, 10.0, 8.0, 50.0, 4.2),  # runs may lie beyond the bar of the means
        ("log", -2.0, 2.0, 0.1, 1.0, 0.25),
        ("log", -2.0, 2.0, 0.0, 0.1, 0.5),  # 0 is a decade below the low end
        ("diverging", -2.0, 2.0, -1.0, 1.0, 0.5),
    ],
)
def test_values_are_apart_by_a_share_of_the_bar(
    kind: Kind, low: float, high: float, first: float, second: float, share: float
) -> None:
    scale = ColorScale(kind, low, high)
    for pair in ((first, second), (second, first)):
        assert scale.distance(*map(np.atleast_1d, pair)) == pytest.approx([share])
