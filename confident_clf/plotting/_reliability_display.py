# SPDX-License-Identifier: BSD-3-Clause
"""How often predictions are right, against how confident they are."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from confident_clf.metrics._calibration_error import calibration_bins
from confident_clf.plotting._answers import (
    check_classifies,
    check_labels,
    classifier_of,
)
from confident_clf.plotting._axes import (
    GREY,
    MARKERS,
    Display,
    axes_for,
    import_pyplot,
    next_style,
)
from confident_clf.utils._arrays import to_numpy
from confident_clf.utils._types import SamplesLike

# Area of the marker of a bin with all samples, and of the smallest one, in points².
_LARGEST, _SMALLEST = 250, 8


class ReliabilityDisplay(Display):
    """Reliability diagram: share of right predictions against their confidence.

    The confidence is the largest class probability. Samples of similar confidence are
    in one bin, and each bin is a marker. Its area is proportional to the number of
    samples. A marker below the dotted diagonal is of predictions that are right less
    often than their probability says.

    Parameters
    ----------
    confidence : ndarray of shape (n_filled_bins,)
        Mean confidence in each bin that holds samples.
    accuracy : ndarray of shape (n_filled_bins,)
        Share of these samples that is predicted right.
    counts : ndarray of shape (n_filled_bins,)
        Number of these samples.
    ece : float
        Expected calibration error.
    name : str or None, default=None
        Name in the legend.

    Attributes
    ----------
    line_ : matplotlib Line2D
        The line through the bins.
    points_ : matplotlib PathCollection
        The markers of the bins.
    ax_ : matplotlib Axes
        Axes with the diagram.
    figure_ : matplotlib Figure
        Figure that contains them.

    See Also
    --------
    confident_clf.metrics.expected_calibration_error : The gap as a number.
    sklearn.calibration.CalibrationDisplay : The probability of one class of two.

    Examples
    --------
    >>> from confident_clf.plotting import ReliabilityDisplay
    >>> display = ReliabilityDisplay.from_predictions(
    ...     [1, 1, 1, 0, 1, 0], [0.75, 0.75, 0.75, 0.75, 0.5, 0.5], n_bins=4
    ... )
    >>> display.accuracy.tolist(), display.counts.tolist(), display.ece
    ([0.5, 0.75], [2, 4], 0.0)
    >>> display.figure_.clear()
    """

    def __init__(
        self,
        *,
        confidence: np.ndarray,
        accuracy: np.ndarray,
        counts: np.ndarray,
        ece: float,
        name: str | None = None,
    ):
        self.confidence = confidence
        self.accuracy = accuracy
        self.counts = counts
        self.ece = ece
        self.name = name

    def plot(self, ax: Any = None, *, name: str | None = None, **kwargs: Any) -> Self:
        """Draw the diagram.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to draw on. None makes new ones. A diagram on axes with other ones gets
            another color, kind of line and marker.
        name : str or None, default=None
            Name in the legend. None takes that of the display.
        **kwargs : dict
            Properties of the line, such as ``color``.

        Returns
        -------
        ReliabilityDisplay
            The display itself.
        """
        ax = axes_for(self, ax)
        name = self.name if name is None else name
        error = f"ECE = {self.ece:.3f}"
        style = {"label": error if name is None else f"{name} ({error})"}
        n_before = len(ax.collections)
        style |= next_style(ax) | kwargs
        if not n_before:
            ax.axline((0, 0), slope=1, color=GREY, linestyle=":")
        (self.line_,) = ax.plot(self.confidence, self.accuracy, **style)
        areas = _LARGEST * self.counts / self.counts.sum()
        self.points_ = ax.scatter(
            self.confidence,
            self.accuracy,
            np.maximum(areas, _SMALLEST),
            color=self.line_.get_color(),
            marker=MARKERS[n_before % len(MARKERS)],
            clip_on=False,
            zorder=3,
        )
        ax.set(
            title="on the diagonal is good; below it is too sure",
            xlabel="confidence (mean of the bin)",
            ylabel="share of the predictions that are right",
            xlim=(0, 1),
            ylim=(0, 1),
            aspect="equal",
        )
        ax.legend(loc="upper left")
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: SamplesLike,
        y: ArrayLike,
        *,
        n_bins: int = 15,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the diagram of a fitted classifier.

        Parameters
        ----------
        estimator : estimator
            Fitted classifier with ``predict_proba``, or a fitted detector of one.
        X : array-like of shape (n_samples, ...)
            Samples that it was not trained on.
        y : array-like of shape (n_samples,)
            Labels, all of them from ``classes_``.
        n_bins : int, default=15
            Number of bins between 0 and 1.
        name : str or None, default=None
            Name in the legend. None means the class of the estimator.
        ax : matplotlib Axes or None, default=None
            Axes to draw on. None makes new ones.
        **kwargs : dict
            Keyword arguments of `plot`.

        Returns
        -------
        ReliabilityDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If a label is not a class. Drop such samples.
        TypeError
            If the estimator is not a classifier with ``predict_proba``.
        """
        caller = f"{cls.__name__}.from_estimator"
        import_pyplot(caller)
        check_labels(caller, y)
        check_classifies(caller, estimator, "predict_proba")
        classifier, inputs = classifier_of(estimator, X)
        return cls.from_predictions(
            to_numpy(y),
            to_numpy(classifier.predict_proba(inputs)),
            n_bins=n_bins,
            labels=classifier.classes_,
            name=type(estimator).__name__ if name is None else name,
            ax=ax,
            **kwargs,
        )

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_score: ArrayLike,
        *,
        n_bins: int = 15,
        labels: ArrayLike | None = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the diagram of probabilities.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            With 1-D `y_score`: 1 where the prediction is right, else 0. With 2-D
            `y_score`: the labels.
        y_score : array-like of shape (n_samples,) or (n_samples, n_classes)
            1-D: confidences in [0, 1]. 2-D: class probabilities, as from
            ``predict_proba``.
        n_bins : int, default=15
            Number of bins between 0 and 1.
        labels : array-like of shape (n_classes,) or None, default=None
            Labels of the columns of a 2-D `y_score`, such as ``classes_``. None means
            0, 1, and so on.
        name : str or None, default=None
            Name in the legend.
        ax : matplotlib Axes or None, default=None
            Axes to draw on. None makes new ones.
        **kwargs : dict
            Keyword arguments of `plot`.

        Returns
        -------
        ReliabilityDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If shapes do not match, a score is outside [0, 1], or a label has no column.
        """
        import_pyplot(f"{cls.__name__}.from_predictions")
        bins = calibration_bins(y_true, y_score, n_bins, labels)
        n, n_right, confidence = bins[:, bins[0] > 0]
        display = cls(
            confidence=confidence / n,
            accuracy=n_right / n,
            counts=n.astype(int),
            ece=float(np.abs(n_right - confidence).sum() / n.sum()),
            name=name,
        )
        return display.plot(ax, **kwargs)
