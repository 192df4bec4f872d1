# SPDX-License-Identifier: BSD-3-Clause
"""What a fit trains on, what it validates on, and for how long."""

from typing import Any

import numpy as np
from torch import Tensor

from confident_clf._samples import to_tensor
from confident_clf._training._checkpoints import check_checkpoint
from confident_clf._training._compile import check_compiler
from confident_clf._training._schedules import resolve_schedule
from confident_clf._validation import Validation, hold_back
from confident_clf.scores._make_score import make_score
from confident_clf.utils._lazy import LazyRows
from confident_clf.utils._params import is_balanced
from confident_clf.utils._tensors import LazyTensor, as_tensor
from confident_clf.utils._weights import Weights, with_mean_one


def check_one_pass(clf) -> None:
    """Raise ValueError for parameters that make no sense in `partial_fit`."""
    check_checkpoint(clf.checkpoint, one_pass=True)
    if clf.early_stopping:
        raise ValueError(
            "partial_fit is one pass over the data and cannot stop early. Set "
            "early_stopping=False, or call fit."
        )
    if is_balanced(clf.class_weight):
        raise ValueError(
            "class_weight='balanced' needs all labels, and partial_fit sees some of "
            "them. Pass a dict, such as dict(zip(classes, compute_class_weight("
            "'balanced', classes=classes, y=y))) with y of many rows."
        )


def check_net(clf, net, view, X: np.ndarray | LazyRows) -> None:
    """Raise an error if the net cannot be compiled, or lacks what the score needs."""
    check_compiler(net.dynamo, net.device)
    few: Any = X[:4].reshape(-1, *clf.input_shape_)
    make_score(clf.method).check(view, few)


def plan_fit(
    clf,
    X: np.ndarray,
    y: np.ndarray,
    validation: Validation,
    weights: Weights | None,
    one_pass: bool,
) -> tuple[Tensor | LazyTensor | None, Tensor, dict]:
    """Return samples and labels to train on, and the options of the training.

    Early stopping holds samples back, unless some are given to validate on. Weights get
    the mean 1 in each part, but stay as they are in one pass: others may follow.
    """
    rows, of_class = (None, None) if weights is None else weights
    options: dict = {"epochs": 1}
    if one_pass:
        if rows is not None:
            options["weight"] = as_tensor(rows.astype(np.float32))
        return to_tensor(X, clf.input_shape_), as_tensor(y), options
    options = {
        "epochs": clf.max_epochs,
        "lr_schedule": resolve_schedule(clf.lr_schedule),
    }
    X_val, y_val, groups = validation
    rows_val = None if X_val is None or of_class is None else of_class[y_val]
    if clf.early_stopping:
        options["patience"] = clf.n_iter_no_change
        if X_val is None:
            train, valid = hold_back(y, clf.validation_fraction, groups)
            X, X_val, y, y_val = X[train], X[valid], y[train], y[valid]
            if rows is not None:
                rows, rows_val = rows[train], rows[valid]
    if X_val is not None:
        options["valid"] = to_tensor(X_val, clf.input_shape_), as_tensor(y_val)
    if rows is not None:
        options["weight"] = as_tensor(with_mean_one(rows))
    if rows_val is not None:
        options["valid"] += (as_tensor(with_mean_one(rows_val)),)
    return to_tensor(X, clf.input_shape_), as_tensor(y), options
