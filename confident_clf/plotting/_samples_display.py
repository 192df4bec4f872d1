# SPDX-License-Identifier: BSD-3-Clause
"""A sheet of images, such as those that a generator makes."""

from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from confident_clf.plotting._answers import image_shape_of, samples_of
from confident_clf.plotting._axes import Display, axes_for, import_pyplot
from confident_clf.plotting._sheet import (
    as_images,
    check_columns,
    draw_sheet,
    sheet_figure,
)
from confident_clf.utils._types import SamplesLike


class SamplesDisplay(Display):
    """Sheet of images, such as samples of the fitted source.

    Good samples for training look a little like the data, but like no class. Samples
    that are all alike show a generator that has collapsed.

    Parameters
    ----------
    images : ndarray of shape (n_samples, height, width) or \
            (n_samples, height, width, 3)
        Images, uint8 or in [0, 1].
    name : str or None, default=None
        Title.

    Attributes
    ----------
    images_ : list of matplotlib AxesImage
        The images that are drawn, row by row.
    ax_ : matplotlib Axes
        Axes with the sheet.
    figure_ : matplotlib Figure
        Figure that contains them.

    See Also
    --------
    DecisionsDisplay : Images with what a detector says of them.
    ConfidenceMapDisplay : Generated samples of two features.

    Examples
    --------
    >>> import numpy as np
    >>> from confident_clf.plotting import SamplesDisplay
    >>> images = np.random.default_rng(0).random((12, 3, 8, 8))
    >>> display = SamplesDisplay.from_samples(images, name="noise")
    >>> len(display.images_)
    12
    >>> display.figure_.clear()
    """

    def __init__(self, *, images: np.ndarray, name: str | None = None):
        self.images = images
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
        SamplesDisplay
            The display itself.
        """
        check_columns(n_columns)
        ax = axes_for(self, ax, **sheet_figure(self.images, n_columns))
        self.images_ = draw_sheet(ax, self.images, n_columns, **kwargs)
        name = self.name if name is None else name
        ax.set_title(name or "")
        return self

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        n: int = 40,
        *,
        image_shape: tuple[int, int, int] | None = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw samples of the source of a fitted classifier.

        Parameters
        ----------
        estimator : estimator
            Fitted :class:`~confident_clf.ConfidentClassifier` of images, or a pipeline,
            search or detector with one inside.
        n : int, default=40
            Number of samples.
        image_shape : tuple (channels, height, width) or None, default=None
            Shape of images that are rows of X. None means the estimator's.
        name : str or None, default=None
            Title. None says what the images are.
        ax : matplotlib Axes or None, default=None
            Axes to draw on. None makes new ones.
        **kwargs : dict
            Keyword arguments of `plot`.

        Returns
        -------
        SamplesDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the samples are not images, or the classifier has none to draw from.
        TypeError
            If the estimator has no ``sample_ood``.
        """
        caller = f"{cls.__name__}.from_estimator"
        import_pyplot(caller)
        check_is_fitted(estimator)
        if image_shape is None:
            image_shape = image_shape_of(estimator)
        images = as_images(caller, samples_of(caller, estimator, n), image_shape)
        name = "samples of the source" if name is None else name
        return cls(images=images, name=name).plot(ax, **kwargs)

    @classmethod
    def from_samples(
        cls,
        X: SamplesLike,
        *,
        image_shape: tuple[int, int, int] | None = None,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Draw images.

        Parameters
        ----------
        X : array-like of shape (n_samples, channels, height, width) or \
                (n_samples, n_features)
            Images of one or three channels, uint8 or numbers. Numbers outside of [0, 1]
            are scaled to it, all images together.
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
        SamplesDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the samples are not images, or a pixel is not finite.
        """
        caller = f"{cls.__name__}.from_samples"
        import_pyplot(caller)
        display = cls(images=as_images(caller, X, image_shape), name=name)
        return display.plot(ax, **kwargs)
