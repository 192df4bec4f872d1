# SPDX-License-Identifier: BSD-3-Clause
"""What displays of the confidence in known and unknown samples have in common."""

from typing import Any, Self

from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from confident_clf._detection._confidence import Method
from confident_clf.plotting._answers import (
    confidence,
    known_and_answers,
    threshold_of,
)
from confident_clf.plotting._axes import Display, import_pyplot
from confident_clf.utils._types import SamplesLike


class ConfidenceDisplay(Display):
    """A display that is made from confidences, by `from_predictions`."""

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: SamplesLike,
        y: ArrayLike | None = None,
        *,
        X_ood: SamplesLike | None = None,
        method: Method = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw what a fitted estimator says of known and unknown samples.

        Parameters
        ----------
        estimator : estimator
            Fitted estimator, as :class:`~confident_clf.OODDetector` takes it, or a
            fitted detector. With a threshold for each class, the confidence is
            that above the threshold.
        X : array-like of shape (n_samples, ...)
            Samples.
        y : array-like of shape (n_samples,) or None, default=None
            Labels. Samples with a label that is not in ``classes_`` are unknown. None
            means that all of X are known.
        X_ood : array-like of shape (n_ood, ...) or None, default=None
            More samples, all of them unknown.
        method : str, OODScore, list or None, default=None
            Score, as in ``ood_score``. None means the estimator's own.
        name : str or None, default=None
            Name in the picture. None means the class of the estimator.
        ax : matplotlib Axes or None, default=None
            Axes to draw on. None makes new ones.
        **kwargs : dict
            Keyword arguments of `plot`.

        Returns
        -------
        display
            The display, drawn.

        Raises
        ------
        ValueError
            If the picture needs unknown samples, or labels, and there are none.
        TypeError
            If the picture needs a classifier and the estimator is or has none.
        """
        caller = f"{cls.__name__}.from_estimator"
        import_pyplot(caller)
        cls._check_samples(caller, estimator, y, X_ood)
        known, scores = known_and_answers(
            estimator, X, y, X_ood, lambda rows: confidence(estimator, rows, method)
        )
        name = type(estimator).__name__ if name is None else name
        more = cls._more_of(threshold_of(estimator))
        y_true = cls._y_true(known, estimator, X, y)
        made: Any = cls  # the classes that extend this one have from_predictions
        return made.from_predictions(y_true, scores, name=name, ax=ax, **more, **kwargs)

    @staticmethod
    def _check_samples(caller: str, estimator, y, X_ood) -> None:
        """Raise ValueError if the picture cannot be drawn of such samples."""

    @staticmethod
    def _y_true(known, estimator, X, y):
        """Return where `from_predictions` gets a 1, given which samples are known."""
        return known

    @staticmethod
    def _more_of(threshold: float | None) -> dict:
        """Return what else `from_predictions` takes, given the detector's threshold."""
        return {}
