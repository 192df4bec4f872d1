# SPDX-License-Identifier: BSD-3-Clause
"""Hypothesis strategies for what users may pass, and what may come of it."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import sklearn
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from scipy import sparse

import confident_clf
from confident_clf import DivergenceError
from confident_clf.utils._torch import comes_from_raise

OURS = str(Path(confident_clf.__file__).parent)
THEIRS = str(Path(sklearn.__file__).parent)
# Extremes of float64 and float32, below the normal and beyond the finite.
SPECIAL = [
    *(0.0, -0.0, 5e-324, 1e-300, 1e-40, 1e6, 1e20, -1e30, 3e38, 1e39, 1e300),
    *(np.nan, np.inf, -np.inf),
]
DTYPES = [
    *("f8", "f4", "f2", "g", ">f4", ">f8", "i8", ">i2", "i1", "u1", "u8", "?"),
    *("c16", "O", "U", "S", "M8[s]", "m8[s]"),
]
NUMERIC = set(DTYPES[:12])
# Tests that do not depend on time or on the run before, and keep nothing.
STABLE = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large],
}


def examples(share, config):
    """Return settings for a share of the examples that the command line asks for."""
    n = max(1, round(share * config.getoption("--examples")))
    return settings(max_examples=n, **STABLE)


def is_documented(error):
    """Return whether an error was raised on purpose, with a message.

    By scikit-learn's checks of data and parameters, or by a statement of this package:
    not by whatever failed in torch, skorch or NumPy.
    """
    innermost = error.__traceback__
    while innermost.tb_next is not None:
        innermost = innermost.tb_next
    file = innermost.tb_frame.f_code.co_filename
    if not isinstance(error, (ValueError, TypeError, DivergenceError)):
        return False
    on_purpose = file.startswith(OURS) and comes_from_raise(error)
    return len(str(error)) > 15 and (on_purpose or file.startswith(THEIRS))


def refusal(function, *args, **kwargs):
    """Return the documented error that a call raises, or None; raise any other."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            function(*args, **kwargs)
    except Exception as error:
        if not is_documented(error):
            raise
        return error
    return None


def count(X):
    """Return the number of samples in data of any kind; 1 for a single number."""
    if getattr(X, "shape", ()):
        return X.shape[0]
    return len(X) if isinstance(X, list) else 1


def snapshot(values):
    """Return what data are, to the bit, to see whether they change."""
    if sparse.issparse(values):
        values = values.data
    array = np.asarray(values)
    # Objects are addresses; a long double has bytes that mean nothing.
    has_no_bits = array.dtype.hasobject or array.dtype.char in "gG"
    return repr(array.tolist()) if has_no_bits else array.tobytes()


def _unaligned(X):
    """Return a copy that begins at an odd address; objects cannot."""
    if X.dtype.hasobject:
        return X
    buffer = np.empty(X.nbytes + 1, np.uint8)
    copy = buffer[1:].view(X.dtype).reshape(X.shape)
    copy[...] = X
    return copy


def _read_only(X):
    """Return a copy that cannot be written to."""
    copy = X.copy()
    copy.flags.writeable = False
    return copy


LAYOUTS = {
    "rows first": np.ascontiguousarray,
    "columns first": np.asfortranarray,
    "strided": lambda X: np.repeat(X, 2, axis=-1)[..., ::2],
    "backwards": lambda X: X[::-1].copy()[::-1],
    "all alike": lambda X: np.broadcast_to(X[:1], X.shape),
    "read-only": _read_only,
    "unaligned": _unaligned,
}
CONTAINERS = {
    "array": np.asarray,
    "list": np.ndarray.tolist,
    "frame": pd.DataFrame,
    "nullable frame": lambda X: pd.DataFrame(X).convert_dtypes(),
    # torch crashes on complex numbers at odd addresses; a copy is at an even one.
    "tensor": lambda X: torch.tensor(X.copy()),
    "masked": lambda X: np.ma.masked_array(X, mask=np.arange(X.size) % 3 == 0),
    "matrix": np.asmatrix,
    "sparse": sparse.csr_matrix,
}


def _put_in(X, kind):
    """Return data in a container; as they are where it does not take them."""
    try:
        return CONTAINERS[kind](X), kind
    except (TypeError, ValueError, NotImplementedError):
        return X, "array"


def often(usual, rare):
    """Draw what is usual three times of four; ``one_of`` drops repeated strategies."""
    return st.sampled_from([usual, usual, usual, rare]).flatmap(lambda drawn: drawn)


@st.composite
def numbers(draw, shape):
    """Draw an array of float64: normal, with some features odd and some values."""
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    X = np.array(rng.normal(size=shape)) * draw(
        st.sampled_from([1, 1, 1, 1e-6, 1e6, 1e-40, 1e30])
    )
    if X.ndim > 1 and X.shape[1]:
        for column in draw(st.lists(st.integers(0, X.shape[1] - 1), max_size=2)):
            X[:, column] = draw(st.sampled_from([0.0, 1.0, 1e6]))
    if X.size:
        places = st.lists(st.integers(0, X.size - 1), max_size=2)
        for index in draw(often(st.just([]), places)):
            X.flat[index] = draw(st.sampled_from(SPECIAL))
    return X


@st.composite
def samples(draw, shapes):
    """Draw samples, and whether a classifier of rows must take them."""
    X = draw(numbers(draw(shapes)))
    dtype = draw(often(st.sampled_from(["f8", "f4"]), st.sampled_from(DTYPES)))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        X = X.astype("i8").astype(dtype) if dtype[0] in "Mm" else X.astype(dtype)
        X = np.asarray(X)
        if X.ndim and len(X):
            X = LAYOUTS[draw(st.sampled_from(list(LAYOUTS)))](X)
        is_good = (
            dtype in NUMERIC
            and X.ndim == 2
            and len(X) >= 2
            and X.shape[1] >= 1
            and bool(np.isfinite(X.astype(np.float32)).all())
        )
        kind = draw(often(st.just("array"), st.sampled_from(list(CONTAINERS))))
        X, kind = _put_in(X, kind)
    return X, is_good and kind in ("array", "list", "frame", "nullable frame")


def shapes_of_rows():
    """Draw shapes of rows, now and then of none, and of no rows at all."""
    others = [
        (0, 3),
        (3, 0),
        (1, 2),
        (4,),
        (),
        (4, 2, 3),
        (4, 1, 2, 2),
        (2, 1, 1, 1, 1),
    ]
    usual = st.tuples(st.integers(2, 30), st.integers(1, 5))
    return often(usual, st.sampled_from(others))


# Name -> label of the i-th class; the first ones are labels for everybody.
LABELS = {
    "integers": int,
    "bools": bool,
    "strings": "class {}".format,
    "whole floats": float,
    "negative": lambda i: -i,
    "objects": lambda i: f"{'x' * i}",
    "fractions": lambda i: i + 0.5,
    "bytes": lambda i: b"%d" % i,
    "mixed": lambda i: i if i % 2 else str(i),
    "with None": lambda i: i or None,
    "with NaN": lambda i: i or np.nan,
    "infinite": lambda i: i or np.inf,
    "huge": lambda i: 2**70 + i,
    "pairs": lambda i: (i, i),
    "dates": lambda i: np.datetime64(i, "D"),
    "complex": lambda i: i + 1j,
}
GOOD_LABELS = list(LABELS)[:6]
LABEL_CONTAINERS = {
    "array": np.array,
    "list": list,
    "series": pd.Series,
    "categories": lambda y: pd.Series(y).astype("category"),
    "column": lambda y: np.array(y)[:, None],
    "two columns": lambda y: np.column_stack([y, y]),
    "backwards": lambda y: np.array(y[::-1])[::-1],
}


@st.composite
def labels(draw, n):
    """Draw about n labels; return them, as a list too, and if they must be taken."""
    kind = draw(often(st.sampled_from(GOOD_LABELS), st.sampled_from(list(LABELS))))
    n_classes = draw(st.sampled_from([2, 3, 5, 2, 3, 5, 1]))
    length = draw(st.sampled_from([*[n] * 9, n + 1, 0]))
    plain = [LABELS[kind](i * 7 % n_classes) for i in range(length)]
    container = draw(often(st.just("array"), st.sampled_from(list(LABEL_CONTAINERS))))
    is_good = (
        kind in GOOD_LABELS
        and length == n
        and container in ("array", "list", "series", "backwards")
        and len(set(plain)) >= 2
    )
    try:
        y = LABEL_CONTAINERS[container](plain)
    except (TypeError, ValueError):
        return plain, plain, False
    return y, plain, is_good


@st.composite
def kinds(draw, n):
    """Draw n values that say which samples are in-distribution, or are odd."""
    good = [0, 0, 0, 1, 1, 1, True, False, 0.0, 1.0]
    odd = [*good, 2, -1, 0.5, np.nan, None, "1", 1j, 2**70]
    values = draw(st.sampled_from([good, good, good, odd]))
    y_true = draw(st.lists(st.sampled_from(values), min_size=n, max_size=n))
    dtype = draw(st.sampled_from(["f4", ">i2", "?", "O", "U", "list"]))
    if dtype == "list":
        return y_true
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return np.array(y_true).astype(dtype)
        except (TypeError, ValueError, OverflowError):
            return y_true
