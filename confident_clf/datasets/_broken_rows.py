# SPDX-License-Identifier: BSD-3-Clause
"""Ways to break rows of arrays and tables."""

import numpy as np
from sklearn.utils import check_array


def ways_to_break_rows(X, reference, rng) -> dict:
    """Return a function for each kind, which returns broken rows and a mask."""
    X = X if X.dtype.kind == "f" else X.astype(float)
    ways = _ways_to_break_numbers(X, reference, rng)
    orders = [rng.permutation(len(X)) for _ in range(X.shape[1])]

    def shuffled():
        rows = np.column_stack(
            [X[order, column] for column, order in enumerate(orders)]
        )
        return rows, _differ(rows, X)

    return ways | {"shuffled": shuffled}


def ways_to_break_frames(X, reference, rng) -> dict:
    """Return the same for tables, whose other columns are only shuffled."""
    columns = X.select_dtypes("number").columns
    if not hasattr(reference, "iloc") or not X.columns.equals(reference.columns):
        raise ValueError("reference must be a DataFrame with the columns of X.")
    if not len(columns):
        raise ValueError(f"X has no column of numbers; it has {list(X.columns)}.")
    numbers, others = (
        frame[columns].to_numpy(float, na_value=np.nan) for frame in (X, reference)
    )
    ways = _ways_to_break_numbers(numbers, others, rng)
    orders = [rng.permutation(len(X)) for _ in X]

    def with_numbers(way):
        def both():
            rows, changed = way()
            frame = X.copy()
            frame[columns] = rows
            return frame, changed

        return both

    def shuffled():
        frame = X.copy()
        changed = np.zeros(len(X), dtype=bool)
        for column, order in zip(X, orders, strict=True):
            frame[column] = X[column].array.take(order)
            codes, _ = X[column].factorize()
            changed |= codes[order] != codes
        return frame, changed

    ways = {kind: with_numbers(way) for kind, way in ways.items()}
    return ways | {"shuffled": shuffled}


def _ways_to_break_numbers(X, reference, rng) -> dict:
    """Return the ways that need numbers.

    All draws are made here, so that a kind does not depend on which others are made.
    """
    n, n_columns = X.shape
    reference = _checked(reference, n_columns)
    rows, place = np.arange(n), rng.integers(n_columns, size=n)
    other = (place + rng.integers(1, max(2, n_columns), size=n)) % n_columns
    direction = rng.normal(size=X.shape)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    in_range = rng.random(X.shape)

    def one_number(change):
        changed = X.copy()
        changed[rows, place] = change(X[rows, place])
        return changed

    def swapped():
        changed = X.copy()
        changed[rows, place], changed[rows, other] = X[rows, other], X[rows, place]
        return changed

    def uniform():
        low, high = np.nanmin(reference, axis=0), np.nanmax(reference, axis=0)
        return np.where(np.isnan(X), X, low + (high - low) * in_range)

    ways = {
        "x 1000": lambda: one_number(lambda v: v * 1000),
        "/ 1000": lambda: one_number(lambda v: v / 1000),
        "x 10": lambda: one_number(lambda v: v * 10),
        "sign": lambda: one_number(lambda v: -v),
        "zero": lambda: one_number(lambda v: 0 * v),
        "swapped": swapped,
        "10 sd away": lambda: X + 10 * np.nanstd(reference, axis=0, ddof=1) * direction,
        "uniform": uniform,
    }
    return {kind: _with_mask(way, X) for kind, way in ways.items()}


def _with_mask(way, X):
    """Return a function that also returns which rows differ from those of X."""

    def both():
        rows = way().astype(X.dtype, copy=False)
        return rows, _differ(rows, X)

    return both


def _differ(rows, X):
    """Return which rows differ; missing numbers are alike."""
    return ((rows != X) & ~(np.isnan(rows) & np.isnan(X))).any(axis=1)


def _checked(reference, n_columns: int):
    """Return the rows that ranges and standard deviations are taken from.

    Sums along the memory of a column round as those of pandas do.
    """
    reference = check_array(
        reference, order="F", ensure_all_finite="allow-nan", ensure_min_samples=2
    )
    if reference.shape[1] != n_columns:
        raise ValueError(
            f"reference has {reference.shape[1]} columns of numbers, and X has "
            f"{n_columns}. Give rows of the same columns."
        )
    return reference
