# SPDX-License-Identifier: BSD-3-Clause
"""What X and y may be, and how they become tensors."""

import math

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from sklearn.utils.validation import validate_data

from confident_clf.utils._labels import check_class_labels, is_ood_label
from confident_clf.utils._sklearn import _get_feature_names
from confident_clf.utils._tensors import as_tensor
from confident_clf.utils._validation import (
    SampleFormat,
    check_n_dimensions,
    resolve_image_shape,
)


class SamplesMixin:
    """Validate rows and images, set OOD rows aside, encode labels.

    For estimators with the parameters `image_shape`, `ood_label`, `ood_source` and
    `validation_fraction`; sets `input_shape_`, `classes_` and what scikit-learn's
    validation sets.
    """

    def _validate_training(self, X, y):
        """Return X and y as arrays; learn the format of a sample."""
        X = _with_dtype(X)
        with np.errstate(over="ignore"):  # what becomes infinite is refused
            X, y = validate_data(
                self, X, y, ensure_min_samples=2, **self._conversion(X)
            )
        check_class_labels(y)
        check_n_dimensions(X, self.image_shape)
        self._format = SampleFormat.of(X)
        self.input_shape_ = X.shape[1:]
        if self.image_shape is not None:
            self.input_shape_ = resolve_image_shape(self.image_shape, X.shape[1])
        return X, y

    def _validate(self, X, **options):
        """Return samples to predict, checked against those of `fit`."""
        X = _with_dtype(X)
        if len(self._format.shape) > 1:
            # n_features_in_ is the number of channels: it says little about images.
            return self._check_like_fit(X, "X", **options)
        options |= self._conversion(X)
        with np.errstate(over="ignore"):  # what becomes infinite is refused
            X = validate_data(self, X, reset=False, **options)
        self._format.check(X, "X")
        return X

    def _check_like_fit(self, X, name, **options):
        """Return samples as an array, checked to be of the format seen in `fit`."""
        X = _with_dtype(X)
        options |= self._conversion(X)
        with np.errstate(over="ignore"):
            X = check_array(X, input_name=name, **options)
        self._format.check(X, name)
        return X

    def _conversion(self, X):
        """Return how to convert X: pixels may stay uint8, all else becomes float32."""
        is_image = self.image_shape is not None or getattr(X, "ndim", 2) == 4
        dtype = [np.float32, np.uint8] if is_image else np.float32
        return {"dtype": dtype, "order": "C", "allow_nd": True}

    def _validate_more(self, X, y):
        """Return X and y to go on with, checked against those of `fit`."""
        X = self._validate(X, ensure_min_samples=2)
        y = column_or_1d(y, warn=True)
        check_consistent_length(X, y)
        return X, y

    def _split_ood_rows(self, X, y, X_ood, source, more=False):
        """Return the rows that are classes, their labels, and the OOD rows or None."""
        uses_ood_rows = source is not None and source.needs_ood_rows
        if X_ood is not None:
            if not uses_ood_rows:
                raise ValueError(
                    f"X_ood was given, but ood_source={self.ood_source!r} does not use "
                    "it. Set ood_source='explicit', or leave X_ood out."
                )
            self._check_names(X_ood)
            X_ood = self._check_like_fit(X_ood, "X_ood")
        is_ood = is_ood_label(y, self.ood_label)
        if is_ood.any():
            labelled = X[is_ood] if X_ood is None else _concatenate(X[is_ood], X_ood)
            X, y, X_ood = X[~is_ood], y[~is_ood], labelled
        if uses_ood_rows and X_ood is None and not more:
            raise ValueError(
                f"ood_source={self.ood_source!r} needs out-of-distribution rows: pass "
                "fit(..., X_ood=...), or label rows of X with ood_label="
                f"{self.ood_label!r}. Without such rows, use ood_source='joint'."
            )
        if len(y) < 2:
            raise ValueError(
                f"Training takes at least 2 rows that are not of ood_label="
                f"{self.ood_label!r}; there are {len(y)}."
            )
        return X, y, X_ood if uses_ood_rows else None

    def _check_names(self, X_ood):
        """Raise ValueError if columns of X_ood have other names than those of X."""
        names = _get_feature_names(X_ood)
        known = getattr(self, "feature_names_in_", None)
        if names is None or known is None or np.array_equal(names, known):
            return
        raise ValueError(
            f"X_ood has the columns {names[:10].tolist()}, X {known[:10].tolist()}. "
            "Give X_ood those of X, in their order."
        )

    def _hold_back(self, X, y):
        """Return X, X to validate on, y, y to validate on: a share of each class."""
        n_valid = math.ceil(self.validation_fraction * len(y))
        n_train = len(y) - n_valid
        counts = np.bincount(y, minlength=len(self.classes_))
        if min(n_valid, n_train) < len(counts) or counts.min() < 2:
            raise ValueError(
                f"early_stopping with validation_fraction={self.validation_fraction} "
                f"would train on {n_train} samples and validate on {n_valid}, of "
                f"{len(counts)} classes of which the smallest has {counts.min()}. Both "
                "parts need each class: use more samples, or early_stopping=False."
            )
        return train_test_split(X, y, test_size=n_valid, stratify=y)

    def _learn_classes(self, labels):
        """Set the classes to the different labels there are, at least two."""
        classes = LabelEncoder().fit(labels).classes_
        if len(classes) < 2:
            raise ValueError(
                "ConfidentClassifier needs at least two classes; y has only one class, "
                f"{classes.tolist()}."
            )
        self.classes_ = classes

    def _without_ood_label(self, labels):
        """Return the labels that are classes."""
        labels = column_or_1d(labels)
        return labels[~is_ood_label(labels, self.ood_label)]

    def _encode_labels(self, y):
        """Return the labels as 0 to K - 1."""
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(
                f"y has labels {unknown.tolist()[:10]} that are not among the classes "
                f"{self.classes_.tolist()[:10]}. Name all classes in the first call."
            )
        return np.searchsorted(self.classes_, y)

    def _as_tensors(self, X, y, X_ood):
        """Return samples, labels and OOD samples, if any, as tensors."""
        return (
            self._as_tensor(X),
            as_tensor(y),
            None if X_ood is None else self._as_tensor(X_ood),
        )

    def _as_tensor(self, X):
        """Return samples as a tensor, in the shape that the networks see."""
        return as_tensor(X.reshape(len(X), *self.input_shape_))


def _concatenate(one, other):
    """Return the samples of both, pixels scaled where the others are floats."""
    if one.dtype != other.dtype:
        one, other = (
            X.astype(np.float32) / 255 if X.dtype == np.uint8 else X
            for X in (one, other)
        )
    return np.concatenate([one, other])


def _with_dtype(X):
    """Return lists and tensors as arrays: their dtype tells pixels from floats."""
    is_list = isinstance(X, (list, tuple))
    if not is_list and hasattr(getattr(X, "dtype", np.dtype(float)), "kind"):
        return X
    try:
        return np.asarray(X)
    except (TypeError, ValueError, RuntimeError):
        return X  # scikit-learn's validation says what is wrong
