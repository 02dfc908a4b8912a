"""Rules of initialisation: their distributions, and numbers that never change."""

import numpy as np
import pytest
from scipy import stats

from engine.errors import ShapeError
from engine.keyed import Draws, name_key
from engine.nn import init
from engine.nn.init import Rule, fans, gain

SHAPE = (200, 100, 3, 2)  # fan_in 600, fan_out 1200


def draw(rule: Rule, shape: tuple[int, ...] = SHAPE, name: str = "w") -> np.ndarray:
    return rule(shape, Draws(0, name))


UNIFORM: dict[str, tuple[Rule, float, float]] = {
    "uniform": (init.uniform(-0.5, 2.0), -0.5, 2.0),
    "kaiming_uniform": (init.kaiming_uniform(), -((6 / 600) ** 0.5), (6 / 600) ** 0.5),
    "kaiming_uniform fan_out": (
        init.kaiming_uniform(mode="fan_out", nonlinearity="tanh"),
        -5 / 3 * (3 / 1200) ** 0.5,
        5 / 3 * (3 / 1200) ** 0.5,
    ),
    "xavier_uniform": (init.xavier_uniform(2.0), -2 * (6 / 1800) ** 0.5, 2 * (6 / 1800) ** 0.5),
    "torch_default": (init.torch_default(25), -0.2, 0.2),
}
NORMAL: dict[str, tuple[Rule, float, float]] = {
    "normal": (init.normal(3.0, 0.5), 3.0, 0.5),
    "kaiming_normal": (init.kaiming_normal(nonlinearity="relu"), 0.0, (2 / 600) ** 0.5),
    "xavier_normal": (init.xavier_normal(), 0.0, (2 / 1800) ** 0.5),
}


@pytest.mark.parametrize("name", UNIFORM)
def test_uniform_rules_fill_their_interval_evenly(name: str) -> None:
    rule, low, high = UNIFORM[name]
    values = draw(rule).ravel()
    assert low <= values.min() < low + 1e-3 * (high - low)
    assert high - 1e-3 * (high - low) < values.max() < high
    assert stats.kstest(values, "uniform", (low, high - low)).pvalue > 1e-3


@pytest.mark.parametrize("name", NORMAL)
def test_normal_rules_have_their_mean_and_deviation(name: str) -> None:
    rule, mean, std = NORMAL[name]
    values = draw(rule).ravel()
    assert stats.kstest(values, "norm", (mean, std)).pvalue > 1e-3
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.01


def test_a_cut_normal_keeps_its_shape_inside() -> None:
    values = draw(init.trunc_normal(0.5, 2.0, -1.0, 2.0)).ravel()
    assert values.min() >= -1.0
    assert values.max() <= 2.0
    cut = stats.truncnorm((-1.0 - 0.5) / 2.0, (2.0 - 0.5) / 2.0, 0.5, 2.0)
    assert stats.kstest(values, cut.cdf).pvalue > 1e-3


def test_a_cut_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="next to nothing"):
        init.trunc_normal(0.0, 1.0, 50.0, 51.0)


def test_constants() -> None:
    np.testing.assert_array_equal(draw(init.zeros), 0.0)
    np.testing.assert_array_equal(draw(init.ones), 1.0)
    np.testing.assert_array_equal(draw(init.constant(2.5)), 2.5)


def test_the_default_of_pytorch_is_kaiming_with_slope_root_of_five() -> None:
    first = draw(init.torch_default(600))
    second = draw(init.kaiming_uniform(5**0.5))
    np.testing.assert_allclose(first, second, rtol=1e-12)


def test_names_draw_independent_numbers() -> None:
    first, second = draw(init.normal(), name="a").ravel(), draw(init.normal(), name="b").ravel()
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.01


def test_the_numbers_are_known_for_good() -> None:
    """Other numbers here mean that a seed no longer gives the model it gave."""
    assert name_key("layers.0.weight") == 4473830710502933260
    assert draw(init.uniform(), (3,)).tolist() == [
        0.1976240952536813,
        0.5483070023410402,
        0.6754018664921723,
    ]
    normals = [-0.2997711733577362, 1.2446739695235411, -0.5920248197116643]
    np.testing.assert_allclose(draw(init.normal(), (3,)), normals, rtol=1e-12)


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3,), (2, 0)])
def test_any_shape_can_be_filled(shape: tuple[int, ...]) -> None:
    assert draw(init.normal(), shape).shape == shape
    assert draw(init.uniform(), shape).shape == shape


def test_negative_and_large_seeds_are_seeds() -> None:
    values = [Draws(seed, "w").uniform((2,)).tolist() for seed in (-1, 0, 1, 2**63)]
    assert len({tuple(v) for v in values}) == 4


def test_fans_count_the_window() -> None:
    assert fans((6, 4)) == (4, 6)
    assert fans((6, 4, 3, 5)) == (60, 90)
    with pytest.raises(ShapeError, match="two axes or more"):
        fans((6,))


@pytest.mark.parametrize(
    ("name", "value"),
    [("linear", 1.0), ("relu", 2**0.5), ("tanh", 5 / 3), ("selu", 0.75), ("sigmoid", 1.0)],
)
def test_gains_are_the_known_ones(name: str, value: float) -> None:
    assert gain(name) == pytest.approx(value)


def test_the_gain_of_a_leaky_relu_depends_on_its_slope() -> None:
    assert gain("leaky_relu", 1.0) == 1.0
    assert gain("leaky_relu") == pytest.approx(2**0.5)
    with pytest.raises(ValueError, match="no gain is known for 'swish'"):
        gain("swish")
