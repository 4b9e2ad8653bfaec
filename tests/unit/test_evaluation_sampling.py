"""Choosing rows by a hash of their key: whole keys, whatever the order; the same hash for ever."""

import numpy as np
import pandas as pd

from ml.evaluation.sampling import hashed_shares, key_halves, key_hash, sample_keys


def test_sampled_keys_keep_all_their_rows_whatever_the_order():
    frame = pd.DataFrame({"customer_key": [f"c{i % 5000}" for i in range(20_000)]})
    chosen = sample_keys(frame["customer_key"], 5000)
    assert 4000 < chosen.sum() < 6000
    assert frame.loc[chosen, "customer_key"].value_counts().eq(4).all()
    mixed = frame.sample(frac=1, random_state=0)
    assert set(mixed.loc[sample_keys(mixed["customer_key"], 5000)].index) == set(
        frame.index[chosen]
    )
    assert sample_keys(frame["customer_key"].head(10), 5000).all()


def test_the_choice_depends_on_the_key_alone_and_is_that_of_stored_champions():
    """Were it another, a champion would be examined on rows that its copy has seen."""
    keys = pd.Series(["demo:1", "demo:2", "demo:3"])
    assert key_hash(keys).tolist() == [HASHES[key] for key in keys]
    assert key_hash(keys[::-1]).tolist() == key_hash(keys)[::-1].tolist()
    assert key_halves(keys).tolist() == [bool(HASHES[key] % 2) for key in keys]
    np.testing.assert_allclose(hashed_shares(keys), SHARES, atol=1e-12)


HASHES = {
    "demo:1": 2551967398773109507,
    "demo:2": 7557907647282879939,
    "demo:3": 18308812165420567277,
}
SHARES = [0.1604580031238313, 0.676483734173284, 0.18389599188561598]
