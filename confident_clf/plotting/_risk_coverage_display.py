# SPDX-License-Identifier: BSD-3-Clause
"""The errors among the samples that a threshold accepts, for every threshold."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from confident_clf.metrics._open_set_metrics import risk_of_most_confident
from confident_clf.plotting._answers import check_classifies, check_labels, is_right
from confident_clf.plotting._axes import GREY, axes_for, import_pyplot, next_style
from confident_clf.plotting._confidence_display import ConfidenceDisplay


class RiskCoverageDisplay(ConfidenceDisplay):
    """Risk-coverage curve: errors among the accepted samples.

    To the left, only the most confident samples are accepted. To the right, all are. An
    error is a wrong class, or an unknown sample that is accepted. The dotted line is
    the best possible order: all errors have the lowest confidence. Samples of equal
    confidence come in any order, and the curve is the mean over these.

    Parameters
    ----------
    coverage : ndarray of shape (n_samples,)
        Share of the samples that are accepted, ascending.
    risk : ndarray of shape (n_samples,)
        Share of errors among these.
    aurc : float
        Area under the curve.
    name : str or None, default=None
        Name in the legend.

    Attributes
    ----------
    line_ : matplotlib Line2D
        The curve.
    best_line_ : matplotlib Line2D
        The best possible curve, with as many errors.
    ax_ : matplotlib Axes
        Axes with the curve.
    figure_ : matplotlib Figure
        Figure that contains them.

    See Also
    --------
    confident_clf.metrics.aurc : The area as a number.
    RocDisplay : Known against unknown samples, without classes.

    Examples
    --------
    >>> from confident_clf.plotting import RiskCoverageDisplay
    >>> display = RiskCoverageDisplay.from_predictions(
    ...     [1, 1, 0, 0], [0.9, 0.8, 0.3, 0.1]
    ... )
    >>> display.risk.round(2).tolist()
    [0.0, 0.0, 0.33, 0.5]
    >>> display.figure_.clear()
    """

    def __init__(
        self,
        *,
        coverage: np.ndarray,
        risk: np.ndarray,
        aurc: float,
        name: str | None = None,
    ):
        self.coverage = coverage
        self.risk = risk
        self.aurc = aurc
        self.name = name

    def plot(self, ax: Any = None, *, name: str | None = None, **kwargs: Any) -> Self:
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to draw on. None makes new ones. A curve on axes with other curves gets
            another color and kind of line.
        name : str or None, default=None
            Name in the legend. None takes that of the display.
        **kwargs : dict
            Properties of the line, such as ``color``.

        Returns
        -------
        RiskCoverageDisplay
            The display itself.
        """
        ax = axes_for(self, ax)
        name = self.name if name is None else name
        area = f"AURC = {self.aurc:.3f}"
        style = {"label": area if name is None else f"{name} ({area})"}
        style |= next_style(ax) | kwargs
        (self.line_,) = ax.plot(self.coverage, self.risk, **style)
        # At the end all samples are accepted, the right ones and the errors.
        accuracy = 1 - self.risk[-1]
        best = np.clip(1 - accuracy / self.coverage, 0, None)
        (self.best_line_,) = ax.plot(self.coverage, best, color=GREY, linestyle=":")
        ax.set(
            title="lower is better; dotted is the best possible order",
            xlabel="coverage (share of the samples that are accepted)",
            ylabel="risk (share of errors among these, low is good)",
        )
        ax.legend(loc="upper left")
        return self

    @staticmethod
    def _check_samples(caller, estimator, y, X_ood):
        """Raise an error unless there are labels and a classifier."""
        check_labels(caller, y)
        check_classifies(caller, estimator, "predict")

    @staticmethod
    def _y_true(known, estimator, X, y):
        """Return where a known sample gets the right class."""
        right = np.zeros(len(known), dtype=bool)
        right[: len(y)] = is_right(estimator, X, y)
        return known & right

    @classmethod
    def from_predictions(
        cls,
        y_correct: ArrayLike,
        y_score: ArrayLike,
        *,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the curve of confidences.

        Parameters
        ----------
        y_correct : array-like of shape (n_samples,)
            1 where the predicted class is right, 0 where it is wrong or the sample is
            unknown.
        y_score : array-like of shape (n_samples,)
            Confidence, higher for known, as from ``score_samples``.
        name : str or None, default=None
            Name in the legend.
        ax : matplotlib Axes or None, default=None
            Axes to draw on. None makes new ones.
        **kwargs : dict
            Keyword arguments of `plot`.

        Returns
        -------
        RiskCoverageDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If shapes do not match, or a score is not finite.
        """
        import_pyplot(f"{cls.__name__}.from_predictions")
        risk = risk_of_most_confident(y_correct, y_score)
        coverage = np.arange(1, len(risk) + 1) / len(risk)
        display = cls(coverage=coverage, risk=risk, aurc=float(risk.mean()), name=name)
        return display.plot(ax, **kwargs)
