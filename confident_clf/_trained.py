# SPDX-License-Identifier: BSD-3-Clause
"""Classifiers from networks that were trained elsewhere, and scores fitted to them."""

from collections.abc import Iterator
from numbers import Integral

import numpy as np
import torch
from sklearn.base import clone
from sklearn.utils import column_or_1d
from torch import nn
from torch.utils.data import DataLoader, Dataset

from confident_clf._networks._build import ClassifierFactory
from confident_clf._networks._view import NetworkView
from confident_clf._samples import (
    SampleFormat,
    encode_labels,
    learn_format,
    validate_more,
    validate_samples,
)
from confident_clf._training._compile import check_compiler
from confident_clf._training._make_net import new_net, try_net
from confident_clf.modules import WrappedNetwork
from confident_clf.scores._make_score import make_score
from confident_clf.sources._regime import Regime
from confident_clf.utils._compute import resolve_device
from confident_clf.utils._label_kinds import plain_labels
from confident_clf.utils._labels import check_class_labels, is_ood_label
from confident_clf.utils._tensors import as_array

# How many samples of a Dataset to read at once.
_AT_ONCE = 128


def adopt(clf, classes, input_shape, output, transform, head):
    """Make a new classifier a fitted one: its `module` is a trained network.

    Raises TypeError if that is not a network, and ValueError if something else does not
    fit. The network itself stays as it is.
    """
    clf._validate_params()
    _check_network(clf.module, head)
    device = resolve_device(clf.device)
    labels = _labels(classes)
    order = np.argsort(labels)  # as everywhere, classes_ is sorted
    clf.classes_ = labels[order]
    in_order = bool((order == np.arange(len(order))).all())
    if not in_order or (output, transform, head) != (None, None, None):
        clf.module = WrappedNetwork(
            clf.module,
            output=output,
            transform=transform,
            head=head,
            order=None if in_order else order.tolist(),
        )
    _set_shape(clf, input_shape)
    factory = ClassifierFactory(clf.module, clf.input_shape_, len(labels), False)
    clf.net_ = new_net(clf, factory, Regime(None, 0.0, "uniform"), device).initialize()
    if clf.input_shape_ is not None:
        generator = torch.Generator().manual_seed(0)
        few = torch.rand(4, *clf.input_shape_, generator=generator)
        try_net(clf.net_, few, clf, device)
    score = make_score(clf.method)
    if not score.needs_fit:
        clf.method_ = clone(score)
    check_compiler(clf.net_.dynamo, device)
    return clf


def _check_network(network, head) -> None:
    """Raise an error unless `network` is one, and has a linear layer named `head`."""
    if not isinstance(network, nn.Module):
        raise TypeError(
            f"module must be a trained torch.nn.Module; got {network!r}. Load its "
            "weights first, or use fit to train a new one."
        )
    if not any(True for _ in network.parameters()):
        raise ValueError(f"module={type(network).__name__} has no weights.")
    linears = [n for n, m in network.named_modules() if isinstance(m, nn.Linear)]
    if head is not None and head not in linears:
        raise ValueError(
            f"head={head!r} is not a torch.nn.Linear of {type(network).__name__}. Its "
            f"last ones are {', '.join(map(repr, linears[-5:])) or 'none'}."
        )


def _labels(classes) -> np.ndarray:
    """Return the labels of the outputs, in the order of these."""
    if isinstance(classes, Integral) and not isinstance(classes, bool):
        classes = range(classes)
    labels = column_or_1d(plain_labels(as_array(list(classes))))
    check_class_labels(labels)
    if len(labels) < 2 or len(np.unique(labels)) != len(labels):
        raise ValueError(
            "classes must be two different labels or more, one for each output of the "
            f"network, or their number; got {labels.tolist()[:10]}."
        )
    return labels


def _set_shape(clf, input_shape) -> None:
    """Set the shape of a sample; None means any, until `fit_method` sees samples."""
    shape = clf.image_shape if input_shape is None else input_shape
    if shape is not None:
        shape = (shape,) if isinstance(shape, Integral) else tuple(map(int, shape))
        if not shape or min(shape) < 1:
            raise ValueError(
                f"input_shape={input_shape!r} must be the shape of one sample, such as "
                "(3, 224, 224), or a number of features."
            )
    clf.input_shape_ = shape
    own = shape if clf.image_shape is None else (int(np.prod(shape)),)
    # Floats are used as they are; uint8 images are scaled to [0, 1].
    clf._format = SampleFormat(own, np.dtype(np.float32), 1.0)
    if own is not None:
        clf.n_features_in_ = own[0]


def fit_method(clf, X, y) -> None:
    """Fit the score that `method` names on samples, and keep the network."""
    if isinstance(X, (DataLoader, Dataset)):
        if y is not None:
            raise ValueError(
                f"X is a {type(X).__name__}, which brings its own labels: leave y out."
            )
        network, few, X, y = _recorded(clf, X)
    else:
        if y is None:
            raise ValueError(
                "y is missing: pass the labels of X, or a torch Dataset or DataLoader "
                "of pairs (samples, labels)."
            )
        X, y = _known(clf, *_like_fit(clf, X, y))
        X = X.reshape(-1, *clf.input_shape_)
        network, few = NetworkView(clf.net_, len(clf.classes_)), X[:4]
    score = clone(make_score(clf.method))
    score.check(NetworkView(clf.net_, len(clf.classes_)), few)
    clf.method_ = score.fit(network, X, y)


def _like_fit(clf, X, y) -> tuple[np.ndarray, np.ndarray]:
    """Return samples and labels as arrays like those of `fit`.

    A network that was trained elsewhere learns their format here.
    """
    if not clf.net_.history:
        learn_format(clf, X)
        if clf.input_shape_ is None:
            clf.input_shape_ = clf._format.shape
            clf.net_ = clf.net_.copy()
            few = np.array(validate_samples(clf, X)[:4]).reshape(-1, *clf.input_shape_)
            try_net(clf.net_, torch.from_numpy(few), clf, torch.device(clf.net_.device))
    return validate_more(clf, X, y)


def _known(clf, X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the samples of classes, and their labels as numbers."""
    known = ~is_ood_label(y, clf.ood_label)
    return X[known], encode_labels(y[known], clf.classes_)


def _recorded(clf, data):
    """Return a view of the results for all samples of a data set, and what it takes.

    That is: the view, a few samples, the numbers of the samples in the place of X, and
    their labels. Only one batch of samples is in memory.
    """
    results, labels, few = [], [], None
    # A DataLoader draws a seed from torch's global generator.
    with torch.random.fork_rng(devices=[]):
        for X, y in _batches(data):
            X, y = _known(clf, *_like_fit(clf, X, y))
            if not len(X):
                continue
            X = X.reshape(-1, *clf.input_shape_)
            view = NetworkView(clf.net_, len(clf.classes_))
            few = X[:4].copy() if few is None else few
            results.append(_outputs_and_features(view, X))
            labels.append(y)
    if few is None:
        raise ValueError("X holds no samples of classes.")
    outputs, features = (np.concatenate(parts) for parts in zip(*results, strict=True))
    rows = np.arange(len(outputs)).reshape(-1, *(1 for _ in clf.input_shape_))
    return RecordedView(view, few, outputs, features), few, rows, np.concatenate(labels)


def _batches(data) -> Iterator[tuple]:
    """Yield the batches of a DataLoader or a Dataset, samples and labels."""
    loader = data if isinstance(data, DataLoader) else DataLoader(data, _AT_ONCE)
    for batch in loader:
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            raise ValueError(
                f"X is a {type(data).__name__} that yields {type(batch).__name__}, but "
                "it must yield pairs (samples, labels)."
            )
        samples, labels = batch
        yield samples, labels


def _outputs_and_features(view: NetworkView, X) -> tuple[np.ndarray, np.ndarray]:
    """Return outputs and features, float32; no features if the network has none."""
    try:
        results = view.outputs_and_features(X)
    except ValueError:
        results = view(X), np.empty((len(X), 0))
    outputs, features = results
    return outputs.astype(np.float32), features.astype(np.float32)


class RecordedView:
    """View of a network that has the results for some samples, and not the samples.

    It takes the numbers of samples in the place of samples. `few` are some samples.
    """

    def __init__(self, view: NetworkView, few, outputs, features):
        self.n_classes = view.n_classes
        self._view, self._few = view, few
        self._outputs, self._features = outputs, features

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Return the outputs, float64."""
        return self._outputs[rows.ravel()].astype(np.float64)

    def features(self, rows: np.ndarray) -> np.ndarray:
        """Return the features, float64; raise ValueError if there are none."""
        if not self._features.shape[1]:
            return self._view.features(self._few)
        return self._features[rows.ravel()].astype(np.float64)

    def head(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return weight and bias of the last linear layer."""
        return self._view.head(self._few)

    def gradient(self, rows, weights):
        """Raise ValueError: the samples are gone."""
        raise ValueError(
            "The method looks at the samples themselves, and a Dataset or DataLoader "
            "is read one batch at a time. Pass fit_method arrays, or choose a method "
            "of logits or features, such as 'knn'."
        )

    def batches(self, rows):
        """Raise ValueError: the samples are gone."""
        self.gradient(rows, None)
