# SPDX-License-Identifier: BSD-3-Clause
"""The losses of all networks, epoch by epoch."""

from collections.abc import Sequence
from itertools import cycle
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from confident_clf.plotting._answers import classifier_of
from confident_clf.plotting._axes import LINE_STYLES, Display, axes_for, import_pyplot

# Losses of the classifier, its two parts, and the other networks, by their key.
_NAMES = {
    "classifier_loss": "classifier",
    "valid_loss": "validation",
    "cross_entropy": "known samples (cross entropy)",
    "kl": "generated samples (KL)",
    "reject_loss": "generated samples (reject)",
    "discriminator_loss": "discriminator",
    "generator_loss": "generator",
}


class HistoryDisplay(Display):
    """Training curves of all networks.

    The losses of the classifier and the validation should fall. Generator and
    discriminator play against each other, so neither has to: a discriminator at 1.39
    (log 4) cannot tell generated samples from training samples.

    Parameters
    ----------
    epochs : ndarray of shape (n_epochs,)
        Numbers of the epochs.
    losses : dict of str to ndarray of shape (n_epochs,)
        Curves by their key in the history; nan where an epoch does not have it.
    name : str or None, default=None
        Name in the title.

    Attributes
    ----------
    lines_ : dict of str to matplotlib Line2D
        Curves by their key in the history.
    ax_ : matplotlib Axes
        Axes with the curves.
    figure_ : matplotlib Figure
        Figure that contains them.

    See Also
    --------
    SamplesDisplay : What the generator has learned.

    Examples
    --------
    >>> from confident_clf.plotting import HistoryDisplay
    >>> history = [{"epoch": 1, "classifier_loss": 0.7, "valid_loss": 0.6},
    ...            {"epoch": 2, "classifier_loss": 0.4, "valid_loss": 0.5}]
    >>> display = HistoryDisplay.from_history(history)
    >>> {key: losses.tolist() for key, losses in display.losses.items()}
    {'classifier_loss': [0.7, 0.4], 'valid_loss': [0.6, 0.5]}
    >>> display.figure_.clear()
    """

    def __init__(self, *, epochs: np.ndarray, losses: dict, name: str | None = None):
        self.epochs = epochs
        self.losses = losses
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
            Properties of all lines, such as ``linewidth``.

        Returns
        -------
        HistoryDisplay
            The display itself.
        """
        ax = axes_for(self, ax)
        name = self.name if name is None else name
        # A curve of one epoch is a point.
        marker = {"marker": "o"} if len(self.epochs) == 1 else {}
        self.lines_ = {}
        curves = zip(self.losses.items(), cycle(LINE_STYLES), strict=False)
        for (key, values), style in curves:
            style = {"label": _NAMES.get(key, key)} | style | marker | kwargs
            (self.lines_[key],) = ax.plot(self.epochs, values, **style)
        ax.set(title=name or "", xlabel="epoch", ylabel="loss (low is good)")
        if "discriminator_loss" in self.losses:
            ax.set_ylabel("loss (low is good, but two opponents cannot both be low)")
        ax.xaxis.get_major_locator().set_params(integer=True)
        low, high = ax.get_ylim()
        ax.set_ylim(low, high + 0.4 * (high - low))  # room for the legend
        ax.legend(loc="upper center", ncols=2, fontsize="small")
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        *,
        keys: Sequence[str] | None = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the training curves of a fitted classifier.

        Parameters
        ----------
        estimator : estimator
            Fitted :class:`~confident_clf.ConfidentClassifier`, or a pipeline, search or
            detector with one inside.
        keys : list of str or None, default=None
            What to draw, such as ``["valid_loss", "fake_spread"]``. None means all
            losses.
        name : str or None, default=None
            Name in the title. None means the class of the estimator.
        ax : matplotlib Axes or None, default=None
            Axes to draw on. None makes new ones.
        **kwargs : dict
            Keyword arguments of `plot`.

        Returns
        -------
        HistoryDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If there are no epochs, or none of them has a key.
        TypeError
            If the estimator has no ``history_``.
        """
        caller = f"{cls.__name__}.from_estimator"
        import_pyplot(caller)
        check_is_fitted(estimator)
        classifier = classifier_of(estimator)[0]
        if not hasattr(classifier, "history_"):
            raise TypeError(
                f"{caller} needs a ConfidentClassifier; {type(classifier).__name__} "
                "has no history_. Pass a list with a dict for each epoch to "
                "from_history."
            )
        name = type(classifier).__name__ if name is None else name
        history = classifier.history_
        return cls.from_history(history, keys=keys, name=name, ax=ax, **kwargs)

    @classmethod
    def from_history(
        cls,
        history: Sequence,
        *,
        keys: Sequence[str] | None = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the curves of a history.

        Parameters
        ----------
        history : list of dict
            A dict for each epoch, as in ``history_``.
        keys : list of str or None, default=None
            What to draw. None means all losses of a ``history_``.
        name : str or None, default=None
            Name in the title.
        ax : matplotlib Axes or None, default=None
            Axes to draw on. None makes new ones.
        **kwargs : dict
            Keyword arguments of `plot`.

        Returns
        -------
        HistoryDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If there are no epochs, or none of them has a key.
        """
        import_pyplot(f"{cls.__name__}.from_history")
        rows = list(history)
        if not rows:
            raise ValueError(
                "The history has no epochs: the network was trained elsewhere, or not "
                "at all. Pass a classifier after fit, or a list of dicts."
            )
        found = {key for row in rows for key in row}
        keys = [key for key in _NAMES if key in found] if keys is None else list(keys)
        missing = [key for key in keys if key not in found]
        if missing or not keys:
            raise ValueError(
                f"keys={missing} are in no epoch of the history. It has "
                f"{sorted(found)}. Name some of these that are numbers."
            )
        epochs = [row.get("epoch", i) for i, row in enumerate(rows, 1)]
        losses = {
            key: np.array([row.get(key, np.nan) for row in rows], dtype=float)
            for key in keys
        }
        display = cls(epochs=np.array(epochs), losses=losses, name=name)
        return display.plot(ax, **kwargs)
