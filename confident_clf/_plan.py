# SPDX-License-Identifier: BSD-3-Clause
"""What a fit trains on, what it validates on, and for how long."""

import numpy as np
from torch import Tensor

from confident_clf._samples import to_tensor
from confident_clf._training._schedules import resolve_schedule
from confident_clf._validation import Validation, hold_back
from confident_clf.utils._tensors import as_tensor


def plan_fit(
    clf, X: np.ndarray, y: np.ndarray, validation: Validation, one_pass: bool
) -> tuple[Tensor, Tensor, dict]:
    """Return samples and labels to train on, and the options of the training.

    Early stopping holds samples back, unless some are given to validate on.
    """
    if one_pass:
        return to_tensor(X, clf.input_shape_), as_tensor(y), {"epochs": 1}
    options = {
        "epochs": clf.max_epochs,
        "lr_schedule": resolve_schedule(clf.lr_schedule),
    }
    X_val, y_val, groups = validation
    if clf.early_stopping:
        options["patience"] = clf.n_iter_no_change
        if X_val is None:
            train, valid = hold_back(y, clf.validation_fraction, groups)
            X, X_val, y, y_val = X[train], X[valid], y[train], y[valid]
    if X_val is not None:
        options["valid"] = to_tensor(X_val, clf.input_shape_), as_tensor(y_val)
    return to_tensor(X, clf.input_shape_), as_tensor(y), options
