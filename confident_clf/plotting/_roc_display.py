# SPDX-License-Identifier: BSD-3-Clause
"""The ROC curve of known against unknown samples."""

from sklearn.metrics import RocCurveDisplay, roc_curve

from confident_clf.metrics import auroc
from confident_clf.plotting._answers import check_has_unknown, known_and_confidence
from confident_clf.plotting._axes import BLUE, axes_for, import_pyplot


class RocDisplay:
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

    def __init__(self, *, fpr, tpr, roc_auc, name=None):
        self.fpr = fpr
        self.tpr = tpr
        self.roc_auc = roc_auc
        self.name = name

    def plot(self, ax=None, *, name=None, **kwargs):
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
        curve = RocCurveDisplay(fpr=self.fpr, tpr=self.tpr, roc_auc=self.roc_auc)
        curve.plot(ax=ax, name=name)
        self.line_ = curve.line_
        self.line_.set(**({"color": BLUE} | kwargs))
        ax.set(
            title="near the upper left corner is good",
            xlabel="unknown samples accepted (share, low is good)",
            ylabel="known samples accepted (share, high is good)",
        )
        ax.legend(loc="lower right")
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y=None,
        *,
        X_ood=None,
        method=None,
        name=None,
        ax=None,
        **kwargs,
    ):
        """Draw the curve of a fitted estimator.

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
            Name in the legend. None means the class of the estimator.
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
            If the samples are not of both kinds.
        """
        caller = f"{cls.__name__}.from_estimator"
        import_pyplot(caller)
        check_has_unknown(caller, estimator, y, X_ood)
        scores = known_and_confidence(estimator, X, y, X_ood, method)
        name = type(estimator).__name__ if name is None else name
        return cls.from_predictions(*scores, name=name, ax=ax, **kwargs)

    @classmethod
    def from_predictions(cls, y_true, y_score, *, name=None, ax=None, **kwargs):
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
