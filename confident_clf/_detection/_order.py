# SPDX-License-Identifier: BSD-3-Clause
"""Warn of a confidence that is higher for shuffled rows than for known ones."""

import math
import warnings
from typing import Any

import numpy as np
from scipy.sparse import issparse
from scipy.stats import mannwhitneyu
from sklearn.base import BaseEstimator
from sklearn.utils import get_tags

from confident_clf._detection._confidence import Method, id_confidence, unwrap
from confident_clf._detection._synthetic import synthetic_ood
from confident_clf.utils._arrays import rows_of
from confident_clf.utils._lazy import LazyRows
from confident_clf.utils._sklearn import _num_samples

_MOST_ROWS = 500
_FEWEST_ROWS = 20


def warn_of_inversion(
    estimator: BaseEstimator, X: Any, confidence: np.ndarray, method: Method
) -> None:
    """Warn if an estimator is surer of shuffled rows than of the rows themselves.

    `confidence` is that of the rows X, which the estimator was not fitted on. Each
    feature of them is shuffled on its own. Such rows are unknown wherever the features
    depend on each other, so a confidence should not be higher for them. Rows whose
    features cannot be shuffled are not tested.
    """
    n = min(_num_samples(X), _MOST_ROWS)
    is_pairwise = get_tags(estimator).input_tags.pairwise
    if n < _FEWEST_ROWS or is_pairwise or issparse(X) or np.ndim(X) < 2:
        return
    rows = rows_of(X, np.arange(n))
    rows = np.asarray(rows) if isinstance(rows, LazyRows) else rows
    shuffled = id_confidence(estimator, synthetic_ood(rows, "permuted"), method)
    area = mannwhitneyu(confidence[:n], shuffled).statistic / n**2
    # Three standard errors of an area whose true value is 0.5.
    if area < 0.5 - 3 * math.sqrt((2 * n + 1) / (12 * n**2)):
        warnings.warn(
            f"The confidence of {type(unwrap(estimator)[0]).__name__} "
            f"(method={method!r}) is "
            "higher for rows with shuffled features than for the rows themselves "
            f"(AUROC {area:.2f} on {n} rows), so it takes broken rows for known ones. "
            "Try method='auto', or ['gen', 'mahalanobis'], of a ConfidentClassifier, "
            "or scale the features.",
            UserWarning,
            stacklevel=2,
        )
