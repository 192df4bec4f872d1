# SPDX-License-Identifier: BSD-3-Clause
"""Matrix products whose rows do not depend on each other."""

import numpy as np

_BLOCK = 256


def times(rows: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return ``rows @ matrix``; the result for a row does not depend on other rows.

    How a matrix product rounds depends on its shape. So all products here have the same
    shape: they multiply blocks of rows, with the last block padded.
    """
    product = np.empty((len(rows), matrix.shape[1]))
    block = np.zeros((_BLOCK, rows.shape[1]))
    for start in range(0, len(rows), _BLOCK):
        part = rows[start : start + _BLOCK]
        block[: len(part)] = part
        product[start : start + _BLOCK] = (block @ matrix)[: len(part)]
    return product
