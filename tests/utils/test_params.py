# SPDX-License-Identifier: BSD-3-Clause
"""Tests of finding parameters and taking them for some rows."""

import numpy as np
from numpy.testing import assert_array_equal
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from confident_clf import OODDetector
from confident_clf.utils._params import params_named, params_of_rows


def test_params_named():
    """Check that parameters are found at every depth, by their whole last name."""
    clf = LogisticRegression(random_state=3)
    assert params_named(clf, "random_state") == {"random_state": 3}
    assert params_named(clf, "state") == {}
    pipe = make_pipeline(StandardScaler(), OODDetector(clf, random_state=7))
    assert params_named(pipe, "random_state") == {
        "ooddetector__random_state": 7,
        "ooddetector__estimator__random_state": 3,
    }


def test_params_of_rows():
    """Check that values per row are split, and that X_ood and others are not."""
    X, weight = np.zeros((4, 2)), np.arange(4)
    params = {"clf__X_ood": X, "sample_weight": weight, "flag": True}
    some = params_of_rows(X, params, np.array([1, 3]))
    assert_array_equal(some["sample_weight"], [1, 3])
    assert some["clf__X_ood"] is X and some["flag"] is True
