"""All purchase models: MBG/NBD's figures, invariances, bootstrap, oracles, refusals."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betaln, gammaln

from ml.clv.likelihoods import PurchaseRows, beta_geometric_nbd
from ml.clv.purchases import BetaGeometricNBD, ModifiedBetaGeometricNBD, ParetoNBD
from ml.clv.simulation import simulate_customers

MODELS = (BetaGeometricNBD, ModifiedBetaGeometricNBD, ParetoNBD)
AGES = np.random.default_rng(5).integers(10, 80, 600).astype(float)
DRAWN = simulate_customers(AGES, purchase=(0.6, 7.0, 0.7, 2.5), horizon=30, seed=3).round(
    {"last_repeat_age": 2}
)
DRAWN["last_repeat_age"] = np.where(
    DRAWN["repeat_count"] > 0, np.maximum(DRAWN["last_repeat_age"], 0.01), 0.0
)
DRAWN["last_repeat_age"] = np.minimum(DRAWN["last_repeat_age"], DRAWN["age"])
FITTED = {model: model().fit(DRAWN) for model in MODELS}
ABOUT = {"max_examples": 8, "deadline": None, "derandomize": True}


def history(*rows: tuple[float, float, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["repeat_count", "last_repeat_age", "age"])


def test_modified_likelihood_is_the_published_one():
    """Batislam, Denizel & Filiztekin (2007), as printed: no 0 for customers without repeat."""
    x, t_x = np.array([0, 0, 1, 7, 40]), np.array([0.0, 0.0, 3.5, 35.0, 38.0])
    age, weight = np.array([38.86, 0.0, 38.86, 38.86, 39.0]), np.array([3.0, 1.0, 2.0, 1.0, 1.5])
    r, alpha, a, b = 0.525, 6.183, 0.891, 1.614
    rate = np.exp(gammaln(r + x) - gammaln(r)) * alpha**r
    stays = np.exp(betaln(a, b + x + 1) - betaln(a, b)) / (alpha + age) ** (r + x)
    leaves = np.exp(betaln(a + 1, b + x) - betaln(a, b)) / (alpha + t_x) ** (r + x)
    rows = PurchaseRows(x, t_x, age, weight, leaves_at_first=True)
    point, step = np.log([r, alpha, a, b]), 1e-5
    value, gradient, hessian = beta_geometric_nbd(point, rows)
    assert value == pytest.approx(weight @ np.log(rate * (stays + leaves)), rel=1e-12)
    for axis in range(4):
        shift = step * np.eye(4)[axis]
        above, below = (beta_geometric_nbd(point + side * shift, rows) for side in (1, -1))
        assert gradient[axis] == pytest.approx((above[0] - below[0]) / (2 * step), rel=1e-6)
        np.testing.assert_allclose(
            hessian[axis], (above[1] - below[1]) / (2 * step), rtol=1e-6, atol=1e-6
        )


def test_customers_without_repeat_may_have_left_unless_the_model_forbids_it():
    alive = {
        model: fitted.alive_probability(history((0, 0, 60)))[0] for model, fitted in FITTED.items()
    }
    assert alive[BetaGeometricNBD] == 1
    assert 0 < alive[ModifiedBetaGeometricNBD] < 0.9
    assert 0 < alive[ParetoNBD] < 0.9


@pytest.mark.parametrize("model", MODELS)
@given(seed=st.integers(0, 1000))
@settings(**ABOUT)
def test_the_order_of_customers_changes_no_bit(model, seed):
    order = np.random.default_rng(seed).permutation(len(DRAWN))
    np.testing.assert_array_equal(
        model().fit(DRAWN.iloc[order]).estimates_, FITTED[model].estimates_
    )


@pytest.mark.parametrize("model", MODELS)
@given(unit=st.floats(0.01, 400))
@settings(**ABOUT)
def test_the_unit_of_time_does_not_matter(model, unit):
    own = FITTED[model]
    scaled = DRAWN.assign(
        last_repeat_age=np.minimum(DRAWN["last_repeat_age"] * unit, DRAWN["age"] * unit),
        age=DRAWN["age"] * unit,
    )
    other = model().fit(scaled)
    factor = np.ones(4)
    factor[list(model.TIMES)] = unit
    np.testing.assert_allclose(other.estimates_ / factor, own.estimates_, rtol=1e-5)
    np.testing.assert_allclose(
        other.expected_purchases(scaled, 30 * unit), own.expected_purchases(DRAWN, 30), rtol=1e-5
    )


@pytest.mark.parametrize("model", MODELS)
@given(seed=st.integers(0, 1000))
@settings(**ABOUT)
def test_a_weight_is_a_repetition(model, seed):
    few = DRAWN.iloc[:300]
    weight = np.random.default_rng(seed).integers(0, 4, len(few))
    weighted = model().fit(few, sample_weight=weight)
    repeated = model().fit(few.loc[few.index.repeat(weight)])
    np.testing.assert_allclose(weighted.estimates_, repeated.estimates_, rtol=1e-6)
    assert weighted.customer_count_ == weight.sum()


@pytest.mark.parametrize("model", MODELS)
@given(
    x=st.integers(1, 60),
    age=st.floats(5, 300),
    ends=st.tuples(st.floats(0.05, 1), st.floats(0.05, 1)),
    t=st.floats(1, 200),
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_who_bought_more_recently_is_worth_more(model, x, age, ends, t):
    """Of two customers alike but for the last purchase: alive, orders, any order, residual."""
    early, late = sorted(ends)
    two = history((x, age * early, age), (x, age * late, age))
    fitted = FITTED[model]
    for values in (
        fitted.alive_probability(two),
        fitted.expected_purchases(two, t),
        fitted.purchase_probability(two, t),
        fitted.residual_purchases(two, 0.003),
    ):
        assert values[1] >= values[0] * (1 - 1e-12)


@pytest.mark.parametrize("model", MODELS)
@given(
    x=st.integers(0, 10_000), age=st.floats(0.5, 3000), last=st.floats(0.01, 1),
    t=st.floats(0.1, 1000),
)  # fmt: skip
@settings(max_examples=40, deadline=None, derandomize=True)
def test_predictions_keep_their_bounds(model, x, age, last, t):
    one = history((x, age * last if x else 0.0, age))
    fitted = FITTED[model]
    alive = fitted.alive_probability(one)[0]
    orders = fitted.expected_purchases(one, t)[0]
    buys = fitted.purchase_probability(one, t)[0]
    assert 0 <= buys <= alive <= 1
    assert buys <= orders * (1 + 1e-9)
    assert fitted.expected_purchases(one, t, discount=0.01)[0] <= orders
    low, middle, high = fitted.waiting_times(one, (0.1, 0.5, 0.9), 260)[0]
    assert 0 < low <= middle <= high <= 260


@pytest.mark.parametrize("model", [BetaGeometricNBD, ModifiedBetaGeometricNBD])
def test_residual_purchases_are_all_purchases_discounted(model):
    """The endless horizon is the limit of long ones, whose quadrature is another."""
    some, fitted = DRAWN.iloc[:40], FITTED[model]
    found = fitted.residual_purchases(some, 0.01)
    long = fitted.expected_purchases(some, 1000, discount=0.01)
    np.testing.assert_allclose(found, long, rtol=2e-3)
    assert np.all(found > fitted.expected_purchases(some, 100, discount=0.01))


@pytest.mark.parametrize("model", MODELS)
def test_residual_purchases_need_a_discount(model):
    with pytest.raises(ValueError, match="discount of residual purchases must be above 0"):
        FITTED[model].residual_purchases(DRAWN, 0.0)


def test_waiting_times_are_the_quantiles_of_the_chance_to_buy():
    customers = history((3, 20, 30), (0, 0, 40), (40, 29, 30))
    fitted = FITTED[ModifiedBetaGeometricNBD]
    times = fitted.waiting_times(customers, (0.1, 0.5), 260)
    alive = fitted.alive_probability(customers)
    whole = fitted.purchase_probability(customers, 260) / alive
    for row in range(3):
        bought = fitted.purchase_probability(customers, times[row, 1])[row] / alive[row]
        assert bought / whole[row] == pytest.approx(0.5, rel=1e-9)


@pytest.mark.parametrize("model", MODELS)
def test_bootstrap_agrees_with_the_hessian(model):
    fitted = FITTED[model]
    drawn = fitted.bootstrap(DRAWN, draws=40, seed=2)
    pd.testing.assert_frame_equal(drawn, fitted.bootstrap(DRAWN, draws=40, seed=2))
    assert list(drawn.columns) == list(model.NAMES)
    spread = np.log(drawn).std().to_numpy()
    hessian = np.sqrt(np.diag(fitted.log_covariance_))
    np.testing.assert_allclose(spread[:2], hessian[:2], rtol=0.4)
    low, high = drawn.quantile(0.025).to_numpy(), drawn.quantile(0.975).to_numpy()
    assert np.all((low < fitted.estimates_) & (fitted.estimates_ < high))


@pytest.mark.parametrize("model", MODELS)
def test_bootstrap_of_the_nbd_is_one_of_the_nbd(model):
    drawn = simulate_customers(AGES, purchase=(0.8, 10.0, 0.0, 1.0), seed=11)
    fitted = model().fit(drawn)
    assert not fitted.is_dropout_identifiable_
    found = fitted.bootstrap(drawn, draws=5)
    assert (found[model.NAMES[2]] == 0).all()
    assert found[model.NAMES[3]].isna().all()


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    "rows",
    [
        [(3, 20, 30)],
        [(1, 30, 30)] * 40,
        [(0, 0, 5)] * 30 + [(10_000, 4.9, 5)],
        [(2, 1, 400)] * 50 + [(0, 0, 400)] * 50,
        [(1, 0.5, 1)] * 3 + [(0, 0, 0)] * 3,
    ],
)
def test_odd_histories_are_fitted_or_refused_never_an_accident(model, rows):
    frame = history(*rows)
    fitted = model().fit(frame)
    for values in (
        fitted.expected_purchases(frame, 10),
        fitted.purchase_probability(frame, 10),
        fitted.alive_probability(frame),
        fitted.waiting_times(frame, (0.1, 0.9), 100),
    ):
        assert np.isfinite(values).all()


@pytest.mark.parametrize("model", MODELS)
def test_nobody_bought_again(model):
    with pytest.raises(ValueError, match="nobody bought again"):
        model().fit(history((0, 0, 10), (0, 0, 20)))


@pytest.mark.parametrize(
    ("model", "oracle", "names"),
    [
        (ModifiedBetaGeometricNBD, "ModifiedBetaGeoFitter", ["r", "alpha", "a", "b"]),
        (ParetoNBD, "ParetoNBDFitter", ["r", "alpha", "s", "beta"]),
    ],
)
def test_agrees_with_lifetimes(model, oracle, names):
    lifetimes = pytest.importorskip("lifetimes", reason="the oracle lifetimes is not installed")
    columns = [DRAWN[name] for name in ("repeat_count", "last_repeat_age", "age")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitter = getattr(lifetimes, oracle)().fit(*columns)
        future = fitter.conditional_expected_number_of_purchases_up_to_time(10, *columns)
    np.testing.assert_allclose(FITTED[model].estimates_, fitter.params_[names], rtol=2e-3)
    np.testing.assert_allclose(FITTED[model].expected_purchases(DRAWN, 10), future, rtol=2e-3)
