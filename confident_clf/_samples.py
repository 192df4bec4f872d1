# SPDX-License-Identifier: BSD-3-Clause
"""Formats of X and y: validate them, set OOD rows aside, encode labels.

The functions that take the estimator work like scikit-learn's `validate_data`: they
read its parameters and what `fit` has learned about the format of a sample.
"""

import math
import warnings
from functools import partial
from numbers import Integral
from typing import NamedTuple

import numpy as np
from scipy.sparse import issparse
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import (
    check_array,
    check_consistent_length,
    check_X_y,
    column_or_1d,
)
from sklearn.utils.validation import validate_data
from torch import Tensor

from confident_clf.utils._dates import refuse_dates
from confident_clf.utils._hints import check_axes, check_image_shape, hint_of_shape
from confident_clf.utils._items import opened
from confident_clf.utils._label_kinds import plain_labels
from confident_clf.utils._labels import check_class_labels, is_ood_label
from confident_clf.utils._lazy import (
    LazyRows,
    blocks_of,
    lazy_rows,
    least_and_most,
    read_if_small,
    std_of_columns,
)
from confident_clf.utils._sklearn import _get_feature_names
from confident_clf.utils._tensors import LazyTensor, as_array, to_samples
from confident_clf.utils._units import PixelRange, scale_of, warn_of_units

# How far outside of [0, 1] rounding may bring a pixel that was scaled.
_ROUNDING = 1e-3


class SampleFormat(NamedTuple):
    """The format of the samples of `fit`, which later samples must have.

    `shape` is the shape of a sample as the user gave it, None if that may be any.
    `dtype` is float32 or uint8, `max` the largest value, and `pixels` the range of
    images, None for other samples.
    """

    shape: tuple | None
    dtype: np.dtype
    max: float
    pixels: PixelRange | None = None

    @classmethod
    def of(cls, X: np.ndarray, are_images: bool) -> "SampleFormat":
        """Return the format of the samples `X`."""
        if not are_images:
            return cls(X.shape[1:], X.dtype, least_and_most(X)[1], None)
        pixels = PixelRange.of(X)
        return cls(X.shape[1:], X.dtype, pixels.high * scale_of(X), pixels)

    def widened(self, X: np.ndarray) -> "SampleFormat":
        """Return the format of these samples and of more to train on."""
        if self.pixels is None:
            return self
        return self._replace(pixels=self.pixels.widened(PixelRange.of(X)))

    def check(self, X: np.ndarray | LazyRows, name: str) -> np.ndarray | LazyRows:
        """Return the samples; raise ValueError if they have another shape or range.

        The message calls them `name`. The pixels of lazy samples are checked when they
        are read.
        """
        if self.shape is not None and X.shape[1:] != self.shape:
            raise ValueError(
                f"{name} has samples of shape {X.shape[1:]}, but ConfidentClassifier "
                f"is expecting {self.shape}, the shape of the samples in fit."
                f"{hint_of_shape(X.shape, self.shape)}"
            )
        if isinstance(X, LazyRows):
            return X.checked(partial(self._check_pixels, name=name))
        self._check_pixels(X, name)
        return X

    def _check_pixels(self, X: np.ndarray, name: str) -> None:
        """Raise ValueError if pixels have another scale than in `fit`."""
        if self.dtype == np.uint8 != X.dtype and not _is_scaled(X.min(), X.max()):
            raise ValueError(
                f"{name} holds floats up to {X.max():g} and down to {X.min():g}, but "
                "the samples in fit were uint8 images, which are scaled to [0, 1]. "
                "Pass uint8, or divide by 255; do not normalise, and clip what "
                "interpolation adds."
            )
        low = 0.0 if self.pixels is None else self.pixels.low
        if X.dtype == np.uint8 != self.dtype and not _is_scaled(low, self.max):
            raise ValueError(
                f"{name} is uint8, which is scaled to [0, 1], but the samples in fit "
                f"were floats up to {self.max:g} and down to {low:g}. Pass floats of "
                "the same scale."
            )

    def restore(self, samples: np.ndarray) -> np.ndarray:
        """Return samples of the networks, float32, in the user's shape and dtype.

        They are in [0, 1] where the user's are uint8.
        """
        if self.dtype == np.uint8:
            samples = np.rint(samples * 255).astype(np.uint8)
        return samples.reshape(len(samples), *(self.shape or ()))


def _is_scaled(low: float, high: float) -> bool:
    """Return whether pixels are in [0, 1], but for rounding."""
    return low >= -_ROUNDING and high <= 1 + _ROUNDING


def validate_training(estimator, X, y) -> tuple[np.ndarray, np.ndarray]:
    """Return X and y of a first fit as arrays; set the number and names of features."""
    X = _opened(X, estimator.image_shape)
    y = plain_labels(as_array(y))
    own_module = estimator.module is not None
    check_axes(getattr(X, "shape", ()), own_module=own_module)
    if isinstance(X, LazyRows):
        # The labels are checked as beside any X; the samples, when they are read.
        stand_in = np.zeros((len(X), 1), dtype=np.int8)
        _, y = check_X_y(stand_in, y, ensure_min_samples=2)
        validate_data(estimator, X, skip_check_array=True)
    else:
        with np.errstate(over="ignore"):  # a value that becomes infinite is refused
            X, y = validate_data(
                estimator,
                X,
                y,
                ensure_min_samples=2,
                **_conversion(X, estimator.image_shape),
            )
        X = _dense_or_lazy(X)
    check_class_labels(y)
    _check_n_dimensions(X, estimator.image_shape)
    return X, y


def validate_more(estimator, X, y) -> tuple[np.ndarray, np.ndarray]:
    """Return X and y to continue training with, checked against those of `fit`."""
    X = validate_samples(estimator, X, ensure_min_samples=2)
    y = column_or_1d(plain_labels(as_array(y)), warn=True)
    check_consistent_length(X, y)
    return X, y


def learn_format(estimator, X) -> None:
    """Take the format of samples from X, for a network that was trained elsewhere."""
    names = _get_feature_names(X)
    if names is not None:
        estimator.feature_names_in_ = names
    known = estimator._format
    # One batch of a data set may be darker than the others.
    estimator._format = known._replace(pixels=None)
    X = validate_samples(estimator, X)
    if known.pixels is not None:
        estimator._format = known.widened(X)
        return
    shape = estimator.input_shape_ or X.shape[1:]
    estimator._format = SampleFormat.of(X, len(shape) == 3)
    estimator.n_features_in_ = X.shape[1]


def validate_samples(estimator, X, **options) -> np.ndarray:
    """Return samples as an array, checked against those of `fit`."""
    shape = estimator._format.shape
    X = _opened(X, estimator.image_shape or shape)
    is_lazy = isinstance(X, LazyRows)
    if is_lazy or shape is None or len(shape) > 1 or getattr(X, "ndim", 2) > 2:
        # n_features_in_ is the number of channels: it says little about images.
        X = _check_like_fit(estimator, X, "X", **options)
    else:
        options |= _conversion(X, estimator.image_shape)
        with np.errstate(over="ignore"):  # a value that becomes infinite is refused
            X = validate_data(estimator, X, reset=False, **options)
        X = estimator._format.check(_dense_or_lazy(X), "X")
    X = read_if_small(X)  # or it would be read for the units, and for the network
    if estimator._format.pixels is not None:
        few = next(blocks_of(X))
        warn_of_units(estimator._format.pixels, few, estimator.net_)
    return X


def _check_like_fit(estimator, X, name: str, **options) -> np.ndarray:
    """Return samples of the format seen in `fit`."""
    X = _opened(X, estimator.image_shape or estimator._format.shape, name)
    if isinstance(X, LazyRows):
        if len(X) < options.get("ensure_min_samples", 1):
            raise ValueError(f"Found array with {len(X)} sample(s) in {name}: too few.")
        return estimator._format.check(X, name)
    options |= _conversion(X, estimator.image_shape)
    with np.errstate(over="ignore"):
        X = check_array(X, input_name=name, **options)
    return estimator._format.check(_dense_or_lazy(X), name)


def _dense_or_lazy(X) -> np.ndarray | LazyRows:
    """Return a sparse matrix as lazy rows, which are made dense batch by batch."""
    return lazy_rows(X, X.dtype) if issparse(X) else X


def _conversion(X, image_shape) -> dict:
    """Return how to convert X: pixels may stay uint8, the rest becomes float32."""
    is_image = image_shape is not None or getattr(X, "ndim", 2) > 2
    dtype = [np.float32, np.uint8] if is_image else np.float32
    return {"dtype": dtype, "order": "C", "allow_nd": True, "accept_sparse": "csr"}


def _opened(X, shape: tuple[int, ...] | None, name: str = "X"):
    """Return samples as what has a dtype, which tells pixels from floats.

    Lists and tensors become arrays, and what is to be read later lazy rows.
    """
    X = opened(X, shape)
    if isinstance(X, LazyRows):
        return X
    refuse_dates(X, name)
    X = as_array(X)
    is_list = isinstance(X, (list, tuple))
    if not is_list and hasattr(getattr(X, "dtype", np.dtype(float)), "kind"):
        return X
    try:
        return np.asarray(X)
    except (TypeError, ValueError, RuntimeError):
        return X  # scikit-learn's validation says what is wrong


def _check_n_dimensions(X: np.ndarray, image_shape) -> None:
    """Raise ValueError if X is empty, or holds images where rows should be."""
    if X.size == 0:
        raise ValueError(
            f"X has shape {X.shape}, so its samples hold no numbers. Give each side a "
            "length of at least 1."
        )
    if X.ndim == 2:
        return
    are_brought_to_it = isinstance(X, LazyRows) and X.shape[1:] == tuple(
        image_shape or ()
    )
    if image_shape is not None and not are_brought_to_it:
        raise ValueError(
            f"image_shape={image_shape} says that X holds images as 2-D rows, but X "
            f"has shape {X.shape}. Leave image_shape=None for 4-D images."
        )


def find_input_shape(estimator, X: np.ndarray | LazyRows) -> tuple[int, ...]:
    """Return the shape of a sample as the networks see it."""
    image_shape = estimator.image_shape
    if image_shape is None or X.ndim > 2:
        return X.shape[1:]
    sizes = _resolve_image_shape(image_shape, X.shape[1])
    if estimator.module is None:
        check_image_shape(sizes)
    return sizes


def _resolve_image_shape(image_shape, n_features: int) -> tuple[int, ...]:
    """Return (channels, height, width), where one size may be given as -1.

    Raises ValueError unless they are such sizes and multiply up to `n_features`.
    """
    sizes = tuple(image_shape)
    if (
        len(sizes) != 3
        or not all(
            isinstance(size, Integral) and (int(size) >= 1 or size == -1)
            for size in sizes
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


def split_ood_rows(estimator, X, y, X_ood, source, more: bool = False):
    """Return the rows of classes, their labels, and the OOD rows or None.

    OOD rows are `X_ood` and the rows of X labelled `ood_label`. With `more`, training
    continues, and a source that needs such rows has seen some.
    """
    uses_ood_rows = source is not None and source.needs_ood_rows
    if X_ood is not None:
        if not uses_ood_rows:
            raise ValueError(
                f"X_ood was given, but ood_source={estimator.ood_source!r} does not "
                "use it. Set ood_source='explicit', or leave X_ood out."
            )
        X_ood = check_others(estimator, X_ood, "X_ood")
    is_ood = is_ood_label(y, estimator.ood_label)
    if is_ood.any():
        labelled = X[is_ood] if X_ood is None else _concatenate(X[is_ood], X_ood)
        X, y, X_ood = X[~is_ood], y[~is_ood], labelled
    if uses_ood_rows and X_ood is None and not more:
        raise ValueError(
            f"ood_source={estimator.ood_source!r} needs out-of-distribution rows: pass "
            "fit(..., X_ood=...), or label rows of X with ood_label="
            f"{estimator.ood_label!r}. Without such rows, use ood_source='joint'."
        )
    if len(y) < 2:
        raise ValueError(
            f"Training takes at least 2 rows that are not of ood_label="
            f"{estimator.ood_label!r}; there are {len(y)}."
        )
    # They are kept: training may go on with them.
    return X, y, np.asarray(X_ood) if uses_ood_rows and X_ood is not None else None


def check_others(estimator, samples, name: str) -> np.ndarray:
    """Return samples other than X as an array, checked to be like those of `fit`."""
    _check_names(estimator, samples, name)
    return _check_like_fit(estimator, samples, name)


def _check_names(estimator, samples, name: str) -> None:
    """Raise ValueError if the columns of samples have other names than those of X."""
    names = _get_feature_names(samples)
    known = getattr(estimator, "feature_names_in_", None)
    if names is None or known is None or np.array_equal(names, known):
        return
    raise ValueError(
        f"{name} has the columns {names[:10].tolist()}, X {known[:10].tolist()}. "
        f"Give {name} the columns of X, in their order."
    )


def _concatenate(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the samples of both, pixels scaled to [0, 1] if the others are floats."""
    one, other = np.asarray(one), np.asarray(other)
    if one.dtype != other.dtype:
        one, other = (
            X.astype(np.float32) / 255 if X.dtype == np.uint8 else X
            for X in (one, other)
        )
    return np.concatenate([one, other])


def find_classes(labels) -> np.ndarray:
    """Return the different labels, sorted; raise ValueError if there is only one."""
    classes = LabelEncoder().fit(labels).classes_
    if len(classes) < 2:
        raise ValueError(
            "ConfidentClassifier needs at least two classes; y has only one class, "
            f"{classes.tolist()}. (A row whose sample_weight is 0 does not count.)"
        )
    return classes


def without_ood_label(labels, ood_label) -> np.ndarray:
    """Return the labels that are classes."""
    labels = column_or_1d(plain_labels(as_array(labels)))
    return labels[~is_ood_label(labels, ood_label)]


def check_same_classes(classes: np.ndarray | None, known: np.ndarray) -> None:
    """Raise ValueError if a later call names other classes than the first."""
    if classes is not None and set(classes) != set(known):
        raise ValueError(
            f"classes={classes.tolist()} differ from those of the first call, "
            f"{known.tolist()}. Leave them out after it."
        )


def encode_labels(y: np.ndarray, classes: np.ndarray, name: str = "y") -> np.ndarray:
    """Return the labels as 0 to K - 1; raise ValueError if one is not a class."""
    unknown = np.setdiff1d(y, classes)
    if len(unknown):
        remedy = "Name all classes in the first call."
        if name != "y":
            remedy = "Leave these rows out, or train on such rows too."
        raise ValueError(
            f"{name} has labels {unknown.tolist()[:10]} that are not among the classes "
            f"{classes.tolist()[:10]}. {remedy}"
        )
    return np.searchsorted(classes, y)


def to_tensor(
    X: np.ndarray | LazyRows | None, input_shape: tuple[int, ...]
) -> Tensor | LazyTensor | None:
    """Return samples as a tensor in the shape that the networks see."""
    return None if X is None else to_samples(X.reshape(len(X), *input_shape))


# Well above that of scaled features, of counts and of the pixels 0 to 16 of digits.
_LARGE_FEATURE, _SMALL_FEATURE = 50.0, 0.01


def warn_of_scale(X: np.ndarray, input_shape: tuple[int, ...]) -> None:
    """Warn if the features of rows are so large or small that training suffers."""
    if len(input_shape) > 1 or X.dtype == np.uint8:
        return
    spreads, _ = std_of_columns(X)
    column = spreads.argmax()
    if _SMALL_FEATURE <= spreads[column] <= _LARGE_FEATURE or spreads[column] == 0:
        return
    warnings.warn(
        f"The features are not scaled: column {column} has a standard deviation of "
        f"{spreads[column]:.3g}, the largest. The network does not scale them, so it "
        "may learn badly and score unknown rows badly. Put a StandardScaler before "
        "it: make_pipeline(StandardScaler(), ConfidentClassifier()).",
        UserWarning,
        stacklevel=2,
    )
