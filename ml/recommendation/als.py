"""Implicit ALS (Hu, Koren & Volinsky 2008): item factors by the library ``implicit``.

Only the factors of products are kept. A customer's own are solved for when they are scored, which
is also what makes the score a sum over the products that the customer bought.
"""

from __future__ import annotations

import warnings

import numpy as np
from scipy import linalg, sparse

from ml.recommendation.purchases import FloatArray, IntArray

FACTORS = 32
REGULARIZATION = 1.0
CONFIDENCE = 2.0
"""Weight of a bought product beside one that was not."""
ITERATIONS = 15
DIGITS = 7


def item_factors(bought: sparse.csr_matrix, *, seed: int = 0) -> FloatArray:
    """Return products x factors: the same for the same input, as it runs on one thread."""
    with warnings.catch_warnings():
        # it warns of BLAS threads, which the caller limits
        warnings.simplefilter("ignore")
        from implicit.als import AlternatingLeastSquares

        model = AlternatingLeastSquares(
            factors=FACTORS,
            regularization=REGULARIZATION,
            alpha=CONFIDENCE,
            iterations=ITERATIONS,
            dtype=np.float64,
            use_gpu=False,
            num_threads=1,
            random_state=seed,
        )
        model.fit(sparse.csr_matrix(bought, dtype=np.float64), show_progress=False)
    factors = np.asarray(model.item_factors, dtype=float).round(DIGITS)
    # of products that nobody bought only the random start is left
    factors[np.bincount(bought.indices, minlength=bought.shape[1]) == 0] = 0.0
    return factors


def user_factors(bought: sparse.csr_matrix, factors: FloatArray) -> FloatArray:
    """Return customers x factors, each solved from what the customer bought."""
    gram = regularised_gram(factors)
    found = np.zeros((bought.shape[0], factors.shape[1]))
    for row in range(bought.shape[0]):
        own = factors[_products(bought, row)]
        if len(own):
            found[row] = linalg.solve(_system(gram, own), own.sum(axis=0) * CONFIDENCE)
    return found


def contributions(
    bought: sparse.csr_matrix, row: int, factors: FloatArray, products: IntArray, gram: FloatArray
) -> tuple[IntArray, FloatArray]:
    """Return (what the customer bought, its part in the score of each of ``products``).

    The second has a row a bought product and a column a scored one; columns sum to the scores.
    ``gram`` is what ``regularised_gram`` says of the factors.
    """
    held = _products(bought, row)
    own = factors[held]
    if not len(own):
        return held, np.zeros((0, len(products)))
    solved = linalg.solve(_system(gram, own), factors[products].T)
    return held, CONFIDENCE * own @ solved


def regularised_gram(factors: FloatArray) -> FloatArray:
    """Return the factors' inner products with the ridge: what all customers' systems share."""
    return factors.T @ factors + REGULARIZATION * np.eye(factors.shape[1])


def _system(gram: FloatArray, own: FloatArray) -> FloatArray:
    return gram + (CONFIDENCE - 1) * own.T @ own


def _products(bought: sparse.csr_matrix, row: int) -> IntArray:
    return bought.indices[bought.indptr[row] : bought.indptr[row + 1]]
