"""IBM's telco contracts: published figures, 5-fold x 3, stratified (references.md section 2).

The published blend of the two best reaches AUC .8497 and Brier .1335; required are .848 and .134.
The recipe is chosen on the training folds each time, so the figures are of the whole procedure.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from threadpoolctl import threadpool_limits

from ml.churn.calibration import choose_calibration
from ml.churn.contracts import check_contracts
from ml.churn.kinds import CONTRACT
from ml.churn.model import ChurnModel
from ml.churn.training import train_contract_churn
from ml.churn.tuning import Past, best_recipe, candidates, past_performance, stratified_folds
from ml.evaluation.gate import decide
from ml.evaluation.metrics import brier, roc_auc
from ml.evaluation.sampling import key_halves

REPEATS = 3
FIFTHS = 5


@pytest.fixture(scope="module")
def telco(shared_data) -> pd.DataFrame:
    [file] = shared_data("telco_churn").glob("*.gz")
    table = pd.read_csv(file, na_values=["", " "])
    table["is_churned"] = table.pop("Churn") == "Yes"
    table["TotalCharges"] = table["TotalCharges"].fillna(0.0)
    names = {"customerID": "subscription_key", "tenure": "tenure_months"}
    return table.rename(columns=names).assign(cut_off_on=pd.Timestamp("2018-09-30"))


def folds(telco, repeats):
    frame = check_contracts(telco)
    y = telco["is_churned"].astype(float).loc[frame.index].to_numpy()
    frame = frame.reset_index(drop=True)
    for repeat in range(repeats):
        for seen, later in stratified_folds(frame["subscription_key"], y, FIFTHS, repeat):
            yield frame[seen].reset_index(drop=True), y[seen], frame[later], y[later]


def test_one_recipe_ranks_as_well_as_the_published_one(telco):
    """A single repeat of the spline model: published .8486."""
    areas = []
    for seen, y, later, held in folds(telco, 1):
        model = ChurnModel("splines full strength=100000", kind=CONTRACT).fit_checked(seen, y)
        areas.append(roc_auc(held, model.raw_scores(later)))
    assert np.mean(areas) >= 0.848


@pytest.mark.slow
def test_the_whole_procedure_reaches_the_published_figures(telco):
    areas, scores = [], []
    with threadpool_limits(1):
        for seen, y, later, held in folds(telco, REPEATS):
            past = Past(seen, y, CONTRACT, 0)
            winner = best_recipe(past, past_performance(past, candidates(CONTRACT, 0)))
            model = ChurnModel(winner, kind=CONTRACT)
            half = key_halves(seen["subscription_key"])
            model.calibration, _ = choose_calibration(model.held_out_scores(seen, y), y, half)
            model.fit_checked(seen, y)
            p = expit(model.calibration_.apply(model.raw_scores(later)))
            areas.append(roc_auc(held, p))
            scores.append(brier(held, p))
    print(f"AUC {np.mean(areas):.4f} +- {np.std(areas):.4f}, Brier {np.mean(scores):.4f}")
    assert np.mean(areas) >= 0.848
    assert np.mean(scores) <= 0.134


@pytest.mark.slow
def test_resampling_inside_the_folds_is_no_miracle(telco):
    """A published .992 comes from resampling before the folds; inside them it is .836."""
    areas = []
    for seen, y, later, held in folds(telco, 1):
        text = "boosting full leaves=8 trees=100 resample=smote"
        model = ChurnModel(text, kind=CONTRACT).fit_checked(seen, y)
        areas.append(roc_auc(held, model.raw_scores(later)))
    assert 0.81 <= np.mean(areas) <= 0.852


@pytest.mark.slow
def test_its_model_is_promoted(telco):
    result = train_contract_churn(telco)
    assert decide(result).promoted, decide(result).reason
