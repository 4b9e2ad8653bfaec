"""Item-item weights: cosine, EASE, text. Frames stay outside: sparse matrices in and out.

Each returns products x products, CSR: ``weights[j, i]`` is what having bought j says for i. Only
the strongest of each column are kept, and rounded, so that storing and scoring stay cheap.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from ml.recommendation.purchases import BoolArray, FloatArray, IntArray

NEIGHBOURS = 100
"""Kept of each product by cosine and text; EASE keeps twice as many, as some are negative."""
BLOCK = 500
"""Columns that are dense at a time."""
SHRINKAGE = 5.0
"""Customers in common that a similarity needs to count for half: two chance buyers are no
evidence."""
MAX_EASE_PRODUCTS = 2_000
"""EASE inverts a dense matrix of this size: 32 MB, about a second."""
HASHED_WORDS = 1 << 14
DIGITS = 7

_WORD = re.compile(r"\w+")


def cosine_weights(bought: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return the cosine of the products' customers, shrunk where few have both."""
    columns = sparse.csc_matrix(bought)
    transposed = sparse.csr_matrix(columns.T)
    norms = np.sqrt(np.asarray(columns.sum(axis=0)).ravel())
    norms[norms == 0] = 1.0
    blocks = []
    for start in range(0, bought.shape[1], BLOCK):
        common = (transposed @ columns[:, start : start + BLOCK]).toarray()
        shrunk = common / (common + SHRINKAGE)
        cosine = shrunk * common / norms[:, None] / norms[start : start + BLOCK]
        _clear_own(cosine, start)
        blocks.append(_strongest(cosine, NEIGHBOURS))
    return _joined(blocks, bought.shape[1])


def ease_weights(
    bought: sparse.csr_matrix, products: IntArray, penalties: tuple[float, ...]
) -> dict[float, sparse.csr_matrix]:
    """Return EASE's weights (Steck 2019) among ``products`` for several ridge penalties."""
    some = sparse.csc_matrix(bought)[:, products]
    gram = np.asarray((some.T @ some).toarray(), dtype=float)
    found = {}
    for penalty in penalties:
        inverse = linalg.inv(gram + penalty * np.eye(len(products)), check_finite=False)
        weights = -inverse / np.diag(inverse)
        np.fill_diagonal(weights, 0.0)
        inner = _strongest(weights, 2 * NEIGHBOURS).tocoo()
        shape = (bought.shape[1], bought.shape[1])
        found[penalty] = sparse.csr_matrix(
            (inner.data, (products[inner.row], products[inner.col])), shape=shape
        )
    return found


def text_vectors(texts: list[str]) -> sparse.csr_matrix:
    """Return TF-IDF vectors of length 1 over hashed words: no vocabulary is kept."""
    hashes: dict[str, int] = {}
    rows, columns = [], []
    for row, text in enumerate(texts):
        for word in sorted(set(_WORD.findall(text))):
            if word not in hashes:
                hashes[word] = _stable_hash(word) % HASHED_WORDS
            rows.append(row)
            columns.append(hashes[word])
    shape = (len(texts), HASHED_WORDS)
    counts = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=shape)
    counts.sum_duplicates()
    seen = np.bincount(counts.indices, minlength=HASHED_WORDS)
    weight = np.log((1 + len(texts)) / (1 + seen)) + 1
    counts.data = weight[counts.indices]
    lengths = np.sqrt(np.asarray(counts.multiply(counts).sum(axis=1)).ravel())
    lengths[lengths == 0] = 1.0
    return sparse.csr_matrix(sparse.diags(1 / lengths) @ counts)


def _stable_hash(word: str) -> int:
    """Return FNV-1a of the word: the same in every process, unlike ``hash``."""
    value = 0x811C9DC5
    for byte in word.encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def text_weights(texts: list[str], candidates: BoolArray) -> sparse.csr_matrix:
    """Return the cosine of the products' texts, for columns that are ``candidates``."""
    vectors = text_vectors(texts)
    blocks = []
    for start in range(0, len(texts), BLOCK):
        chosen = candidates[start : start + BLOCK]
        cosine = (vectors @ vectors[start : start + BLOCK].T).toarray()
        cosine[:, ~chosen] = 0.0
        _clear_own(cosine, start)
        blocks.append(_strongest(cosine, NEIGHBOURS))
    return _joined(blocks, len(texts))


def _clear_own(block: FloatArray, start: int) -> None:
    own = np.arange(block.shape[1])
    block[start + own, own] = 0.0


def _strongest(block: NDArray[np.float64], keep: int) -> sparse.csc_matrix:
    """Return the ``keep`` entries of each column that are largest in size."""
    size = np.abs(block)
    if block.shape[0] > keep:
        least = np.partition(size, block.shape[0] - keep, axis=0)[block.shape[0] - keep]
        block = np.where(size >= least, block, 0.0)
    return sparse.csc_matrix(block.round(DIGITS))


def _joined(blocks: list[sparse.csc_matrix], count: int) -> sparse.csr_matrix:
    if not blocks:
        return sparse.csr_matrix((count, count))
    return sparse.csr_matrix(sparse.hstack(blocks))
