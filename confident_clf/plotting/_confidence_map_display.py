# SPDX-License-Identifier: BSD-3-Clause
"""The confidence over the plane of two features."""

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils import check_consistent_length
from sklearn.utils.validation import check_is_fitted

from confident_clf._detection._confidence import Method
from confident_clf.plotting._answers import (
    check_classifies,
    check_detects,
    classifier_of,
    confidence,
    detector_of,
    p_values_of,
    samples_of,
    threshold_of,
)
from confident_clf.plotting._axes import (
    GREY,
    LINE_STYLES,
    MARKERS,
    Display,
    axes_for,
    import_pyplot,
)
from confident_clf.utils._arrays import to_numpy
from confident_clf.utils._types import SamplesLike

_RESPONSES = {
    "p_value": "p-value (high for known samples)",
    "score_samples": "confidence (high for known samples)",
    "ood_score": "OOD score (high for unknown samples)",
    "predict_proba": "largest probability of a class",
}


class ConfidenceMapDisplay(Display):
    """Map of the confidence over the plane of two features.

    Light is where the estimator is sure; a good map is light around the training points
    and dark everywhere else. (Of ``"ood_score"`` it is the reverse.) Generated samples
    are crosses: they should be around the training points. What a detector accepts is
    inside of the dashed line.

    Parameters
    ----------
    xx0 : ndarray of shape (grid_resolution, grid_resolution)
        First feature of the points of the grid.
    xx1 : ndarray of shape (grid_resolution, grid_resolution)
        Second feature of the points of the grid.
    response : ndarray of shape (grid_resolution, grid_resolution)
        What the estimator says of these points.
    above : ndarray of shape (grid_resolution, grid_resolution) or None, default=None
        By how much the confidence is above the threshold. None draws no line.
    points : dict of str to ndarray of shape (n, 2) or None, default=None
        Known points by their name in the legend.
    X_ood : ndarray of shape (n, 2) or None, default=None
        Unknown points.
    samples : ndarray of shape (n, 2) or None, default=None
        Generated samples.
    levels : ndarray of shape (n_levels,) or None, default=None
        Where the colors of contours change. None lets matplotlib choose.
    label : str, default=""
        Label of the colors.
    xlabel : str, default=""
        Name of the first feature.
    ylabel : str, default=""
        Name of the second feature.

    Attributes
    ----------
    surface_ : matplotlib QuadContourSet or QuadMesh
        The map.
    colorbar_ : matplotlib Colorbar
        What the colors mean.
    border_ : matplotlib QuadContourSet or None
        The line around what is accepted.
    points_ : dict of str to matplotlib PathCollection
        The points by their name in the legend.
    ax_ : matplotlib Axes
        Axes with the map.
    figure_ : matplotlib Figure
        Figure that contains them.

    See Also
    --------
    sklearn.inspection.DecisionBoundaryDisplay : Which class is predicted where.
    SamplesDisplay : Generated samples that are images.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from confident_clf.datasets import make_ood_blobs
    >>> from confident_clf.plotting import ConfidenceMapDisplay
    >>> blobs = make_ood_blobs(random_state=0)
    >>> X, y = blobs.X_train, blobs.y_train
    >>> display = ConfidenceMapDisplay.from_estimator(
    ...     LogisticRegression().fit(X, y), X, y, grid_resolution=20
    ... )
    >>> display.response.shape, list(display.points_)
    ((20, 20), ['0', '1', '2'])
    >>> display.figure_.clear()
    """

    def __init__(
        self,
        *,
        xx0: np.ndarray,
        xx1: np.ndarray,
        response: np.ndarray,
        above: np.ndarray | None = None,
        points: dict[str, np.ndarray] | None = None,
        X_ood: np.ndarray | None = None,
        samples: np.ndarray | None = None,
        levels: np.ndarray | None = None,
        label: str = "",
        xlabel: str = "",
        ylabel: str = "",
    ):
        self.xx0 = xx0
        self.xx1 = xx1
        self.response = response
        self.above = above
        self.points = points
        self.X_ood = X_ood
        self.samples = samples
        self.levels = levels
        self.label = label
        self.xlabel = xlabel
        self.ylabel = ylabel

    def plot(
        self, ax: Any = None, *, plot_method: str = "contourf", **kwargs: Any
    ) -> Self:
        """Draw the map and the points.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to draw on. None makes new ones.
        plot_method : {"contourf", "contour", "pcolormesh"}, default="contourf"
            Method of the axes that draws the map.
        **kwargs : dict
            Keyword arguments of that method, such as ``levels`` or ``cmap``.

        Returns
        -------
        ConfidenceMapDisplay
            The display itself.
        """
        if plot_method not in ("contourf", "contour", "pcolormesh"):
            raise ValueError(
                f"plot_method={plot_method!r} must be 'contourf', 'contour' or "
                "'pcolormesh'."
            )
        ax = axes_for(self, ax)
        draw = getattr(ax, plot_method)
        # Light and dark differ in this map in grey too.
        style: dict[str, Any] = {"cmap": "cividis"}
        if plot_method != "pcolormesh":
            style["levels"] = self.levels
        style |= kwargs
        self.surface_ = draw(self.xx0, self.xx1, self.response, **style)
        self.colorbar_ = self.figure_.colorbar(self.surface_, ax=ax, label=self.label)
        self.border_ = None
        if self.above is not None and self.above.min() < 0 <= self.above.max():
            self.border_ = ax.contour(
                self.xx0,
                self.xx1,
                self.above,
                levels=[0],
                colors="white",
                linestyles="--",
            )
            self.border_.set(path_effects=_outline())
        self.points_ = {
            name: self._scatter(name, rows, i)
            for i, (name, rows) in enumerate((self.points or {}).items())
        }
        crosses = {"unknown": (self.X_ood, "x"), "generated": (self.samples, "+")}
        for name, (rows, marker) in crosses.items():
            if rows is not None:
                self.points_[name] = ax.scatter(
                    *rows.T, 25, "white", marker=marker, linewidths=1, label=name
                )
                self.points_[name].set(path_effects=_outline())
        ax.set(
            xlabel=self.xlabel,
            ylabel=self.ylabel,
            xlim=(self.xx0.min(), self.xx0.max()),
            ylim=(self.xx1.min(), self.xx1.max()),
        )
        if self.points_:
            ax.legend(facecolor=GREY, framealpha=0.8)
        return self

    def _scatter(self, name, rows, i):
        """Draw the points of a class, and return them."""
        return self.ax_.scatter(
            *rows.T,
            18,
            LINE_STYLES[i % len(LINE_STYLES)]["color"],
            marker=MARKERS[i % len(MARKERS)],
            edgecolors="white",
            linewidths=0.5,
            label=name,
        )

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: SamplesLike,
        y: ArrayLike | None = None,
        *,
        X_ood: SamplesLike | None = None,
        n_samples: int = 0,
        response_method: str = "auto",
        method: Method = None,
        grid_resolution: int = 100,
        eps: float = 1.0,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw what a fitted estimator says of all points around X.

        Parameters
        ----------
        estimator : estimator
            Fitted on two features: an estimator as
            :class:`~confident_clf.OODDetector` takes it, or a detector.
        X : array-like of shape (n_samples, 2)
            Known points to draw. They set the limits of the map.
        y : array-like of shape (n_samples,) or None, default=None
            Their labels, for one kind of marker each.
        X_ood : array-like of shape (n_ood, 2) or None, default=None
            Unknown points to draw.
        n_samples : int, default=0
            Number of samples of the estimator's source to draw.
        response_method : {"auto", "p_value", "score_samples", "ood_score", \
                "predict_proba"}, default="auto"
            What to draw; "predict_proba" is the largest probability of a class. "auto"
            is "p_value" for a detector, else "score_samples".
        method : str, OODScore, list or None, default=None
            Score of "score_samples" and "ood_score". None means the estimator's own.
        grid_resolution : int, default=100
            Number of points of the grid in each direction.
        eps : float, default=1.0
            How far the map reaches beyond X and `X_ood`.
        ax : matplotlib Axes or None, default=None
            Axes to draw on. None makes new ones.
        **kwargs : dict
            Keyword arguments of `plot`.

        Returns
        -------
        ConfidenceMapDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If X does not have two features, or a parameter is out of range.
        TypeError
            If the estimator lacks what `response_method` or `n_samples` needs.
        """
        caller = f"{cls.__name__}.from_estimator"
        import_pyplot(caller)
        check_is_fitted(estimator)
        rows = _two_features("X", X)
        ood = None if X_ood is None else _two_features("X_ood", X_ood)
        check_consistent_length(X, y)
        if grid_resolution < 2 or not eps > 0:
            raise ValueError(
                f"grid_resolution must be at least 2, and eps above 0; got "
                f"{grid_resolution!r} and {eps!r}."
            )
        response_method = _resolve(caller, estimator, response_method, method)
        samples = samples_of(caller, estimator, n_samples) if n_samples else None
        xx0, xx1 = _grid(
            rows if ood is None else np.r_[rows, ood], eps, grid_resolution
        )
        grid = _like(np.c_[xx0.ravel(), xx1.ravel()], X)
        response, above = _responses(estimator, grid, response_method, method)
        names = [
            str(name) for name in getattr(X, "columns", ("feature 0", "feature 1"))
        ]
        display = cls(
            xx0=xx0,
            xx1=xx1,
            response=response.reshape(xx0.shape),
            above=None if above is None else above.reshape(xx0.shape),
            points=_by_class(rows, y),
            X_ood=ood,
            samples=None if samples is None else _two_features("sample_ood", samples),
            levels=_levels(estimator, response_method),
            label=_RESPONSES[response_method],
            xlabel=names[0],
            ylabel=names[1],
        )
        return display.plot(ax, **kwargs)


def _outline() -> list:
    """Return the path effects of white lines that are seen on light colors too."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=2.5, foreground="black")]


def _two_features(name, X) -> np.ndarray:
    """Return points as an array; raise ValueError unless they have two features."""
    X = to_numpy(X)
    remedy = "Fit on two columns, or use ScoreDisplay, which takes any samples."
    if name == "sample_ood":
        remedy = "The source makes features, not points. Leave n_samples=0."
    if X.ndim != 2 or X.shape[1] != 2 or len(X) == 0:
        raise ValueError(
            f"A map has two features, but {name} has shape {X.shape}. {remedy}"
        )
    return X.astype(np.float64)


def _resolve(caller, estimator, response_method, method) -> str:
    """Return which of the responses to draw; raise an error if it cannot be."""
    if response_method == "auto":
        is_detector = detector_of(estimator) is not None and method is None
        return "p_value" if is_detector else "score_samples"
    if response_method not in _RESPONSES:
        raise ValueError(
            f"response_method={response_method!r} must be 'auto' or one of "
            f"{', '.join(map(repr, _RESPONSES))}."
        )
    if method is not None and response_method in ("p_value", "predict_proba"):
        raise ValueError(
            f"method={method!r} is a score, which response_method={response_method!r} "
            "does not use. Leave method=None, or use response_method='ood_score'."
        )
    if response_method == "p_value":
        check_detects(caller, estimator)
    if response_method == "predict_proba":
        check_classifies(caller, estimator, "predict_proba")
    return response_method


def _grid(points: np.ndarray, eps: float, resolution: int) -> tuple:
    """Return the two coordinates of a grid around points."""
    low, high = points.min(axis=0) - eps, points.max(axis=0) + eps
    return np.meshgrid(*np.linspace(low, high, resolution).T)


def _like(points: np.ndarray, X):
    """Return points as a table, if X is one, so that the names of features match."""
    if not hasattr(X, "columns"):
        return points
    return type(X)(dict(zip(X.columns, points.T, strict=True)))


def _responses(estimator, grid, response_method, method) -> tuple:
    """Return the response at points, and how far the confidence is above the threshold.

    The latter is None without a detector, or with another score than the detector's.
    """
    has_border = method is None and detector_of(estimator) is not None
    above = (
        confidence(estimator, grid) - threshold_of(estimator) if has_border else None
    )
    if response_method == "p_value":
        return p_values_of(estimator, grid), above
    if response_method == "predict_proba":
        classifier, inputs = classifier_of(estimator, grid)
        return to_numpy(classifier.predict_proba(inputs)).max(axis=1), above
    scores = confidence(estimator, grid, method)
    return (scores if response_method == "score_samples" else -scores), above


def _levels(estimator, response_method) -> np.ndarray | None:
    """Return levels over all possible values, or None if there is no bound."""
    if response_method == "p_value":
        return np.linspace(0, 1, 11)
    if response_method == "predict_proba":
        n_classes = len(classifier_of(estimator)[0].classes_)
        return np.linspace(1 / n_classes - 1e-6, 1 + 1e-6, 11)
    return None


def _by_class(X: np.ndarray, y) -> dict[str, np.ndarray]:
    """Return the points of each class, by its name."""
    if y is None:
        return {"known": X}
    y = np.ravel(to_numpy(y))
    return {str(label): X[y == label] for label in np.unique(y)}
