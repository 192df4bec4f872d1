# SPDX-License-Identifier: BSD-3-Clause
"""scikit-learn's own estimator checks, on every kind of classifier and detector.

``pytest tests/test_common.py --seed-shift 1`` runs them with other seeds.
"""

from functools import partial

import numpy as np
import pytest
from scipy.sparse import issparse
from sklearn.utils import check_array
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    check_param_validation,
    parametrize_with_checks,
)
from torch import nn

from confident_clf import ConfidentClassifier, ConfidentClassifierCV, OODDetector
from confident_clf.modules import MLPDiscriminator, MLPGenerator
from confident_clf.scores import KNN, RMD
from tests.detection.detector_instances import detector_instances, open_set_instances

fast = partial(ConfidentClassifier, lr=0.01, max_epochs=5)


class ExplicitClassifier(ConfidentClassifier):
    """The "explicit" regime, for checks that cannot give OOD rows."""

    def fit(self, X, y):
        return super().fit(X, y, X_ood=wide_ring(X))

    def partial_fit(self, X, y, classes=None):
        return super().partial_fit(X, y, classes, X_ood=wide_ring(X))


def wide_ring(X):
    """Return rows in all directions far from those of X; X itself if it is bad."""
    X = X.toarray() if issparse(X) else X
    rows = check_array(X, ensure_all_finite=False)
    if not np.isfinite(rows).all():
        return X  # what is wrong with X is for the classifier to say
    rng = np.random.RandomState(0)
    directions = rng.normal(size=rows.shape)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    center, radius = rows.mean(axis=0), np.abs(rows - rows.mean(axis=0)).max()
    return center + 5 * radius * directions


class LineConvNet(nn.Sequential):
    """A convolutional classifier for images of one line, of any length."""

    def __init__(self, input_shape, n_classes):
        channels, _, length = input_shape
        super().__init__(
            nn.Conv2d(channels, 16, (1, 3), padding="same"),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(16 * length, n_classes),
        )


FIRST_CLASSIFIERS = [fast(), fast(ood_source=None)]
# Their checks are slow tests: they rarely fail where those of the first ones pass.
OTHER_CLASSIFIERS = [
    fast(entropy_weight=0.1, method="energy", batch_size=16),
    fast(ood_source="gan"),
    fast(ood_target="reject"),
    fast(ood_source=["joint", ("noise", 0.5)]),
    fast(ood_source=None, method="odin"),
    fast(ood_source=None, method=KNN(n_neighbors=3)),
    fast(ood_source=None, method="mahalanobis"),
    fast(ood_source="noise", ood_target="reject", method="vim"),
    ExplicitClassifier(ood_source="explicit", lr=0.01, max_epochs=5, batch_size=8),
    # The checks have rows of many lengths: each is an image of one line.
    fast(
        module=LineConvNet,
        generator=MLPGenerator,
        discriminator=MLPDiscriminator,
        image_shape=(1, 1, -1),
        batch_size=8,
    ),
]

CLASSIFIERS = FIRST_CLASSIFIERS + OTHER_CLASSIFIERS
SEARCHES = [ConfidentClassifierCV(fast(ood_source="features"), betas=(0.05, 0.1))]

# scikit-learn's checks set the random_state of what they check, not of what is in it.
FIRST_DETECTORS = [
    *detector_instances(),
    *open_set_instances(),
    OODDetector(fast(random_state=0), target_tpr=0.5),
]
OTHER_DETECTORS = [
    OODDetector(fast(random_state=0, ood_source=None), target_tpr=0.5, cv=2),
    OODDetector(
        fast(random_state=0, ood_source=None), target_tpr=0.5, method=RMD(), cv=2
    ),
    OODDetector(fast(random_state=0, ood_source=None), target_tpr=0.5, method="react"),
]
FIRST = FIRST_CLASSIFIERS + FIRST_DETECTORS
OTHERS = OTHER_CLASSIFIERS + SEARCHES + OTHER_DETECTORS


def expected_failed_checks(estimator):
    """Return the checks that cannot hold for training by mini-batches."""
    if not isinstance(estimator, ConfidentClassifier):
        return {}
    return {
        "check_sample_weight_equivalence_on_sparse_data": "As on dense data.",
        "check_sample_weight_equivalence_on_dense_data": "Repeated rows make other "
        "mini-batches than weighted ones.",
    }


@parametrize_with_checks(FIRST, expected_failed_checks=expected_failed_checks)
def test_scikit_learn_checks(estimator, check):
    """Check that all of scikit-learn's checks pass, none skipped, one expected to fail.

    With weights, equal results would take equal batches.
    """
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(OTHERS, expected_failed_checks=expected_failed_checks)
def test_scikit_learn_checks_of_others(estimator, check):
    """Check the same of other settings."""
    check(estimator)


@pytest.mark.parametrize("estimator", FIRST + OTHERS, ids=repr)
def test_parameters_are_validated(estimator):
    """Check scikit-learn's check of parameters, which the decorator leaves out."""
    check_param_validation(type(estimator).__name__, estimator)


@pytest.mark.parametrize("estimator", CLASSIFIERS + SEARCHES, ids=repr)
def test_column_names_are_checked(estimator):
    """Check scikit-learn's check of column names, which the decorator leaves out."""
    check_dataframe_column_names_consistency(type(estimator).__name__, estimator)
