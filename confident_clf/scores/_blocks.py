# SPDX-License-Identifier: BSD-3-Clause
"""Matrix products whose rows do not depend on each other."""

import numpy as np

_BLOCK = 256


def times(rows, matrix):
    """Return ``rows @ matrix``, the same for a row whatever rows are beside it.

    How a matrix product rounds depends on its shape. So all are of one shape: blocks of
    rows, the last one padded.

    Parameters
    ----------
    rows : ndarray of shape (n, d)
        Any number of rows.
    matrix : ndarray of shape (d, k)
        What to multiply them by.

    Returns
    -------
    ndarray of shape (n, k), float64
        The product.
    """
    product = np.empty((len(rows), matrix.shape[1]))
    block = np.zeros((_BLOCK, rows.shape[1]))
    for start in range(0, len(rows), _BLOCK):
        part = rows[start : start + _BLOCK]
        block[: len(part)] = part
        product[start : start + _BLOCK] = (block @ matrix)[: len(part)]
    return product
