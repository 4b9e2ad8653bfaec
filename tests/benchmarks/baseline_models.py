"""The second half of ``baseline_script.py``: features at past cut-offs, models, scores."""

import numpy as np
import pandas as pd
from lifetimes import BetaGeoFitter, GammaGammaFitter
from scipy.special import expit
from sklearn.cluster import KMeans
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score, log_loss, roc_auc_score, silhouette_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

HORIZON, CLV_HORIZON, DISCOUNT = 90, 365, 0.10
DAY = pd.Timedelta(days=1)
COUNTS = (2, 3, 4, 5, 6, 7, 8)
RESAMPLES, STARTS, AGAIN_STARTS, SEARCHED = 30, 10, 4, 10_000
PENALTY = 0.05  # with less, lifetimes does not converge on this retailer
TUNING_ROWS, FIT_ROWS, FOLDS = 40_000, 400_000, 3
LOGISTIC_STRENGTHS = (10.0, 100.0, 1000.0)
TREES = ((4, 60), (8, 120), (8, 240))
FACTS = {
    "log_recency": "recency_days",
    "overdue": "recency_days",
    "recency_by_days": "recency_days",
    "log_days": "order_count",
    "is_single": "order_count",
    "log_orders_30d": "order_count_90d",
    "log_orders_90d": "order_count_90d",
    "log_gross": "gross_amount",
    "log_products": "distinct_product_count",
    "log_returns": "return_count",
}


def features_at(cut_off, orders, days, first_bought, returns):
    """Every customer with an order by the cut-off, from what was known then."""
    past = orders[orders["ordered_on"] <= cut_off]
    by_customer = past.groupby("customer_key")
    out = by_customer.agg(
        first_order_on=("ordered_on", "min"),
        last_order_on=("ordered_on", "max"),
        order_count=("order_key", "size"),
        gross_amount=("gross_amount", "sum"),
        item_quantity=("item_quantity", "sum"),
        line_count=("line_count", "sum"),
        mean_gap_days=("days_since_previous_order", "mean"),
        median_gap_days=("days_since_previous_order", "median"),
        stddev_gap_days=("days_since_previous_order", "std"),
        latest_gap_days=("days_since_previous_order", "last"),
    )
    out["recency_days"] = (cut_off - out["last_order_on"]).dt.days
    out["age_days"] = (cut_off - out["first_order_on"]).dt.days
    for window in (30, 90, 180, 365):
        recent = past[past["ordered_on"] > cut_off - window * DAY].groupby("customer_key")
        out[f"order_count_{window}d"] = recent.size().reindex(out.index, fill_value=0)
        amount = recent["gross_amount"].sum()
        out[f"gross_amount_{window}d"] = amount.reindex(out.index, fill_value=0)
    paid = days[(days["ordered_on"] <= cut_off) & (days["day_amount"] > 0)]
    paid = paid.groupby("customer_key").agg(
        purchase_day_count=("ordered_on", "size"),
        first_on=("ordered_on", "min"),
        last_on=("ordered_on", "max"),
        total=("day_amount", "sum"),
        first_amount=("day_amount", "first"),
    )
    paid = paid.reindex(out.index)
    out["purchase_day_count"] = paid["purchase_day_count"].fillna(0)
    out["repeat_count"] = (out["purchase_day_count"] - 1).clip(lower=0)
    out["last_repeat_age_days"] = (paid["last_on"] - paid["first_on"]).dt.days.fillna(0)
    out["observed_age_days"] = (cut_off - paid["first_on"]).dt.days
    repeated = out["repeat_count"].replace(0, np.nan)
    out["repeat_mean_amount"] = (paid["total"] - paid["first_amount"]) / repeated
    back = returns[returns["on"] <= cut_off].groupby("customer_key")["amount"].agg(["size", "sum"])
    out["return_count"] = back["size"].reindex(out.index, fill_value=0)
    out["returned_amount"] = back["sum"].reindex(out.index, fill_value=0)
    products = first_bought[first_bought["on"] <= cut_off].groupby("customer_key").size()
    out["distinct_product_count"] = products.reindex(out.index, fill_value=0)
    out["net_amount"] = out["gross_amount"] - out["returned_amount"]
    out["average_order_amount"] = out["gross_amount"] / out["order_count"]
    out["recency_to_gap_ratio"] = out["recency_days"] / out["mean_gap_days"].replace(0, np.nan)
    out["returned_share"] = (out["returned_amount"] / out["gross_amount"]).fillna(0)
    return out.reset_index().assign(cut_off_on=cut_off)


def labels_at(cut_off, features, days):
    """What the same customers did in the horizon after the cut-off."""
    window = (days["ordered_on"] > cut_off) & (days["ordered_on"] <= cut_off + HORIZON * DAY)
    future = (
        days[window]
        .groupby("customer_key")
        .agg(
            future_order_count=("day_orders", "sum"),
            future_purchase_day_count=("ordered_on", "size"),
            future_gross_amount=("day_amount", "sum"),
        )
    )
    out = features[["cut_off_on", "customer_key"]].set_index("customer_key")
    out = out.join(future).fillna(0)
    out["is_churned"] = out["future_order_count"] == 0
    return out.reset_index()


def feature_tables(items, orders, days, returns, as_of):
    orders, returns = orders.dropna(subset="customer_key"), returns.dropna(subset="customer_key")
    bought = items[["customer_key", "product_key", "on"]].dropna(subset="customer_key")
    bought = bought.sort_values("on", kind="stable")
    bought = bought.drop_duplicates(["customer_key", "product_key"])
    earliest = orders["ordered_on"].min() + 30 * DAY
    training = pd.date_range(end=as_of - 2 * HORIZON * DAY, periods=13, freq="30D")
    training = [day for day in training if day >= earliest]
    evaluation = as_of - HORIZON * DAY
    refit = [evaluation - 30 * DAY, evaluation - 60 * DAY]
    cut_offs = [*training, *refit, evaluation, as_of]
    features = {day: features_at(day, orders, days, bought, returns) for day in cut_offs}
    labels = {day: labels_at(day, features[day], days) for day in cut_offs[:-1]}
    return features, labels, training, evaluation


def segments(now):
    """K-means on log RFM; the number by stability, as the pipeline chooses it."""
    logs = np.log1p(now[["recency_days", "order_count", "net_amount"]].clip(lower=0))
    points = StandardScaler().fit_transform(logs)
    rng = np.random.default_rng(0)
    size = min(len(points), SEARCHED)
    sample = points[rng.choice(len(points), size, replace=False)]
    chosen, evidence = 2, []
    for k in COUNTS:
        reference = KMeans(k, n_init=STARTS, random_state=0).fit(sample)
        agreement = []
        for seed in range(RESAMPLES):
            drawn = sample[rng.integers(0, size, size)]
            again = KMeans(k, n_init=AGAIN_STARTS, random_state=seed).fit(drawn)
            agreement.append(adjusted_rand_score(reference.labels_, again.predict(sample)))
        share = np.bincount(reference.labels_).min() / size
        shape = silhouette_score(sample[:5000], reference.labels_[:5000])
        bound = np.mean(agreement) - 1.645 * np.std(agreement, ddof=1) / np.sqrt(RESAMPLES)
        evidence.append((k, np.mean(agreement), share, shape, reference.inertia_))
        if k > 2 and bound >= 0.85 and share >= 0.03:
            chosen = k
    for k in (2, chosen):  # the fallback and the final one, on everybody
        start = KMeans(k, n_init=STARTS, random_state=0).fit(sample).cluster_centers_
        final = KMeans(k, init=start, n_init=1).fit(points)
    scores = now[["customer_key"]].assign(
        segment_id=final.labels_ + 1, distance=final.transform(points).min(axis=1)
    )
    columns = ["k", "agreement", "smallest_share", "silhouette", "inertia"]
    return scores, pd.DataFrame(evidence, columns=columns)


def fit_value(frame):
    """BG/NBD and Gamma-Gamma; without a penalty the first does not converge on this retailer."""
    frame = frame.dropna(subset="observed_age_days")
    x, t_x, age = (frame[c] for c in ("repeat_count", "last_repeat_age_days", "observed_age_days"))
    purchases = BetaGeoFitter(penalizer_coef=PENALTY).fit(x, t_x, age)
    again = (x > 0) & (frame["repeat_mean_amount"] > 0)
    amounts = GammaGammaFitter().fit(x[again], frame.loc[again, "repeat_mean_amount"])
    return frame, purchases, amounts


def log_value(frame, purchases, amounts):
    x, t_x, age = (frame[c] for c in ("repeat_count", "last_repeat_age_days", "observed_age_days"))
    orders = purchases.conditional_expected_number_of_purchases_up_to_time(CLV_HORIZON, x, t_x, age)
    mean = frame["repeat_mean_amount"].fillna(0)
    return np.log(orders), np.log(amounts.conditional_expected_average_profit(x, mean))


def half_width(frame, purchases, amounts, step=1e-4):
    """1.96 standard errors of the logarithm, by the delta method with central differences."""
    variance = 0.0
    for number, fitter in enumerate((purchases, amounts)):
        names, slopes = list(fitter.params_.index), []
        for name in names:
            kept, ends = fitter.params_[name], []
            for side in (step, -step):
                fitter.params_[name] = kept * (1 + side)
                ends.append(log_value(frame, purchases, amounts)[number])
            fitter.params_[name] = kept
            slopes.append((ends[0] - ends[1]) / (2 * step * kept))
        slopes = np.column_stack(slopes)
        covariance = np.nan_to_num(np.asarray(fitter.variance_matrix_, dtype=float))
        variance = variance + np.einsum("ij,jk,ik->i", slopes, covariance, slopes)
    return 1.96 * np.sqrt(np.clip(variance, 0, 25))


def value(past, labels, now):
    """Fit before the holdout, measure in it, fit on everything, score."""
    past, purchases, amounts = fit_value(past)
    x, t_x, age = (past[c] for c in ("repeat_count", "last_repeat_age_days", "observed_age_days"))
    expected = purchases.conditional_expected_number_of_purchases_up_to_time(HORIZON, x, t_x, age)
    mean = past["repeat_mean_amount"].fillna(0)
    expected = expected * amounts.conditional_expected_average_profit(x, mean)
    actual = labels.set_index("customer_key")["future_gross_amount"].reindex(past["customer_key"])
    rank = pd.Series(expected.to_numpy()).corr(pd.Series(actual.to_numpy()), method="spearman")
    report = pd.DataFrame({"bias": [expected.sum() / actual.sum() - 1], "rank": [rank]})
    now, purchases, amounts = fit_value(now)
    x, t_x, age = (now[c] for c in ("repeat_count", "last_repeat_age_days", "observed_age_days"))
    orders, amount = (np.exp(part) for part in log_value(now, purchases, amounts))
    discounted = amounts.customer_lifetime_value(
        purchases, x, t_x, age, now["repeat_mean_amount"].fillna(0),
        time=12, discount_rate=(1 + DISCOUNT) ** (1 / 12) - 1, freq="D",
    )  # fmt: skip
    reach = np.exp(half_width(now, purchases, amounts))
    scores = now[["customer_key"]].assign(
        alive_probability=purchases.conditional_probability_alive(x, t_x, age),
        expected_orders=orders,
        expected_order_amount=amount,
        clv_amount=discounted,
        clv_low_amount=discounted / reach,
        clv_high_amount=discounted * reach,
    )
    return scores, report


def design(frame):
    recency = frame["recency_days"].clip(upper=365)
    count = np.log(frame["purchase_day_count"].clip(lower=1))
    paced = (frame["repeat_count"] + 0.5) / (frame["last_repeat_age_days"] + 30)
    columns = [
        np.log1p(recency),
        np.log1p(recency * paced),
        np.log1p(recency) * count,
        count,
        (frame["purchase_day_count"] <= 1).astype(float),
        *(np.log1p(frame[c].clip(lower=0)) for c in ("order_count_30d", "order_count_90d")),
        *(np.log1p(frame[c].clip(lower=0)) for c in ("gross_amount", "distinct_product_count")),
        np.log1p(frame["return_count"]),
    ]
    return pd.DataFrame(dict(zip(FACTS, columns, strict=True)))


def recipe(family, setting, rows):
    if family == "logistic":
        model = LogisticRegression(C=setting / rows, max_iter=1000, tol=1e-6)
        return make_pipeline(StandardScaler(), model)
    leaves, trees = setting
    return HistGradientBoostingClassifier(
        learning_rate=0.06, max_iter=trees, max_leaf_nodes=leaves, min_samples_leaf=60,
        l2_regularization=10.0, early_stopping=False, random_state=0,
    )  # fmt: skip


def fitted(chosen, x, y):
    return recipe(*chosen, len(y)).fit(x, y)


def sampled(frame, rows):
    if len(frame) <= rows:
        return np.ones(len(frame), dtype=bool)
    return (pd.util.hash_array(frame["customer_key"].to_numpy(object)) % 10_000) < (
        10_000 * rows / len(frame)
    )


def calibration(score, y, half):
    """The map with the lowest log-loss on the other half: none, sigmoid or isotonic."""
    maps = {"none": [], "sigmoid": [], "isotonic": []}
    for seen in (half, ~half):
        platt = LogisticRegression(C=1e6).fit(score[seen, None], y[seen])
        steps = IsotonicRegression(y_min=0.001, y_max=0.999, out_of_bounds="clip")
        steps.fit(score[seen], y[seen])
        held = score[~seen]
        for name, p in (
            ("none", expit(held)),
            ("sigmoid", platt.predict_proba(held[:, None])[:, 1]),
            ("isotonic", steps.predict(held)),
        ):
            maps[name].append(log_loss(y[~seen], p))
    return min(maps, key=lambda name: np.mean(maps[name]))


def churn(features, labels, training, evaluation, now):
    """Recipes compared on past cut-offs, the winner examined on a later one and refitted."""

    def rows(cut_offs, most):
        frame = pd.concat([features[day] for day in cut_offs], ignore_index=True)
        known = pd.concat([labels[day] for day in cut_offs], ignore_index=True)
        frame = frame.merge(known[["cut_off_on", "customer_key", "is_churned"]])
        frame = frame[sampled(frame, most)]
        return frame, design(frame), frame["is_churned"].to_numpy(dtype=float)

    frame, x, y = rows(training, TUNING_ROWS)
    recipes = [("logistic", s) for s in LOGISTIC_STRENGTHS] + [("boosting", t) for t in TREES]
    on, losses = frame["cut_off_on"], {}
    for later in [day for day in training if day - HORIZON * DAY >= training[0]][-FOLDS:]:
        seen, held = (on <= later - HORIZON * DAY).to_numpy(), (on == later).to_numpy()
        for one in recipes:
            p = fitted(one, x[seen], y[seen]).predict_proba(x[held])[:, 1]
            losses.setdefault(one, []).append(log_loss(y[held], p))
    half = pd.util.hash_array(frame["customer_key"].to_numpy(object)) % 2 == 1
    finalists = []
    for family in ("logistic", "boosting"):
        best = min((r for r in recipes if r[0] == family), key=lambda r: np.mean(losses[r]))
        score = np.empty(len(y))
        for seen in (half, ~half):
            score[~seen] = fitted(best, x[seen], y[seen]).decision_function(x[~seen])
        finalists.append((np.mean(losses[best]), best, calibration(score, y, half)))
    _, x, y = rows(training, FIT_ROWS)
    _, x_later, y_later = rows([evaluation], FIT_ROWS)
    report = []
    for loss, best, map_ in finalists:
        p = fitted(best, x, y).predict_proba(x_later)[:, 1]
        figures = (log_loss(y_later, p), roc_auc_score(y_later, p))
        report.append((str(best), map_, loss, *figures))
    winner = min(finalists)[1]
    _, x, y = rows(labels, FIT_ROWS)
    model, x_now = fitted(winner, x, y), design(now)
    probability = model.predict_proba(x_now)[:, 1]
    if winner[0] == "logistic":
        parts = model[0].transform(x_now) * model[1].coef_[0]
    else:
        import shap

        parts = shap.TreeExplainer(model).shap_values(x_now, check_additivity=False)
    parts = pd.DataFrame(parts, columns=list(FACTS)).T.groupby(FACTS).sum().T
    order = np.argsort(-parts.to_numpy(), axis=1)[:, :3]
    bands = pd.cut(probability, [-1, 0.3, 0.6, 1], labels=["low", "medium", "high"])
    scores = now[["customer_key"]].assign(churn_probability=probability, risk_band=bands)
    known = now[list(parts.columns)]
    for place in range(3):
        names = parts.columns.to_numpy()[order[:, place]]
        values = np.take_along_axis(known.to_numpy(float), order[:, [place]], axis=1)[:, 0]
        reasons = [f"{n}: {v:,.0f}" for n, v in zip(names, values, strict=True)]
        scores[f"reason_{place + 1}"] = reasons
    reasons = parts.assign(customer_key=now["customer_key"]).melt("customer_key")
    reasons = reasons.set_axis(["customer_key", "feature", "contribution"], axis=1)
    reasons["value"] = known.melt()["value"].to_numpy()
    columns = ["recipe", "calibration", "past_log_loss", "log_loss", "roc_auc"]
    return scores, reasons, pd.DataFrame(report, columns=columns)
