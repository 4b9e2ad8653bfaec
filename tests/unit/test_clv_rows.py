"""Compression to distinct rows: nothing lost, order free of the input's."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ml.clv.rows import distinct_rows, weighted_rows

ROW = st.tuples(
    st.integers(0, 5), st.floats(0, 10, width=16), st.sampled_from([-3.0, 0.0, 1e9, 7.5])
)


@given(st.lists(ROW, min_size=1, max_size=40))
def test_distinct_rows_give_every_row_back(rows):
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    found, position = distinct_rows(columns)
    for column, values in zip(columns, found, strict=True):
        np.testing.assert_array_equal(values[position], column)
    assert list(zip(*found, strict=True)) == sorted(set(rows))


@given(st.lists(ROW, min_size=1, max_size=40), st.randoms())
def test_counting_rows_is_weighing_them_with_one(rows, random):
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    random.shuffle(rows)
    shuffled = [np.array(column) for column in zip(*rows, strict=True)]
    counted, count = weighted_rows(columns, None)
    weighed, weight = weighted_rows(shuffled, np.ones(len(rows)))
    np.testing.assert_array_equal(count, weight)
    for one, other in zip(counted, weighed, strict=True):
        np.testing.assert_array_equal(one, other)


def test_rows_without_weight_vanish():
    (value,), weight = weighted_rows([np.array([1, 2, 2])], np.array([0.0, 1.5, 2.0]))
    assert value.tolist() == [2]
    assert weight.tolist() == [3.5]
