# SPDX-License-Identifier: BSD-3-Clause
"""The format of samples: rows or images."""

import math
from numbers import Integral
from typing import NamedTuple

import numpy as np


class SampleFormat(NamedTuple):
    """What the samples of `fit` were like; later ones must be alike.

    Attributes
    ----------
    shape : tuple of int
        Shape of a sample, as the user gave it.
    dtype : numpy.dtype
        float32 or uint8.
    max : float
        Greatest value.
    """

    shape: tuple
    dtype: np.dtype
    max: float

    @classmethod
    def of(cls, X):
        """Return the format of the samples `X`."""
        return cls(X.shape[1:], X.dtype, float(X.max()))

    def check(self, X, name):
        """Raise ValueError if samples have another shape or another range of pixels.

        Parameters
        ----------
        X : ndarray of shape (n, ...), float32 or uint8
            The samples.
        name : str
            How to call them in the message.
        """
        if X.shape[1:] != self.shape:
            raise ValueError(
                f"{name} has samples of shape {X.shape[1:]}, but ConfidentClassifier "
                f"is expecting {self.shape}, the shape of the samples in fit."
            )
        if self.dtype == np.uint8 != X.dtype and X.max() > 100:
            raise ValueError(
                f"{name} holds floats up to {X.max():g}, but the samples in fit were "
                "uint8 images, which are scaled to [0, 1]. Pass uint8, or divide by "
                "255."
            )
        if X.dtype == np.uint8 != self.dtype and self.max > 1:
            raise ValueError(
                f"{name} is uint8, which is scaled to [0, 1], but the samples in fit "
                f"were floats up to {self.max:g}. Pass floats of the same scale."
            )

    def restore(self, samples):
        """Return samples in the units of the networks in the user's format.

        Parameters
        ----------
        samples : ndarray of shape (n, *input_shape), float32
            In [0, 1] where the user's are uint8.

        Returns
        -------
        ndarray of shape (n, *shape), float32 or uint8
            The samples.
        """
        if self.dtype == np.uint8:
            samples = np.rint(samples * 255).astype(np.uint8)
        return samples.reshape(len(samples), *self.shape)


def check_n_dimensions(X, image_shape):
    """Raise ValueError unless `X` holds rows, or images of four dimensions."""
    if X.ndim == 2 or (X.ndim == 4 and image_shape is None):
        return
    if X.ndim == 4:
        raise ValueError(
            f"image_shape={image_shape} says that X holds images as 2-D rows, but X "
            f"has shape {X.shape}. Leave image_shape=None for 4-D images."
        )
    raise ValueError(
        "X must be rows (n, features) or images (n, channels, height, width); got "
        f"shape {X.shape}. Grey images need a channel axis: X[:, None]."
    )


def resolve_image_shape(image_shape, n_features):
    """Return the shape of the images that rows of `n_features` stand for.

    Parameters
    ----------
    image_shape : sequence of int
        (channels, height, width); one of them may be -1: what is left.
    n_features : int
        Length of a row.

    Returns
    -------
    tuple of int
        The shape without -1.

    Raises
    ------
    ValueError
        If it is no such shape, or does not multiply up to `n_features`.
    """
    sizes = tuple(image_shape)
    if (
        len(sizes) != 3
        or not all(
            isinstance(size, Integral) and (size >= 1 or size == -1) for size in sizes
        )
        or sizes.count(-1) > 1
    ):
        raise ValueError(
            "image_shape must be three positive integers (channels, height, width), "
            f"one of which may be -1; got {image_shape!r}."
        )
    if -1 in sizes:
        rest = n_features // -math.prod(sizes)
        sizes = tuple(rest if size == -1 else size for size in sizes)
    if math.prod(sizes) != n_features:
        product = " * ".join(str(size) for size in image_shape)
        raise ValueError(
            f"image_shape={image_shape} does not multiply up: {product} is not "
            f"{n_features}, the number of features of X. Give the shape of one image, "
            "(channels, height, width)."
        )
    return tuple(int(size) for size in sizes)
