# SPDX-License-Identifier: BSD-3-Clause
"""OODDetector under scikit-learn's estimator checks."""

import pytest
from sklearn.utils.estimator_checks import (
    check_param_validation,
    parametrize_with_checks,
)

from tests.detector_instances import detector_instances


@parametrize_with_checks(detector_instances())
def test_sklearn_compatible(estimator, check):
    """Check that the detector behaves as an estimator."""
    check(estimator)


@pytest.mark.parametrize("detector", detector_instances(), ids=repr)
def test_param_validation(detector):
    """Check that parameters of a wrong type are refused by a message that says so."""
    check_param_validation("OODDetector", detector)
