# SPDX-License-Identifier: BSD-3-Clause
"""Histograms of the confidence in known and in unknown samples."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from confident_clf.metrics._metric_input import check_kinds, check_scores
from confident_clf.plotting._axes import (
    BLUE,
    ORANGE,
    axes_for,
    import_pyplot,
    ink,
    named,
)
from confident_clf.plotting._confidence_display import ConfidenceDisplay


class ScoreDisplay(ConfidenceDisplay):
    """Histograms of the confidence in known and in unknown samples.

    The heights are shares of the samples of a kind, so that kinds of different size can
    be compared. A dashed line is the threshold of a detector: it accepts what is to the
    right.

    Parameters
    ----------
    confidence_in : ndarray of shape (n_known,)
        Confidences of known samples.
    confidence_out : ndarray of shape (n_unknown,)
        Confidences of unknown samples; may be empty.
    threshold : float or None, default=None
        Smallest confidence that is accepted. None draws no line.
    name : str or None, default=None
        Name in the title.

    Attributes
    ----------
    bars_ : list of matplotlib BarContainer
        The bars of the known and, if there are any, of the unknown samples.
    threshold_line_ : matplotlib Line2D or None
        The line at the threshold.
    ax_ : matplotlib Axes
        Axes with the histograms.
    figure_ : matplotlib Figure
        Figure that contains them.

    See Also
    --------
    RocDisplay : What every threshold would accept.

    Examples
    --------
    >>> from confident_clf.plotting import ScoreDisplay
    >>> display = ScoreDisplay.from_predictions(
    ...     [1, 1, 0, 0], [0.9, 0.6, 0.6, 0.1], threshold=0.5, bins=2
    ... )
    >>> [float(bar.get_height()) for bar in display.bars_[0]]
    [0.0, 1.0]
    >>> display.figure_.clear()
    """

    def __init__(
        self,
        *,
        confidence_in: np.ndarray,
        confidence_out: np.ndarray,
        threshold: float | None = None,
        name: str | None = None,
    ):
        self.confidence_in = confidence_in
        self.confidence_out = confidence_out
        self.threshold = threshold
        self.name = name

    def plot(
        self,
        ax: Any = None,
        *,
        bins: int | str | Sequence[float] = 30,
        name: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the histograms.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to draw on. None makes new ones.
        bins : int, str or array-like, default=30
            Bins, as in :func:`numpy.histogram_bin_edges`, of both kinds together.
            Confidences outside of given edges are not drawn.
        name : str or None, default=None
            Name in the title. None takes that of the display.
        **kwargs : dict
            Keyword arguments of matplotlib's ``hist``, for both kinds.

        Returns
        -------
        ScoreDisplay
            The display itself.
        """
        ax = axes_for(self, ax)
        everything = np.concatenate([self.confidence_in, self.confidence_out])
        edges = np.histogram_bin_edges(everything, bins)
        filled: dict[str, Any] = {"color": BLUE, "alpha": 0.6, "label": "known"}
        hatched: dict[str, Any] = {
            "facecolor": "none",
            "edgecolor": ORANGE,
            "hatch": "///",
            "label": "unknown",
        }
        self.bars_ = []
        kinds = [(self.confidence_in, filled), (self.confidence_out, hatched)]
        for values, style in kinds:
            if len(values):
                shares = np.full(len(values), 1 / len(values))
                drawn = ax.hist(values, edges, weights=shares, **(style | kwargs))
                self.bars_.append(drawn[2])
        self.threshold_line_ = None
        if self.threshold is not None:
            self.threshold_line_ = ax.axvline(
                self.threshold,
                color=ink(ax),
                linestyle="--",
                label=f"threshold {self.threshold:.3g}",
            )
        name = self.name if name is None else name
        ax.set(
            title=named(name, "known right, unknown left is good"),
            xlabel="confidence (high for known samples)",
            ylabel="share of the samples of a kind",
        )
        ax.legend()
        return self

    @staticmethod
    def _more_of(threshold: float | None) -> dict:
        """Return the threshold, for the line."""
        return {"threshold": threshold}

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_score: ArrayLike,
        *,
        threshold: float | None = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the histograms of confidences.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            1 for known, 0 for unknown.
        y_score : array-like of shape (n_samples,)
            Confidence, higher for known, as from ``score_samples``.
        threshold : float or None, default=None
            Smallest confidence that is accepted.
        name : str or None, default=None
            Name in the title.
        ax : matplotlib Axes or None, default=None
            Axes to draw on. None makes new ones.
        **kwargs : dict
            Keyword arguments of `plot`.

        Returns
        -------
        ScoreDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If shapes do not match, or a score is not finite.
        """
        import_pyplot(f"{cls.__name__}.from_predictions")
        y_score = check_scores("y_score", y_score)
        known = check_kinds(y_true, len(y_score))
        display = cls(
            confidence_in=y_score[known],
            confidence_out=y_score[~known],
            threshold=threshold,
            name=name,
        )
        return display.plot(ax, **kwargs)
