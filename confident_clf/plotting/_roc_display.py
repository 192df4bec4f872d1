# SPDX-License-Identifier: BSD-3-Clause
"""The ROC curve of known against unknown samples."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import RocCurveDisplay, roc_curve

from confident_clf.metrics import auroc
from confident_clf.plotting._answers import check_has_unknown
from confident_clf.plotting._axes import axes_for, import_pyplot, next_style
from confident_clf.plotting._confidence_display import ConfidenceDisplay


class RocDisplay(ConfidenceDisplay):
    """ROC curve of known against unknown samples.

    The known samples are the positive kind. scikit-learn's ``RocCurveDisplay`` draws
    the curve.

    Parameters
    ----------
    fpr : ndarray of shape (n_points,)
        Share of the unknown samples that are accepted.
    tpr : ndarray of shape (n_points,)
        Share of the known samples that are accepted.
    roc_auc : float
        Area under the curve.
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
    ScoreDisplay : Histograms of the same confidences.
    confident_clf.metrics.auroc : The area as a number.

    Examples
    --------
    >>> from confident_clf.plotting import RocDisplay
    >>> display = RocDisplay.from_predictions([1, 1, 0, 0], [0.9, 0.6, 0.6, 0.1])
    >>> display.roc_auc
    0.875
    >>> display.figure_.clear()
    """

    def __init__(
        self,
        *,
        fpr: np.ndarray,
        tpr: np.ndarray,
        roc_auc: float,
        name: str | None = None,
    ):
        self.fpr = fpr
        self.tpr = tpr
        self.roc_auc = roc_auc
        self.name = name

    def plot(self, ax: Any = None, *, name: str | None = None, **kwargs: Any) -> Self:
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to draw on. None makes new ones.
        name : str or None, default=None
            Name in the legend. None takes that of the display.
        **kwargs : dict
            Properties of the line, such as ``color``.

        Returns
        -------
        RocDisplay
            The display itself.
        """
        ax = axes_for(self, ax)
        name = self.name if name is None else name
        style = next_style(ax) | kwargs
        curve = RocCurveDisplay(fpr=self.fpr, tpr=self.tpr, roc_auc=self.roc_auc)
        curve.plot(ax=ax, name=name)
        self.line_ = curve.line_
        self.line_.set(**style)
        ax.set(
            title="near the upper left corner is good",
            xlabel="unknown samples accepted (share, low is good)",
            ylabel="known samples accepted (share, high is good)",
        )
        ax.legend(loc="lower right")
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
        RocDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the samples are not of both kinds, or a score is not finite.
        """
        import_pyplot(f"{cls.__name__}.from_predictions")
        area = auroc(y_true, y_score)
        fpr, tpr, _ = roc_curve(y_true, y_score, pos_label=1)
        display = cls(fpr=fpr, tpr=tpr, roc_auc=area, name=name)
        return display.plot(ax, **kwargs)
