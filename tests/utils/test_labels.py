# SPDX-License-Identifier: BSD-3-Clause
"""Tests of labels."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from confident_clf import ConfidentClassifier
from confident_clf.utils._labels import check_same_kind, class_index, labels_to_learn


@pytest.mark.parametrize("classes", [[3, 1, 2], ["b", "c", "a"], [0.5, -1.0, 7.0]])
def test_class_index(classes):
    """Check the index of labels among classes in any order."""
    classes = np.array(classes)
    places = np.random.default_rng(0).integers(3, size=50)
    assert_array_equal(class_index(classes, classes[places]), places)


@pytest.mark.parametrize("wrap", [False, True])
def test_labels_to_learn(wrap):
    """Check that the label of OOD rows is not a class, also in a pipeline."""
    y = ["cat", "dog", "?", "dog"]
    for ood_label, expected in [("?", ["cat", "dog"]), (None, ["?", "cat", "dog"])]:
        clf = ConfidentClassifier(ood_label=ood_label)
        clf = make_pipeline(StandardScaler(), clf) if wrap else clf
        assert_array_equal(labels_to_learn(clf, y), expected)
    assert_array_equal(labels_to_learn(LogisticRegression(), [[2], [0], [2]]), [0, 2])
    with pytest.raises(ValueError, match=r"ood_label='\?' .* numbers, such as -1"):
        labels_to_learn(ConfidentClassifier(ood_label="?"), [1, -1, 1])


LABELS = {
    "number": np.array([1, 2]),
    "object numbers": np.array([1, 2.5], dtype=object),
    "string": np.array(["a", "b"]),
    "object strings": np.array(["a", "bc"], dtype=object),
    "bytes": np.array([b"a", b"b"]),
}
KINDS = {"number": -1, "string": "x", "bytes": b"x"}


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("kind", KINDS)
def test_same_kind(kind, labels):
    """Check that a label of another kind is refused, with the value and the remedy."""
    if kind in labels:
        check_same_kind("unknown_label", KINDS[kind], LABELS[labels])
    else:
        message = (
            rf"unknown_label={KINDS[kind]!r} is .*{kind}, but the labels are .*Pass"
        )
        with pytest.raises(ValueError, match=message):
            check_same_kind("unknown_label", KINDS[kind], LABELS[labels])


@pytest.mark.parametrize(
    "labels", [np.array([]), np.array(["a", 1], dtype=object), np.array([], dtype="U1")]
)
def test_no_common_kind(labels):
    """Check that any label goes with no labels, and with labels of several kinds."""
    for label in (1, "a", b"a", None):
        check_same_kind("ood_label", label, labels)
