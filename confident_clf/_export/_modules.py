# SPDX-License-Identifier: BSD-3-Clause
"""A fitted estimator as one module: samples in, named outputs out."""

from copy import deepcopy

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor, nn

from confident_clf._classifier import ConfidentClassifier
from confident_clf._detection._detector import OODDetector
from confident_clf._detection._reservoir import check_threshold
from confident_clf._export._feature_functions import count_not_above
from confident_clf._export._logit_functions import class_logits
from confident_clf._export._parts import Parts, take_apart
from confident_clf._export._score_modules import score_module
from confident_clf._networks._head import outputs_and_features
from confident_clf.scores._make_score import fitted_score
from confident_clf.utils._tensors import as_float


class DecisionModule(nn.Module):
    """The threshold and the calibration scores of a detector, for each group."""

    table: Tensor
    sizes: Tensor
    thresholds: Tensor

    def __init__(self, detector: OODDetector):
        super().__init__()
        check_threshold(detector)
        groups = detector.calibration_scores_
        groups = groups if isinstance(groups, list) else [groups]
        table = np.full((len(groups), max(map(len, groups))), np.nan)
        for row, group in zip(table, groups, strict=True):
            row[: len(group)] = group
        self.register_buffer("table", torch.tensor(table))
        self.register_buffer("sizes", torch.tensor([len(group) for group in groups]))
        thresholds = np.atleast_1d(detector.threshold_)
        self.register_buffer("thresholds", torch.tensor(thresholds))

    def forward(self, confidence: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return whether each sample is accepted, and its p-value.

        `index` is the number of the predicted class, which is the group if there is
        more than one.
        """
        table, sizes, thresholds = self.table, self.sizes, self.thresholds
        if len(table) > 1:
            table, sizes, thresholds = table[index], sizes[index], thresholds[index]
        not_higher = count_not_above(table, confidence)
        return confidence >= thresholds, (1 + not_higher).double() / (1 + sizes)


class EstimatorModule(nn.Module):
    """A fitted estimator: what its methods return of a batch, in a dict of tensors.

    `classes` are the labels of the classifier, as a list, and `input_dtype` and
    `input_shape` are the dtype and the shape of one sample, as the estimator takes it.
    """

    labels: Tensor

    def __init__(self, parts: Parts):
        super().__init__()
        clf = parts.classifier
        self.classes = clf.classes_.tolist()
        self.labels_are_numbers, labels, self.unknown = _labels(parts)
        self.register_buffer("labels", labels)
        self.input_shape = clf._format.shape
        self.network_shape = clf.input_shape_
        self.takes_pixels = clf.image_shape is not None or len(self.input_shape) > 1
        self.input_dtype = _input_dtype(parts)
        self.rejects = clf.net_.module.n_outputs > len(clf.classes_)
        self.scalers = nn.ModuleList(parts.scalers)
        self.score = score_module(_score_of(parts), self.rejects)
        self.network = deepcopy(clf.net_.module_).cpu().requires_grad_(False)
        self.decision = (
            None if parts.detector is None else DecisionModule(parts.detector)
        )
        self.eval()

    def forward(self, X: Tensor) -> dict[str, Tensor]:
        """Return what the estimator says of a batch of samples."""
        inputs = self._inputs(X)
        outputs, features = self._results(inputs)
        logits = class_logits(outputs, self.rejects)
        index = logits.argmax(dim=1)
        score = self.score(outputs, features)
        # The estimator would raise an error. Here such a sample is unknown.
        finite = _all_finite(inputs)
        if self.scalers:  # they may clip an infinity
            finite = finite & _all_finite(X)
        score = torch.where(finite, score, torch.inf)
        found = {
            "label": self.labels.index_select(0, index),
            "probabilities": torch.softmax(logits, dim=1),
            "ood_score": score,
        }
        if self.decision is None:
            return found
        accepted, p_value = self.decision(-score, index)
        if self.unknown is not None:
            found["label"] = torch.where(accepted, found["label"], self.unknown)
        return found | {"accepted": accepted, "p_value": p_value}

    def _inputs(self, x: Tensor) -> Tensor:
        """Return samples as the network takes them, float32."""
        for scaler in self.scalers:
            x = scaler(x)
        x = as_float(x) if self.takes_pixels else x
        return x.float().reshape(-1, *self.network_shape)

    def _results(self, inputs: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return outputs and, if the score needs them, features, float64."""
        x = inputs.clone()  # the network may work in place
        if not self.score.takes_features:
            return self.network(x).double(), None
        outputs, features = outputs_and_features(self.network, x)
        return outputs.double(), features.double()


def _all_finite(x: Tensor) -> Tensor:
    """Return whether all values of each sample are finite, (n,) bool.

    x - x is NaN where they are not. ONNX has no isfinite, and what torch writes in its
    place takes as long as a small network.
    """
    return (x - x).sum(dim=tuple(range(1, x.ndim))) == 0


def estimator_module(estimator: BaseEstimator) -> EstimatorModule:
    """Return a fitted estimator as a module.

    Raise TypeError or ValueError if a part of it cannot be one.
    """
    parts = take_apart(estimator)
    _check_shape(parts.classifier)
    return EstimatorModule(parts)


def _check_shape(clf: ConfidentClassifier) -> None:
    """Raise ValueError if the classifier takes samples of any shape."""
    if clf.input_shape_ is None or clf._format.shape is None:
        raise ValueError(
            "The classifier takes samples of any shape, and the export needs one. Give "
            "from_trained an input_shape, or call fit_method(X, y)."
        )


def _score_of(parts: Parts):
    """Return the fitted score that the estimator uses."""
    clf, method = parts.classifier, None
    if parts.detector is not None:
        method = parts.detector._method
    method = clf.method if method is None else method
    return fitted_score(method, getattr(clf, "method_", None))


def _input_dtype(parts: Parts) -> torch.dtype:
    """Return the dtype of samples: scalers get all digits, pixels stay bytes."""
    if parts.scalers:
        return torch.float64
    is_bytes = parts.classifier._format.dtype == np.uint8
    return torch.uint8 if is_bytes else torch.float32


def _labels(parts: Parts) -> tuple[bool, Tensor, int | None]:
    """Return whether labels are given as they are, those of the classes, and unknown.

    A tensor holds integers only. Other labels are given as positions in `classes_`, and
    -1 if unknown.
    """
    classes = parts.classifier.classes_
    unknown = None if parts.open_set is None else parts.open_set._unknown_label
    are_integers = classes.dtype.kind in "iu" and classes.max() < 2**63
    if are_integers and (unknown is None or isinstance(unknown, int | np.integer)):
        labels = torch.tensor(classes.astype(np.int64))
        return True, labels, None if unknown is None else int(unknown)
    return False, torch.arange(len(classes)), None if unknown is None else -1
