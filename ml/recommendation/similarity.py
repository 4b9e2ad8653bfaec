"""Item-item weights: cosine, EASE, text. Frames stay outside: sparse matrices in and out.

Each returns products x products, CSR: ``weights[j, i]`` is what having bought j says for i, where i
is one of the targets. Only the strongest of each column are kept, and rounded, so that storing and
scoring stay cheap.
"""

from __future__ import annotations

import re

import numpy as np
from scipy import linalg, sparse

from ml.recommendation.purchases import BoolArray, FloatArray, IntArray

NEIGHBOURS = 100
"""Kept of each product by cosine and text; EASE keeps twice as many, as some are negative."""
CELLS = 4_000_000
"""Numbers that are dense at a time: 32 MB."""
BLOCK = 500
"""Customers that are."""
SHRINKAGE = 5.0
"""Customers in common that a similarity needs to count for half: two chance buyers are no
evidence."""
MAX_EASE_PRODUCTS = 2_000
"""EASE inverts a dense matrix of this size: 32 MB, about a second."""
DENSE_SPEED = 20
"""Multiplications that a dense product does in the time of one of a sparse product."""
HASHED_WORDS = 1 << 14
DIGITS = 7

_WORD = re.compile(r"\w+")


def cosine_weights(bought: sparse.csr_matrix, targets: BoolArray) -> sparse.csr_matrix:
    """Return the cosine of the products' customers, shrunk where few have both."""
    customers = sparse.csr_matrix(bought.T)
    norms = np.sqrt(np.asarray(bought.sum(axis=0)).ravel())
    norms[norms == 0] = 1.0
    blocks = []
    for rows in _steps(targets):
        common = (customers[rows] @ bought).toarray()
        cosine = common / (common + SHRINKAGE) * common / norms[rows, None] / norms
        cosine[np.arange(len(rows)), rows] = 0.0
        blocks.append(_strongest(cosine, NEIGHBOURS))
    return _columns(blocks, targets)


def ease_weights(
    bought: sparse.csr_matrix, products: IntArray, penalties: tuple[float, ...]
) -> dict[float, sparse.csr_matrix]:
    """Return EASE's weights (Steck 2019) among ``products`` for several ridge penalties."""
    gram = _gram(sparse.csr_matrix(bought[:, products]))
    found = {}
    for penalty in penalties:
        inverse = linalg.inv(gram + penalty * np.eye(len(products)), check_finite=False)
        weights = -inverse / np.diag(inverse)
        np.fill_diagonal(weights, 0.0)
        inner = sparse.csr_matrix(_strongest(weights.T, 2 * NEIGHBOURS).T)
        found[penalty] = spread(inner, products, bought.shape[1])
    return found


def _gram(matrix: sparse.csr_matrix) -> FloatArray:
    """Return the products' inner products; dense where customers have many of them."""
    customers, products = matrix.shape
    steps = float((np.diff(matrix.indptr).astype(float) ** 2).sum())
    if DENSE_SPEED * steps < customers * products**2:
        return np.asarray((matrix.T @ matrix).toarray(), dtype=float)
    gram = np.zeros((products, products))
    for start in range(0, customers, BLOCK):
        dense = matrix[start : start + BLOCK].toarray()
        gram += dense.T @ dense
    return gram


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


def text_weights(texts: list[str], targets: BoolArray) -> sparse.csr_matrix:
    """Return the cosine of the products' texts."""
    vectors = text_vectors(texts)
    transposed = sparse.csr_matrix(vectors.T)
    blocks = []
    for rows in _steps(targets):
        cosine = (vectors[rows] @ transposed).toarray()
        cosine[np.arange(len(rows)), rows] = 0.0
        blocks.append(_strongest(cosine, NEIGHBOURS))
    return _columns(blocks, targets)


def _steps(targets: BoolArray) -> list[IntArray]:
    """Return the targets in parts whose rows over all products fit ``CELLS``."""
    rows = np.flatnonzero(targets)
    step = max(CELLS // max(len(targets), 1), 1)
    return [rows[start : start + step] for start in range(0, len(rows), step)]


def _strongest(block: FloatArray, keep: int) -> sparse.csr_matrix:
    """Return the ``keep`` entries of each row that are largest in size, rounded."""
    size = np.abs(block)
    if block.shape[1] > keep:
        least = np.partition(size, block.shape[1] - keep, axis=1)[:, -keep]
        block = np.where(size >= least[:, None], block, 0.0)
    return sparse.csr_matrix(block.round(DIGITS))


def _columns(blocks: list[sparse.csr_matrix], targets: BoolArray) -> sparse.csr_matrix:
    """Return the blocks, whose rows are the targets, as the targets' columns."""
    count = len(targets)
    if not blocks:
        return sparse.csr_matrix((count, count))
    cells = sparse.vstack(blocks).tocoo()
    place = np.flatnonzero(targets)[cells.row]
    return sparse.csr_matrix((cells.data, (cells.col, place)), shape=(count, count))


def spread(matrix: sparse.csr_matrix, products: IntArray, count: int) -> sparse.csr_matrix:
    """Return a matrix among ``products`` as one among all ``count``; -1 is left out."""
    cells = matrix.tocoo()
    row, column = products[cells.row], products[cells.col]
    kept = (row >= 0) & (column >= 0)
    placed = (cells.data[kept], (row[kept], column[kept]))
    return sparse.csr_matrix(placed, shape=(count, count))
