# SPDX-License-Identifier: BSD-3-Clause
"""Tests of labels of every kind, and of features that are dates: right, or refused."""

import enum
from collections import namedtuple
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal
from scipy.sparse import csr_array
from sklearn.datasets import make_blobs
from sklearn.linear_model import LogisticRegression

from confident_clf import (
    ConfidentClassifier,
    ConfidentClassifierCV,
    OODDetector,
    OpenSetClassifier,
)
from confident_clf.model_selection import OODKFold
from confident_clf.utils._dates import refuse_dates
from confident_clf.utils._label_kinds import plain_labels

CENTERS = [[-6, 0], [6, 0], [0, 8]]
X, Y = make_blobs(120, centers=CENTERS, random_state=0)
X = X.astype(np.float32)

Color = enum.Enum("Color", "RED GREEN BLUE")
Number = enum.IntEnum("Number", "ONE TWO THREE")
Letter = enum.StrEnum("Letter", "A B C")
Bits = enum.Flag("Bits", "X Y Z")
Point = namedtuple("Point", "x y")
DATES = np.array(["2020-01-01", "2021-01-01", "2022-01-01"], dtype="M8[D]")


def of(*labels):
    """Return the label of each row, as a list."""
    return [labels[i] for i in Y]


def fast(**params):
    """Return a classifier that is fitted in a fraction of a second."""
    defaults = {"ood_source": None, "method": "msp", "max_epochs": 20, "lr": 0.05}
    return ConfidentClassifier(**{**defaults, "random_state": 0, **params})


RIGHT = {
    "an enum of integers": of(*Number),
    "an enum of strings": of(*Letter),
    "dates": DATES[Y],
    "durations": np.array([1, 2, 3], dtype="m8[D]")[Y],
    "nullable integers": pd.Series(of(2**60 + 1, 2, 2**62 + 1), dtype="Int64"),
    "nullable booleans": pd.Series(Y > 0, dtype="boolean"),
    "strings of pandas": pd.Series(of("a", "b", "c"), dtype="string"),
    "categories": pd.Categorical(of("a", "b", "c")),
    "large unsigned integers": np.array(of(0, 1, 2**64 - 1), dtype=np.uint64),
    "integers as objects": np.array(of(1, 2, 2**62 + 1), dtype=object),
    "floats and integers as objects": np.array(of(1, 2.0, 3), dtype=object),
    "numbers of torch": of(*torch.arange(3)),
}
if hasattr(np.dtypes, "StringDType"):  # from NumPy 2 on
    RIGHT["strings of NumPy"] = np.array(
        of("a", "b", "c"), dtype=np.dtypes.StringDType()
    )


@pytest.mark.parametrize("kind", RIGHT)
def test_labels_that_are_right(kind):
    """Check that a classifier predicts the very labels, of separate blobs."""
    y = RIGHT[kind]
    predicted = fast().fit(X, y).predict(X)
    assert predicted.tolist() == np.asarray(y).tolist()


STRINGS = r"\[str\(label\) for label in y\]"
REFUSED = {
    "an enum": (of(*Color), r"type Color.*<Color.RED.*\[label.name for label in y\]"),
    "flags": (of(*Bits), r"type Bits.*\[label.name for"),
    "an array of an enum": (np.array(of(*Color), dtype=object), r"type Color.*name"),
    "tuples": (of((0, 1), (1, 0), (1, 1)), rf"type tuple, such as \(0, 1\).*{STRINGS}"),
    "tuples of many lengths": (of((0,), (1, 0), ()), "labels of type tuple"),
    "a named tuple": (
        of(Point(0, 1), Point(1, 0), Point(1, 1)),
        "labels of type Point",
    ),
    "tuples of pandas": (pd.Series(of((0, 1), (1, 0), (1, 1))), "labels of type tuple"),
    "sets": (of(frozenset("a"), frozenset("b"), frozenset("c")), "type frozenset"),
    "bytes": (of(b"a", b"b", b"c"), r"type bytes.*\[label.decode\(\) for label in y\]"),
    "an array of bytes": (np.array(of(b"a", b"b", b"c")), r"bytes.*y.astype\(str\)"),
    "bytes as objects": (pd.Series(of(b"a", b"b", b"c")), r"type bytes.*decode"),
    "bytes and strings": (of(b"a", "b", "c"), "labels of type bytes"),
    "byte arrays": (of(bytearray(b"a"), bytearray(b"b"), bytearray(b"c")), "bytearray"),
    "days": (of(date(2020, 1, 1), date(2020, 1, 2), date(2020, 1, 3)), "type date"),
    "periods": (pd.Series(pd.period_range("2020", periods=3)[Y]), "type Period"),
    "intervals": (pd.Series(pd.cut(X[:, 0], 3)), "type Interval"),
    "decimals": (of(Decimal(1), Decimal(2), Decimal(3)), rf"type Decimal.*{STRINGS}"),
    "fractions": (of(Fraction(1, 2), Fraction(1, 3), Fraction(2)), "type Fraction"),
    "integers beyond 64 bits": (of(2**70, 1, 2), "no dtype of NumPy holds exactly"),
    "classes": (of(int, str, float), "labels of type type"),
    "objects": (of({}, {1: 2}, {3: 4}), "labels of type dict"),
    "records": (np.array([(v,) for v in Y], dtype=[("a", int)]), "records"),
    "strings and numbers": (of("a", 1, 2), rf"both strings and.*'a' and 1.*{STRINGS}"),
    "strings and booleans": (of("a", True, False), "both strings and others"),
    "one-hot": (np.eye(3)[Y], r"one-hot.*np\.argmax\(y, axis=1\)"),
    "one-hot integers": (np.eye(3, dtype=int)[Y].tolist(), r"np\.argmax\(y, axis=1\)"),
    "one-hot tensors": (torch.eye(3)[Y], r"np\.argmax\(y, axis=1\)"),
    "dummies": (pd.get_dummies(pd.Series(of("a", "b", "c"))), r"y\.idxmax\(axis=1\)"),
    "probabilities": (np.full((120, 4), 0.25), r"like probabilities.*argmax"),
    "sparse": (csr_array(np.eye(3)[Y]), r"one-hot.*y\.toarray\(\)\.argmax"),
    "several labels": (
        np.c_[Y > 0, Y > 1],
        r"\(120, 2\).*MultiOutputClassifier",
    ),
    "two columns": (
        pd.DataFrame({"a": Y, "b": of("a", "b", "c")}),
        "MultiOutputClassifier",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("wrapper", [None, OpenSetClassifier, ConfidentClassifierCV])
def test_labels_that_are_refused(kind, wrapper):
    """Check the error, which names the kind and the remedy, of all classifiers."""
    y, message = REFUSED[kind]
    clf = fast() if wrapper is None else wrapper(fast())
    with pytest.raises(ValueError, match=message):
        clf.fit(X, y)
    assert not hasattr(clf, "classes_")


NAMES = ["a", "b", "c"]
MISSING = {
    "NA in strings": pd.Series([None, *of(*NAMES)[1:]], dtype="string"),
    "NA as an object": pd.Series([pd.NA, *of(*NAMES)[1:]], dtype=object),
    "NaN as an object": np.array([np.nan, *of(*NAMES)[1:]], dtype=object),
    "None": [None, *of(*NAMES)[1:]],
    "NaN in a list": [np.nan, *of(*NAMES)[1:]],
    "NaN in a category": pd.Series([None, *of(*NAMES)[1:]], dtype="category"),
    "NA in integers": pd.Series([None, *Y[1:]], dtype="Int64"),
    "NA in booleans": pd.Series([None, *(Y[1:] > 0)], dtype="boolean"),
    "NaN": np.r_[np.nan, Y[1:]],
    "NaT": np.r_[np.datetime64("NaT", "D"), DATES[Y[1:]]],
    "NaT in durations": pd.Series([None, *of(1, 2, 3)[1:]], dtype="m8[ns]"),
}


@pytest.mark.parametrize("kind", MISSING)
@pytest.mark.parametrize("wrapper", [None, OpenSetClassifier, ConfidentClassifierCV])
def test_missing_labels(kind, wrapper):
    """Check that the error counts them, says where the first is, and what to do."""
    clf = fast() if wrapper is None else wrapper(fast())
    message = r"y contains NaN: 1 of 120 .*\(.*\) at position 0\. Drop .*fillna"
    with pytest.raises(ValueError, match=message):
        clf.fit(X, MISSING[kind])


def test_where_the_first_missing_label_is():
    """Check number and position, counted by hand."""
    y = pd.Series(["a", "b", None, "a", None], dtype="string")
    with pytest.raises(ValueError, match=r"2 of 5 labels .*\(<NA>\) at position 2\."):
        plain_labels(y)


@pytest.mark.parametrize("call", ["partial_fit", "classes", "fit_method", "warm_start"])
def test_labels_of_later_calls(call):
    """Check the error for an enum in every other method that takes labels."""
    clf = fast(warm_start=True, max_epochs=1).fit(X, Y)
    calls = {
        "partial_fit": lambda: clf.partial_fit(X, of(*Color)),
        "classes": lambda: fast().partial_fit(X, Y, classes=list(Color)),
        "fit_method": lambda: clf.fit_method(X, of(*Color)),
        "warm_start": lambda: clf.fit(X, of(*Color)),
    }
    with pytest.raises(ValueError, match="type Color"):
        calls[call]()


# ood_label and unknown_label


@pytest.mark.parametrize(
    "label", [np.nan, float("nan"), pd.NA, pd.NaT, np.datetime64("NaT")]
)
def test_an_ood_label_that_equals_nothing(label):
    """Check the error of classifiers and splitters, which names fillna."""
    y = np.where(Y == 2, -1, Y)
    with pytest.raises(ValueError, match=r"ood_label=.* equals no label.*fillna"):
        fast(ood_label=label).fit(X, y)
    with pytest.raises(ValueError, match=r"ood_label=.* equals no label.*fillna"):
        list(OODKFold(2, ood_label=label).split(X, y))


@pytest.mark.parametrize("label", [Color.RED, {}, object])
def test_an_ood_label_of_no_kind(label):
    """Check the error for a label that no label in y can equal."""
    with pytest.raises(ValueError, match=r"ood_label=.*Pass a number or a string"):
        fast(ood_label=label).fit(X, Y)


def test_missing_labels_become_ood_rows_with_fillna():
    """Check the remedy of the errors: a label that exists, and is no class."""
    y = pd.Series(of("a", "b", None), dtype="string").fillna("unknown")
    clf = fast(ood_label="unknown", ood_source="explicit").fit(X, y)
    assert clf.classes_.tolist() == ["a", "b"]


@pytest.mark.parametrize(
    ("labels", "unknown"),
    [
        (np.array([1, 2, 3], dtype=np.uint64), -1),
        (np.array([1, 2, 2**63 - 1], dtype=np.uint64), -1),
        (np.array([2**63, 1, 2**64 - 2], dtype=np.uint64), 2**64 - 1),
        (np.array([1, 2, 3], dtype=np.uint8), -1),
        (np.array([1, 2, 3], dtype=np.uint8), 300),
        (np.array([1, 2, 3]), 2**64),
        (np.array([2**60 + 1, 1, 2]), -1),
        (np.array([1, 2, 2**52 + 1]), 0.5),
        (np.array([1, 2, 3], dtype=np.float32), 2**24),
        (np.array([1.0, 2.0, 3.0], dtype=np.float16), -1),
        (np.array(["a", "b", "c"]), "nothing that is known"),
        (pd.Series([2**60 + 1, 1, 2], dtype="Int64"), -1),
    ],
)
def test_labels_beside_unknown(labels, unknown):
    """Check that classes and the unknown label come back exactly, and of their type."""
    y = np.asarray(labels)[Y]
    clf = OpenSetClassifier(LogisticRegression(), unknown_label=unknown, random_state=0)
    predicted = clf.fit(X, y).predict(np.r_[X, [[0, 2]]]).tolist()
    assert predicted[-1] == unknown
    known = {label for label in predicted if label != unknown}
    assert known == set(np.asarray(labels).tolist())
    is_float = isinstance(y.tolist()[0], float) or isinstance(unknown, float)
    assert is_float or not any(isinstance(label, float) for label in predicted)


@pytest.mark.parametrize(
    ("labels", "unknown"),
    [
        (np.array([1, 2, 2**63], dtype=np.uint64), -1),
        (np.array([1, 2, 2**64 - 1], dtype=np.uint64), -1),
        (np.array([1, 2, 2**53 + 1]), 0.5),
        (np.array([1, 2, 2**53 + 1]), np.nan),
    ],
)
def test_labels_that_no_dtype_holds_beside_unknown(labels, unknown):
    """Check the error, before anything is fitted."""
    clf = OpenSetClassifier(LogisticRegression(), unknown_label=unknown)
    with pytest.raises(ValueError, match="do not fit into one dtype exactly"):
        clf.fit(X, labels[Y])
    assert not hasattr(clf, "estimator_")


# Features that are dates

DAYS = pd.date_range("2020-01-01", periods=120, freq="D")
TABLES = {
    "dates": pd.DataFrame({"a": Y, "when": DAYS}),
    "only dates": pd.DataFrame({"when": DAYS, "again": DAYS}),
    "a time zone": pd.DataFrame({"a": Y, "when": DAYS.tz_localize("UTC")}),
    "missing dates": pd.DataFrame({"a": Y, "when": DAYS.where(Y > 0)}),
    "durations": pd.DataFrame({"when": DAYS - DAYS[0]}),
    "periods": pd.DataFrame({"a": Y, "when": DAYS.to_period("D")}),
}
ARRAYS = {
    "dates": np.c_[DAYS.values, DAYS.values],
    "nanoseconds": np.c_[DAYS.values, DAYS.values].astype("M8[ns]"),
    "durations": np.full((120, 2), np.timedelta64(3, "s")),
    "NaT": np.full((120, 2), np.datetime64("NaT")),
    "objects": np.full((120, 2), date(2020, 1, 1)),
    "a list": [[1.0, datetime(2020, 1, 1)]] * 120,
    "a list of times": [[time(12), timedelta(1)]] * 120,
    "a table of objects": pd.DataFrame({"a": Y, "day": [date(2020, 1, 1)] * 120}),
}


@pytest.mark.parametrize("kind", TABLES)
def test_columns_of_dates(kind):
    """Check that the error names the columns."""
    with pytest.raises(ValueError, match=r"X has columns of .*\['when'.*timedelta64"):
        fast().fit(TABLES[kind], Y)


@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays_of_dates(kind):
    """Check fit, and predict after a fit on numbers."""
    with pytest.raises(ValueError, match=r"X holds dates or times.*timedelta64"):
        fast().fit(ARRAYS[kind], Y)
    with pytest.raises(ValueError, match="X holds dates or times"):
        fast(max_epochs=1).fit(X, Y).predict(ARRAYS[kind])


def test_ood_rows_of_dates():
    """Check that the error says which samples are meant."""
    clf = fast(ood_source="explicit")
    with pytest.raises(ValueError, match="X_ood holds dates"):
        clf.fit(X, Y, X_ood=ARRAYS["dates"])


def test_the_remedy_for_dates():
    """Check that days since a date are numbers to train on."""
    days = (TABLES["only dates"] - DAYS[0]) / np.timedelta64(1, "D")
    refuse_dates(days)
    detector = OODDetector(fast(max_epochs=1), random_state=0).fit(days / 100, Y)
    assert_array_equal(detector.classes_, [0, 1, 2])
