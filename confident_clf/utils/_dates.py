# SPDX-License-Identifier: BSD-3-Clause
"""Features that are dates: they would become huge integers, so they are refused."""

from datetime import date, time, timedelta

import numpy as np

_TYPES = (date, time, timedelta)
_DATES = ("date", "timedelta", "duration", "time", "period")


def refuse_dates(X, name: str = "X") -> None:
    """Raise ValueError if an array or table holds dates, times or durations.

    As numbers they count nanoseconds or the like, and a missing one is -2**63.
    """
    dtypes = X.dtypes if hasattr(X, "columns") and hasattr(X, "dtypes") else None
    if dtypes is not None:  # a table
        found = [_is_date(dtype) for dtype in dtypes]
        names = [str(n) for n, is_date in zip(X.columns, found, strict=True) if is_date]
        if names:
            _refuse(f"{name} has columns of dates or times, {names[:10]}", "X[column]")
        first = X[:1] if any(str(dtype) == "object" for dtype in dtypes) else []
    elif isinstance(X, np.ndarray):
        if X.dtype.kind in "mM":  # nanoseconds would be integers as objects
            _refuse(f"{name} holds dates or times (dtype {X.dtype})", "X")
        first = X[:1] if X.dtype.kind == "O" else []
    else:
        first = X[:1] if isinstance(X, (list, tuple)) else []
    for value in np.asarray(first, dtype=object).ravel().tolist():
        if isinstance(value, (*_TYPES, np.datetime64, np.timedelta64)):
            _refuse(f"{name} holds dates or times, such as {value}", "X")


def _is_date(dtype) -> bool:
    """Return whether a column's type is one of dates, times or durations."""
    return str(dtype).lower().startswith(_DATES)


def _refuse(what: str, values: str) -> None:
    """Raise ValueError with the way to make numbers."""
    raise ValueError(
        f"{what}, which a network cannot use. Make them numbers, such as days since a "
        f"fixed date, ({values} - start) / np.timedelta64(1, 'D'), and fill the "
        "missing ones."
    )
