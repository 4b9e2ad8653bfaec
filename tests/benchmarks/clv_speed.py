"""How long a BG/NBD fit takes beside ``lifetimes``, in one process on the same customers.

Run by ``make bench``; prints one line a size and exits with 1 where the median ratio at a million
customers misses the target. ``lifetimes`` comes with the extra ``bench``.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import warnings

import numpy as np
import pandas as pd
from lifetimes import BetaGeoFitter
from threadpoolctl import threadpool_limits

from ml.clv.purchases import BetaGeometricNBD
from ml.clv.simulation import simulate_customers

TARGET = 100.0
"""Times faster than lifetimes at a million customers, at the same optimum."""
NEARNESS = 1e-3
"""What counts as the same: lifetimes' climb ends where the likelihood is that flat."""
PURCHASE = (0.243, 30.9, 0.793, 2.426)
"""CDNOW's published parameters, time in days."""
OBSERVED_DAYS = 273


def customers(count: int) -> pd.DataFrame:
    """Customers of one joining quarter, their purchases counted by day as the pipeline does."""
    ages = np.random.default_rng(0).integers(OBSERVED_DAYS - 84, OBSERVED_DAYS + 1, count)
    drawn = simulate_customers(ages, purchase=PURCHASE, seed=1)
    drawn["last_repeat_age"] = np.ceil(drawn["last_repeat_age"])
    return drawn


def ours(frame: pd.DataFrame) -> np.ndarray:
    """Parameters by this project."""
    model = BetaGeometricNBD().fit(frame)
    return np.array([model.r_, model.alpha_, model.a_, model.b_])


def theirs(frame: pd.DataFrame) -> np.ndarray:
    """Parameters by ``lifetimes``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitter = BetaGeoFitter().fit(frame["repeat_count"], frame["last_repeat_age"], frame["age"])
    return fitter.params_[["r", "alpha", "a", "b"]].to_numpy()


def seconds(fit, frame: pd.DataFrame) -> tuple[float, np.ndarray]:
    """CPU seconds, which other processes do not disturb, and result of one fit."""
    begin = time.process_time()
    found = fit(frame)
    return time.process_time() - begin, found


def main() -> int:
    """Time both, alternating, and compare their medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[2_400, 100_000, 1_000_000])
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    ratio = gap = 0.0
    print(f"{'customers':>10} {'ours ms':>9} {'lifetimes ms':>13} {'ratio':>7}  largest difference")
    with threadpool_limits(1):
        for size in options.sizes:
            frame = customers(size)
            ours(frame)
            pairs = [(seconds(ours, frame), seconds(theirs, frame)) for _ in range(options.repeats)]
            mine = statistics.median(pair[0][0] for pair in pairs)
            other = statistics.median(pair[1][0] for pair in pairs)
            ratio = statistics.median(pair[1][0] / pair[0][0] for pair in pairs)
            gap = float(np.max(np.abs(pairs[0][0][1] / pairs[0][1][1] - 1)))
            print(f"{size:>10,} {1e3 * mine:>9.1f} {1e3 * other:>13.1f} {ratio:>7.1f}  {gap:.1e}")
    print(f"largest difference of a parameter at the last size: at most {NEARNESS:g}: {gap:.1e}")
    print(f"target at the last size: at least {TARGET:.0f} times: {ratio:.1f}")
    return 0 if ratio >= TARGET and gap <= NEARNESS else 1


if __name__ == "__main__":
    sys.exit(main())
