# SPDX-License-Identifier: BSD-3-Clause
"""Weights in the cross entropy: `sample_weight` of rows, `class_weight` of classes."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from confident_clf.utils._labels import check_same_kind, is_ood_label


class Weights(NamedTuple):
    """The weight of each row of a class; of each class, or None if these are equal."""

    rows: np.ndarray
    classes: np.ndarray | None


def without_weightless(
    X: np.ndarray, y: np.ndarray, sample_weight: ArrayLike | None, validation
) -> tuple:
    """Return samples, labels, weights and validation without the rows of weight 0.

    Such a row has no effect at all: not on classes, sources or scores either. Raise
    ValueError if weights are not such numbers, or all of them are 0.
    """
    if sample_weight is None:
        return X, y, None, validation
    weights = _check_sample_weight(sample_weight, len(y))
    keep = weights > 0
    if not keep.any():
        raise ValueError(
            f"sample_weight is zero in all {len(y)} rows, so nothing can be learnt. "
            "Give some rows a weight."
        )
    if keep.all():
        return X, y, weights, validation
    groups = validation.groups
    if groups is not None and len(groups) == len(y):
        validation = validation._replace(groups=np.asarray(groups)[keep])
    return X[keep], y[keep], weights[keep], validation


def find_weights(
    estimator, sample_weight: np.ndarray | None, labels: np.ndarray, y: np.ndarray
) -> Weights | None:
    """Return the weights of a fit, or None if all are equal.

    `labels` are those of all rows, as are the weights from `without_weightless`; `y`
    are the numbers of the classes of the rows that are not OOD. Raise TypeError or
    ValueError if `class_weight` does not fit these classes.
    """
    if sample_weight is None and estimator.class_weight is None:
        return None
    rows = np.ones(len(y))
    if sample_weight is not None:
        rows = sample_weight[~is_ood_label(labels, estimator.ood_label)]
    if estimator.class_weight is None:
        return Weights(rows, None)
    classes = _weights_of_classes(estimator.class_weight, estimator.classes_, y, rows)
    return Weights(rows * classes[y], classes)


def _check_sample_weight(sample_weight: ArrayLike, n_rows: int) -> np.ndarray:
    """Return one finite number of at least 0 for each row, as float64."""
    try:
        weights = np.asarray(sample_weight)
        if weights.dtype.kind == "c":
            raise TypeError("they are complex")
        weights = weights.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"sample_weight must hold numbers: {error}. Pass one for each row of X."
        ) from error
    if weights.shape != (n_rows,):
        raise ValueError(
            f"sample_weight has shape {weights.shape}, but X has {n_rows} rows. Pass "
            f"one weight for each row, an array of shape ({n_rows},)."
        )
    bad = np.flatnonzero(~(np.isfinite(_as_float32(weights)) & (weights >= 0)))
    if len(bad):
        raise ValueError(
            f"sample_weight is {weights[bad[0]]:g} in row {bad[0]}. Weights must be "
            "finite and not negative: correct them, or leave these rows out."
        )
    return weights


def _as_float32(weights: np.ndarray) -> np.ndarray:
    """Return weights in the dtype of training, where large ones are infinite."""
    with np.errstate(over="ignore"):
        return weights.astype(np.float32)


def _weights_of_classes(
    class_weight: dict | str, classes: np.ndarray, y: np.ndarray, rows: np.ndarray
) -> np.ndarray:
    """Return the weight of each class.

    "balanced" gives all classes the same sum of weights, as scikit-learn does. A class
    without rows, as when training continues on other data, has weight 1.
    """
    if isinstance(class_weight, dict):
        return _check_class_weight(class_weight, classes)
    totals = np.bincount(y, weights=rows, minlength=len(classes))
    mean = totals.sum() / len(classes)
    return np.divide(mean, totals, out=np.ones(len(classes)), where=totals > 0)


def _check_class_weight(class_weight: dict, classes: np.ndarray) -> np.ndarray:
    """Return the weight of each class; it is 1 for those that a dict leaves out.

    Labels that are not classes are refused, unless all classes have a weight: some may
    be held out in this fit.
    """
    for label in class_weight:
        check_same_kind("a label of class_weight", label, classes)
    names = classes.tolist()
    unknown = [label for label in class_weight if label not in names]
    if unknown and not all(name in class_weight for name in names):
        raise ValueError(
            f"class_weight has weights for {unknown[:10]}, which are not among the "
            f"classes {names[:10]}. Leave these labels out, or give every class a "
            "weight."
        )
    for label, weight in class_weight.items():
        if not _is_positive(weight):
            raise ValueError(
                f"class_weight[{label!r}] is {weight!r}, and must be a finite number "
                "above 0. To train without a class, leave its rows out."
            )
    return np.array([class_weight.get(name, 1.0) for name in names], dtype=np.float64)


def _is_positive(weight: Any) -> bool:
    """Return whether a weight is a finite number above 0, also as float32."""
    try:
        return bool(0 < np.float32(weight) < np.inf)
    except (TypeError, ValueError, OverflowError):
        return False


def with_mean_one(weights: np.ndarray) -> np.ndarray:
    """Return weights as float32, scaled so that their mean is 1.

    The sum of very large weights would be infinite, so they are first made small.
    """
    weights = weights / weights.max()
    return (weights / weights.mean()).astype(np.float32)
