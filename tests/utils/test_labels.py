# SPDX-License-Identifier: BSD-3-Clause
"""Tests of labels."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from confident_clf import ConfidentClassifier
from confident_clf.utils._labels import class_index, labels_to_learn


@pytest.mark.parametrize("classes", [[3, 1, 2], ["b", "c", "a"], [0.5, -1.0, 7.0]])
def test_class_index(classes):
    """Check that places are found among classes in any order."""
    classes = np.array(classes)
    places = np.random.default_rng(0).integers(3, size=50)
    assert_array_equal(class_index(classes, classes[places]), places)


@pytest.mark.parametrize("wrap", [False, True])
def test_labels_to_learn(wrap):
    """Check that the label of rows set aside is no class, in a pipeline neither."""
    y = ["cat", "dog", "?", "dog"]
    for ood_label, expected in [("?", ["cat", "dog"]), (None, ["?", "cat", "dog"])]:
        clf = ConfidentClassifier(ood_label=ood_label)
        clf = make_pipeline(StandardScaler(), clf) if wrap else clf
        assert_array_equal(labels_to_learn(clf, y), expected)
    assert_array_equal(labels_to_learn(LogisticRegression(), [[2], [0], [2]]), [0, 2])
    with pytest.raises(ValueError, match=r"ood_label='\?' .* numbers, such as -1"):
        labels_to_learn(ConfidentClassifier(ood_label="?"), [1, -1, 1])
