# SPDX-License-Identifier: BSD-3-Clause
"""Everything about samples that one pass of a classifier tells."""

from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator

from confident_clf._detection._confidence import Method, id_confidence, unwrap
from confident_clf._detection._conformal import conformal_p_values
from confident_clf.utils._arrays import to_numpy
from confident_clf.utils._items import opened_for
from confident_clf.utils._lazy import parts_of
from confident_clf.utils._types import SamplesLike


class Decisions(NamedTuple):
    """What a detector says of samples: class, decision, p-value and score.

    `decide` of :class:`OODDetector` and :class:`OpenSetClassifier` returns it. It is a
    named tuple of arrays with one value for each sample.

    Parameters
    ----------
    label : ndarray of shape (n_samples,) or None
        The class that the classifier predicts, whether the sample is accepted or not.
        Of an :class:`OpenSetClassifier` it is what `predict` returns: `unknown_label`
        where the sample is not accepted. None if the estimator is not a classifier.
    accepted : ndarray of shape (n_samples,), bool
        Whether the sample is accepted as in-distribution.
    p_value : ndarray of shape (n_samples,), float64
        Conformal p-value of being in-distribution.
    ood_score : ndarray of shape (n_samples,), float64
        Higher for out-of-distribution.

    See Also
    --------
    OODDetector.decide : The decisions of a detector.
    OpenSetClassifier.decide : The decisions of a classifier that can refuse.

    Examples
    --------
    >>> import numpy as np
    >>> from confident_clf import Decisions
    >>> decisions = Decisions(
    ...     np.array([0, 1]),
    ...     np.array([True, False]),
    ...     np.array([0.5, 0.01]),
    ...     np.array([0.1, 0.4]),
    ... )
    >>> decisions.label[decisions.accepted].tolist()
    [0]
    """

    label: np.ndarray | Any
    accepted: np.ndarray
    p_value: np.ndarray
    ood_score: np.ndarray

    def to_frame(self) -> Any:
        """Return the decisions as a table of pandas, which has to be installed.

        Returns
        -------
        pandas.DataFrame
            One row for each sample and one column for each array.

        Examples
        --------
        >>> import numpy as np
        >>> from confident_clf import Decisions
        >>> arrays = np.array([True]), np.array([0.5]), np.array([0.1])
        >>> Decisions(np.array(["cat"]), *arrays).to_frame().columns.tolist()
        ['label', 'accepted', 'p_value', 'ood_score']
        """
        import pandas as pd

        arrays = self._asdict()
        return pd.DataFrame({k: v for k, v in arrays.items() if v is not None})


def confidence_and_labels(
    estimator: BaseEstimator, X: SamplesLike, method: Method
) -> tuple[np.ndarray, np.ndarray]:
    """Return confidences and predicted classes of a fitted classifier.

    The steps of a pipeline, and the network of a ConfidentClassifier, see X once.
    """
    last, X = unwrap(estimator, X)
    if hasattr(last, "best_estimator_"):
        return confidence_and_labels(last.best_estimator_, X, method)
    parts = list(parts_of(opened_for(last, X)))
    if len(parts) > 1:
        found = [confidence_and_labels(last, part, method) for part in parts]
        confidences, labels = zip(*found, strict=True)
        return np.concatenate(confidences), np.concatenate(labels)
    (X,) = parts
    if hasattr(last, "_once"):
        last = last._once(X)
    return id_confidence(last, X, method), to_numpy(last.predict(X))


def p_values_by_group(
    groups: list[np.ndarray], index: np.ndarray, scores: np.ndarray
) -> np.ndarray:
    """Return the p-value of each score among the sorted scores of its group."""
    p_values = np.empty_like(scores)
    for group, calibration_scores in enumerate(groups):
        rows = index == group
        p_values[rows] = conformal_p_values(calibration_scores, scores[rows])
    return p_values
