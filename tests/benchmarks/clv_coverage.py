"""Whether the 95 % intervals of the value model's parameters hold what they say.

Draws customers from the model itself, fits, and counts how often each interval covers the truth.
Run by ``make bench``; prints one table a design and exits with 1 where a figure of the issue is
missed: coverage of 91 to 99 %, median width at most 1.2 times the Hessian's symmetric interval.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm

from ml.clv.simulation import simulate_customers
from ml.clv.value import CustomerValue

LOWEST_COVERAGE, HIGHEST_COVERAGE, WIDEST = 0.91, 0.99, 1.2
UNITS = np.array([1.0, 7.0, 1.0, 1.0, 1.0, 1.0, 1.0])
"""From the weeks of the parameter table to days."""
PARAMETERS = ("r", "alpha", "a", "b", "p", "q", "v")


@dataclass(frozen=True)
class Design:
    """A population, its truth (time in days) and how long it was watched."""

    name: str
    customers: int
    truth: tuple[float, ...]
    youngest_days: int
    oldest_days: int


DESIGNS = (
    Design("CDNOW's estimates", 2_357, (0.243, 30.9, 0.793, 2.426, 6.25, 3.74, 15.44), 189, 273),
    Design("two years, 5,000", 5_000, (0.8, 56.0, 0.5, 3.0, 2.1, 3.5, 480.0), 1, 730),
    Design("two years, 1,000", 1_000, (0.8, 56.0, 0.5, 3.0, 2.1, 3.5, 480.0), 1, 730),
)


def draw(design: Design, seed: int) -> pd.DataFrame:
    """Customer features drawn from the model."""
    ages = np.random.default_rng(seed).uniform(
        design.youngest_days, design.oldest_days, design.customers
    )
    drawn = simulate_customers(
        ages, purchase=design.truth[:4], spend=design.truth[4:], seed=seed + 1_000_000
    )
    drawn = drawn.rename(
        columns={"last_repeat_age": "last_repeat_age_days", "age": "observed_age_days"}
    )
    return drawn.assign(customer_key=np.arange(len(drawn)))


def study(design: Design, fits: int) -> pd.DataFrame:
    """One row a parameter: truth, median estimate, coverage, median width over the Hessian's."""
    truth = np.array(design.truth)
    estimates, covered, widths = [], [], []
    for seed in range(fits):
        model = CustomerValue().fit(draw(design, seed))
        purchases, amounts = model.purchases_, model.amounts_
        low, high = np.vstack([purchases.intervals_, amounts.intervals_]).T
        error = np.append(purchases.standard_errors_, amounts.standard_errors_)
        estimates.append(model.parameter_table()["estimate"] * UNITS)
        covered.append((low <= truth) & (truth <= high))
        widths.append((high - low) / (2 * norm.ppf(0.975) * error))
    return pd.DataFrame(
        {
            "truth": truth,
            "median_estimate": np.nanmedian(estimates, axis=0),
            "coverage": np.mean(covered, axis=0),
            "median_width": np.nanmedian(widths, axis=0),
        },
        index=pd.Index(PARAMETERS, name="parameter"),
    )


def main() -> int:
    """Run every design and say what falls short."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fits", type=int, default=200)
    options = parser.parse_args()
    failures = 0
    for design in DESIGNS:
        table = study(design, options.fits)
        held = table["coverage"].between(LOWEST_COVERAGE, HIGHEST_COVERAGE) & (
            table["median_width"] <= WIDEST
        )
        failures += int((~held).sum())
        print(f"\n{design.name}: {design.customers:,} customers, {options.fits} fits")
        print(table.assign(holds=held).round(4).to_string())
    print(f"\n{failures} of {len(DESIGNS) * len(PARAMETERS)} intervals fall short")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
