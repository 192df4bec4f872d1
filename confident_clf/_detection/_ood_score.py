# SPDX-License-Identifier: BSD-3-Clause
"""The score of any estimator, also where a pipeline hides it."""

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from confident_clf._detection._confidence import id_confidence
from confident_clf.scores._make_score import Method
from confident_clf.utils._errstate import usual_errors
from confident_clf.utils._types import SamplesLike


@usual_errors
def ood_score(
    estimator: BaseEstimator, X: SamplesLike, method: Method = None
) -> np.ndarray:
    """Return a score that is higher for out-of-distribution samples, of any estimator.

    Pipelines and searches of scikit-learn have no ``ood_score``, whatever their last
    step has. This function sends X through the steps before, and asks the last one.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator with ``ood_score``, ``score_samples``, ``predict_proba`` or
        ``decision_function``, or a pipeline, search or ``FrozenEstimator`` of one.
    X : array-like of shape (n_samples, ...)
        Samples, as the estimator takes them.
    method : str, OODScore, list or None, default=None
        Score, as in :class:`OODDetector`. None means the estimator's own.

    Returns
    -------
    ndarray of shape (n_samples,), float64
        Higher for out-of-distribution.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.
    TypeError
        If it lacks what the score is computed from.
    ValueError
        If there is no such method, or a score is NaN.

    See Also
    --------
    OODDetector : Sets a threshold on the score.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from confident_clf import ConfidentClassifier, ood_score
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = ConfidentClassifier(max_epochs=10, random_state=0)
    >>> pipe = make_pipeline(StandardScaler(), clf).fit(X, y)
    >>> known, far = ood_score(pipe, [X[0], [9.0, 0.0, 9.0, 0.0]])
    >>> bool(far > known)
    True
    """
    check_is_fitted(estimator)
    return -id_confidence(estimator, X, method)
