# SPDX-License-Identifier: BSD-3-Clause
"""What X and y may be, and how they become tensors."""

import numpy as np
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import check_array
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from confident_clf.utils._tensors import as_tensor
from confident_clf.utils._validation import (
    SampleFormat,
    check_n_dimensions,
    is_ood_label,
    resolve_image_shape,
)


class SamplesMixin:
    """Validate rows and images, set OOD rows aside, encode labels.

    For estimators with the parameters `image_shape`, `ood_label` and `ood_source`; sets
    `input_shape_`, `classes_` and what scikit-learn's validation sets.
    """

    def _validate_training(self, X, y):
        """Return X and y as arrays; learn the format of a sample."""
        with np.errstate(over="ignore"):  # what becomes infinite is refused
            X, y = validate_data(
                self, X, y, ensure_min_samples=2, **self._conversion(X)
            )
        check_classification_targets(y)
        check_n_dimensions(X, self.image_shape)
        self._format = SampleFormat.of(X)
        self.input_shape_ = X.shape[1:]
        if self.image_shape is not None:
            self.input_shape_ = resolve_image_shape(self.image_shape, X.shape[1])
        return X, y

    def _validate(self, X):
        """Return samples to predict, checked against those of `fit`."""
        if len(self._format.shape) > 1:
            # n_features_in_ is the number of channels: it says little about images.
            return self._check_like_fit(X, "X")
        with np.errstate(over="ignore"):  # what becomes infinite is refused
            X = validate_data(self, X, reset=False, **self._conversion(X))
        self._format.check(X, "X")
        return X

    def _check_like_fit(self, X, name):
        """Return samples as an array, checked to be of the format seen in `fit`."""
        with np.errstate(over="ignore"):
            X = check_array(X, input_name=name, **self._conversion(X))
        self._format.check(X, name)
        return X

    def _conversion(self, X):
        """Return how to convert X: pixels may stay uint8, all else becomes float32."""
        is_image = self.image_shape is not None or getattr(X, "ndim", 2) == 4
        dtype = [np.float32, np.uint8] if is_image else np.float32
        return {"dtype": dtype, "order": "C", "allow_nd": True}

    def _split_ood_rows(self, X, y, X_ood, source):
        """Return the rows that are classes, their labels, and the OOD rows or None."""
        uses_ood_rows = source is not None and source.needs_ood_rows
        if X_ood is not None:
            if not uses_ood_rows:
                raise ValueError(
                    f"X_ood was given, but ood_source={self.ood_source!r} does not use "
                    "it. Set ood_source='explicit', or leave X_ood out."
                )
            X_ood = self._check_like_fit(X_ood, "X_ood")
        is_ood = is_ood_label(y, self.ood_label)
        if is_ood.any():
            labelled = [X[is_ood]] if X_ood is None else [X[is_ood], X_ood]
            X, y, X_ood = X[~is_ood], y[~is_ood], np.concatenate(labelled)
        if uses_ood_rows and X_ood is None:
            raise ValueError(
                f"ood_source={self.ood_source!r} needs out-of-distribution rows: pass "
                "fit(..., X_ood=...), or label rows of X with ood_label="
                f"{self.ood_label!r}. Without such rows, use ood_source='joint'."
            )
        return X, y, X_ood if uses_ood_rows else None

    def _encode_labels(self, y):
        """Return the labels as 0 to K - 1; learn the classes."""
        encoder = LabelEncoder().fit(y)
        if len(encoder.classes_) < 2:
            raise ValueError(
                "ConfidentClassifier needs at least two classes; y has only one class, "
                f"{encoder.classes_.tolist()}."
            )
        self.classes_ = encoder.classes_
        return encoder.transform(y)

    def _as_tensor(self, array):
        """Return labels, or samples in the shape that the networks see, as a tensor."""
        if array is None:
            return None
        if array.ndim > 1:
            array = array.reshape(len(array), *self.input_shape_)
        return as_tensor(array)
