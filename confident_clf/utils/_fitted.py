# SPDX-License-Identifier: BSD-3-Clause
"""A quick look at whether an estimator is fitted."""

from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted


def check_fitted(estimator: BaseEstimator, attribute: str) -> None:
    """Raise NotFittedError if an estimator does not have what `fit` learns.

    For one sample, scikit-learn's check takes longer than a decision: it asks the
    estimators inside for their tags, which are copies.
    """
    if attribute not in vars(estimator):
        check_is_fitted(estimator)
