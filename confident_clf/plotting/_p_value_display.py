# SPDX-License-Identifier: BSD-3-Clause
"""How p-values of known and of unknown samples are distributed."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from confident_clf.metrics._metric_input import check_kinds, check_scores
from confident_clf.plotting._answers import (
    check_detects,
    detector_of,
    known_and_answers,
    p_values_of,
)
from confident_clf.plotting._axes import (
    GREY,
    LINE_STYLES,
    Display,
    axes_for,
    import_pyplot,
    ink,
    named,
)
from confident_clf.utils._types import SamplesLike


class PValueDisplay(Display):
    """Distribution of the p-values of known and of unknown samples.

    A curve tells which share of the samples has at most a p-value. Known samples should
    follow the dotted diagonal: their p-values are uniform, up to chance, or larger.
    Unknown samples should rise at once. What is left of the dashed line is refused.

    Parameters
    ----------
    p_value_in : ndarray of shape (n_known,)
        P-values of known samples, ascending.
    p_value_out : ndarray of shape (n_unknown,)
        P-values of unknown samples, ascending; may be empty.
    threshold : float or None, default=None
        P-value up to which samples are refused. None draws no line.
    name : str or None, default=None
        Name in the title.

    Attributes
    ----------
    lines_ : list of matplotlib Line2D
        Curves of the known and, if there are any, of the unknown samples.
    threshold_line_ : matplotlib Line2D or None
        The line at the threshold.
    ax_ : matplotlib Axes
        Axes with the curves.
    figure_ : matplotlib Figure
        Figure that contains them.

    See Also
    --------
    confident_clf.OODDetector.p_value : The p-values as numbers.
    ScoreDisplay : The confidences that they are made from.

    Examples
    --------
    >>> from confident_clf.plotting import PValueDisplay
    >>> display = PValueDisplay.from_predictions(
    ...     [1, 1, 0, 0], [0.9, 0.4, 0.03, 0.02], threshold=0.05
    ... )
    >>> display.p_value_out.tolist()
    [0.02, 0.03]
    >>> display.figure_.clear()
    """

    def __init__(
        self,
        *,
        p_value_in: np.ndarray,
        p_value_out: np.ndarray,
        threshold: float | None = None,
        name: str | None = None,
    ):
        self.p_value_in = p_value_in
        self.p_value_out = p_value_out
        self.threshold = threshold
        self.name = name

    def plot(self, ax: Any = None, *, name: str | None = None, **kwargs: Any) -> Self:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to draw on. None makes new ones.
        name : str or None, default=None
            Name in the title. None takes that of the display.
        **kwargs : dict
            Properties of both curves, such as ``linewidth``.

        Returns
        -------
        PValueDisplay
            The display itself.
        """
        ax = axes_for(self, ax)
        ax.axline((0, 0), slope=1, color=GREY, linestyle=":")
        self.lines_ = []
        kinds = [("known", self.p_value_in), ("unknown", self.p_value_out)]
        for style, (label, p_values) in zip(LINE_STYLES, kinds, strict=False):
            if len(p_values):
                style = {"label": label} | style | kwargs
                self.lines_.append(ax.ecdf(p_values, **style))
        self.threshold_line_ = None
        if self.threshold is not None:
            self.threshold_line_ = ax.axvline(
                self.threshold,
                color=ink(ax),
                linestyle="--",
                label=f"refused up to {self.threshold:.3g}",
            )
        name = self.name if name is None else name
        ax.set(
            title=named(name, "known on the diagonal, unknown high is good"),
            xlabel="p-value (high for known samples)",
            ylabel="share of the samples with at most this p-value",
            xlim=(0, 1),
            ylim=(0, 1.01),
        )
        ax.legend(loc="lower right")
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: SamplesLike,
        y: ArrayLike | None = None,
        *,
        X_ood: SamplesLike | None = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the p-values that a fitted detector gives to samples.

        Parameters
        ----------
        estimator : OODDetector or OpenSetClassifier
            Fitted detector, or a pipeline that ends in one.
        X : array-like of shape (n_samples, ...)
            Samples that it was not fitted on.
        y : array-like of shape (n_samples,) or None, default=None
            Labels. Samples with a label that is not in ``classes_`` are unknown. None
            means that all of X are known.
        X_ood : array-like of shape (n_ood, ...) or None, default=None
            More samples, all of them unknown.
        name : str or None, default=None
            Name in the title. None means the class of the estimator.
        ax : matplotlib Axes or None, default=None
            Axes to draw on. None makes new ones.
        **kwargs : dict
            Keyword arguments of `plot`.

        Returns
        -------
        PValueDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If the estimator is not a detector.
        """
        caller = f"{cls.__name__}.from_estimator"
        import_pyplot(caller)
        check_is_fitted(estimator)
        check_detects(caller, estimator)
        detector: Any = detector_of(estimator)
        known, p_values = known_and_answers(
            estimator, X, y, X_ood, lambda rows: p_values_of(estimator, rows)
        )
        return cls.from_predictions(
            known,
            p_values,
            threshold=1 - detector.target_tpr,
            name=type(estimator).__name__ if name is None else name,
            ax=ax,
            **kwargs,
        )

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        p_values: ArrayLike,
        *,
        threshold: float | None = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the distribution of p-values.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            1 for known, 0 for unknown.
        p_values : array-like of shape (n_samples,)
            P-values, as from ``p_value``.
        threshold : float or None, default=None
            P-value up to which samples are refused: 1 - `target_tpr` of a detector.
        name : str or None, default=None
            Name in the title.
        ax : matplotlib Axes or None, default=None
            Axes to draw on. None makes new ones.
        **kwargs : dict
            Keyword arguments of `plot`.

        Returns
        -------
        PValueDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If shapes do not match, or a p-value is not in [0, 1].
        """
        import_pyplot(f"{cls.__name__}.from_predictions")
        p_values = check_scores("p_values", p_values)
        known = check_kinds(y_true, len(p_values))
        if p_values.min() < 0 or p_values.max() > 1:
            raise ValueError(
                f"p_values must be in [0, 1]; got values from {p_values.min()} to "
                f"{p_values.max()}. Pass what p_value of a detector returns."
            )
        display = cls(
            p_value_in=np.sort(p_values[known]),
            p_value_out=np.sort(p_values[~known]),
            threshold=threshold,
            name=name,
        )
        return display.plot(ax, **kwargs)
