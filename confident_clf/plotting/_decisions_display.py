# SPDX-License-Identifier: BSD-3-Clause
"""Images with what a detector says of each."""

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from confident_clf._detection._confidence import unwrap
from confident_clf._detection._decisions import Decisions
from confident_clf.plotting._answers import check_detects, image_shape_of
from confident_clf.plotting._axes import (
    BLUE,
    ORANGE,
    Display,
    axes_for,
    import_pyplot,
    ink,
)
from confident_clf.plotting._sheet import (
    as_images,
    check_columns,
    draw_sheet,
    sheet_figure,
)
from confident_clf.utils._types import SamplesLike

_GAP = 0.7  # room for two lines of text


class DecisionsDisplay(Display):
    """Sheet of images, each with its class and p-value, or refused.

    Accepted images have a solid blue frame and their predicted class. Refused ones are
    faded, with a dashed orange frame. The small number is the p-value: how usual the
    sample is among known ones.

    Parameters
    ----------
    images : ndarray of shape (n_samples, height, width) or \
            (n_samples, height, width, 3)
        Images, uint8 or in [0, 1].
    decisions : Decisions
        What a detector says of them, as from ``decide``.
    name : str or None, default=None
        Title.

    Attributes
    ----------
    images_ : list of matplotlib AxesImage
        The images that are drawn, row by row.
    frames_ : list of matplotlib Rectangle
        Their frames.
    texts_ : list of matplotlib Text
        What is written below each image.
    ax_ : matplotlib Axes
        Axes with the sheet.
    figure_ : matplotlib Figure
        Figure that contains them.

    See Also
    --------
    confident_clf.OODDetector.decide : The decisions as arrays.
    PValueDisplay : The p-values of many samples.

    Examples
    --------
    >>> import numpy as np
    >>> from confident_clf import Decisions
    >>> from confident_clf.plotting import DecisionsDisplay
    >>> decisions = Decisions(
    ...     np.array(["cat", "dog"]),
    ...     np.array([True, False]),
    ...     np.array([0.5, 0.01]),
    ...     np.array([0.1, 0.4]),
    ... )
    >>> images = np.random.default_rng(0).random((2, 3, 8, 8))
    >>> display = DecisionsDisplay.from_decisions(images, decisions)
    >>> [text.get_text() for text in display.texts_]
    ['cat\\np .50', 'refused\\np .01']
    >>> display.figure_.clear()
    """

    def __init__(
        self, *, images: np.ndarray, decisions: Decisions, name: str | None = None
    ):
        self.images = images
        self.decisions = decisions
        self.name = name

    def plot(
        self,
        ax: Any = None,
        *,
        n_columns: int = 10,
        name: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw the images.

        Parameters
        ----------
        ax : matplotlib Axes or None, default=None
            Axes to draw on. None makes new ones.
        n_columns : int, default=10
            Number of images in a row.
        name : str or None, default=None
            Title. None takes that of the display.
        **kwargs : dict
            Keyword arguments of matplotlib's ``imshow``, such as ``cmap``.

        Returns
        -------
        DecisionsDisplay
            The display itself.
        """
        check_columns(n_columns)
        ax = axes_for(self, ax, **sheet_figure(self.images, n_columns, _GAP))
        self.images_ = draw_sheet(ax, self.images, n_columns, _GAP, **kwargs)
        self.frames_, self.texts_ = [], []
        for i, image in enumerate(self.images_):
            is_accepted = self.decisions.accepted[i]
            color, line = (BLUE, "-") if is_accepted else (ORANGE, "--")
            image.set_alpha(1 if is_accepted else 0.4)
            self.frames_.append(_frame(ax, image, color, line))
            left, right, bottom, _ = image.get_extent()
            text = ax.annotate(
                _text(self.decisions, i),
                ((left + right) / 2, bottom),
                (0, -2),
                textcoords="offset points",
                color=ink(ax) if is_accepted else ORANGE,
                size="small",
                linespacing=1.1,
                ha="center",
                va="top",
            )
            self.texts_.append(text)
        name = self.name if name is None else name
        ax.set_title(name or "")
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X: SamplesLike,
        *,
        image_shape: tuple[int, int, int] | None = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw images and what a fitted detector says of them.

        Parameters
        ----------
        estimator : OODDetector or OpenSetClassifier
            Fitted detector, or a pipeline that ends in one.
        X : array-like of shape (n_samples, channels, height, width) or \
                (n_samples, n_features)
            Images of one or three channels, as the detector takes them.
        image_shape : tuple (channels, height, width) or None, default=None
            Shape of images that are rows of X. None means the estimator's.
        name : str or None, default=None
            Title.
        ax : matplotlib Axes or None, default=None
            Axes to draw on. None makes new ones.
        **kwargs : dict
            Keyword arguments of `plot`.

        Returns
        -------
        DecisionsDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the samples are not images.
        TypeError
            If the estimator is not a detector.
        """
        caller = f"{cls.__name__}.from_estimator"
        import_pyplot(caller)
        check_is_fitted(estimator)
        check_detects(caller, estimator)
        if image_shape is None:
            image_shape = image_shape_of(estimator)
        images = as_images(caller, X, image_shape)
        last, inputs = unwrap(estimator, X)
        display = cls(images=images, decisions=last.decide(inputs), name=name)
        return display.plot(ax, **kwargs)

    @classmethod
    def from_decisions(
        cls,
        X: SamplesLike,
        decisions: Decisions,
        *,
        image_shape: tuple[int, int, int] | None = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw images and decisions that have been made.

        Parameters
        ----------
        X : array-like of shape (n_samples, channels, height, width) or \
                (n_samples, n_features)
            Images of one or three channels.
        decisions : Decisions
            One for each image, as from ``decide``.
        image_shape : tuple (channels, height, width) or None, default=None
            Shape of images that are rows of X.
        name : str or None, default=None
            Title.
        ax : matplotlib Axes or None, default=None
            Axes to draw on. None makes new ones.
        **kwargs : dict
            Keyword arguments of `plot`.

        Returns
        -------
        DecisionsDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the samples are not images, or there is not one decision for each.
        """
        caller = f"{cls.__name__}.from_decisions"
        import_pyplot(caller)
        images = as_images(caller, X, image_shape)
        if len(decisions.accepted) != len(images):
            raise ValueError(
                f"{caller} got {len(images)} images and {len(decisions.accepted)} "
                "decisions. Pass decide(X) of the same X."
            )
        return cls(images=images, decisions=decisions, name=name).plot(ax, **kwargs)


def _frame(ax, image, color: str, line: str):
    """Draw a frame around an image, and return it."""
    from matplotlib.patches import Rectangle

    left, right, bottom, top = image.get_extent()
    frame = Rectangle(
        (left, bottom),
        right - left,
        top - bottom,
        facecolor="none",
        edgecolor=color,
        linestyle=line,
        linewidth=2,
    )
    return ax.add_patch(frame)


def _text(decisions, i: int) -> str:
    """Return what is written below an image."""
    answer = "accepted" if decisions.label is None else str(decisions.label[i])
    answer = answer if decisions.accepted[i] else "refused"
    # As in tables of papers: numbers up to 1 without their first 0.
    return f"{answer}\np {decisions.p_value[i]:.2f}".replace("p 0.", "p .")
