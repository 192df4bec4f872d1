# SPDX-License-Identifier: BSD-3-Clause
"""The two kinds of errors of every threshold."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import DetCurveDisplay, det_curve

from confident_clf.metrics._metric_input import (
    check_both_kinds,
    check_kinds,
    check_scores,
)
from confident_clf.plotting._answers import check_has_unknown
from confident_clf.plotting._axes import axes_for, import_pyplot, next_style
from confident_clf.plotting._confidence_display import ConfidenceDisplay


class DetDisplay(ConfidenceDisplay):
    """DET curve: known samples refused against unknown samples accepted.

    The axes are stretched where errors are rare, so that good detectors can be told
    apart. The known samples are the positive kind. scikit-learn's ``DetCurveDisplay``
    draws the curve.

    Parameters
    ----------
    fpr : ndarray of shape (n_points,)
        Share of the unknown samples that are accepted.
    fnr : ndarray of shape (n_points,)
        Share of the known samples that are refused.
    name : str or None, default=None
        Name in the legend.

    Attributes
    ----------
    line_ : matplotlib Line2D
        The curve.
    ax_ : matplotlib Axes
        Axes with the curve.
    figure_ : matplotlib Figure
        Figure that contains them.

    See Also
    --------
    RocDisplay : The same on plain axes, with the area.

    Examples
    --------
    >>> from confident_clf.plotting import DetDisplay
    >>> display = DetDisplay.from_predictions([1, 1, 0, 0], [0.9, 0.6, 0.7, 0.1])
    >>> display.fpr.tolist(), display.fnr.tolist()
    ([0.5, 0.5, 0.0], [0.0, 0.5, 0.5])
    >>> display.figure_.clear()
    """

    def __init__(self, *, fpr: np.ndarray, fnr: np.ndarray, name: str | None = None):
        self.fpr = fpr
        self.fnr = fnr
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
        DetDisplay
            The display itself.
        """
        ax = axes_for(self, ax)
        name = self.name if name is None else name
        style = next_style(ax) | kwargs
        curve = DetCurveDisplay(fpr=self.fpr, fnr=self.fnr)
        self.line_ = curve.plot(ax=ax, name=name, **style).line_
        ax.set(
            title="near the lower left corner is good",
            xlabel="unknown samples accepted (low is good)",
            ylabel="known samples refused (low is good)",
        )
        if name is not None:
            ax.legend(loc="upper right")
        return self

    _check_samples = staticmethod(check_has_unknown)

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_score: ArrayLike,
        *,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the curve of confidences.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            1 for known, 0 for unknown.
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
        DetDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the samples are not of both kinds, or a score is not finite.
        """
        import_pyplot(f"{cls.__name__}.from_predictions")
        y_score = check_scores("y_score", y_score)
        known = check_kinds(y_true, len(y_score))
        check_both_kinds(known)
        fpr, fnr, _ = det_curve(known, y_score, pos_label=True)
        return cls(fpr=fpr, fnr=fnr, name=name).plot(ax, **kwargs)
