# SPDX-License-Identifier: BSD-3-Clause
"""Tests of what scores see of a network."""

from copy import deepcopy
from functools import partial

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import approx_fprime
from sklearn.datasets import load_digits
from torch import nn

from confident_clf import ConfidentClassifier
from confident_clf.modules import MLP

X, Y = load_digits(return_X_y=True)
X, Y = X[:200].astype(np.float32) / 16, Y[:200] % 3
fast = partial(
    ConfidentClassifier,
    ood_source=None,
    max_epochs=2,
    random_state=0,
    device="cpu",
)


def view_of(clf):
    """Return what scores see of a fitted classifier."""
    return clf._view(clf.net_)


class InPlace(nn.Sequential):
    """A network whose first layer works in place."""

    def __init__(self, input_shape, n_classes):
        super().__init__(
            nn.ReLU(inplace=True), nn.Linear(64, 9), nn.GELU(), nn.Linear(9, n_classes)
        )


class Scaled(nn.Module):
    """A network that ends with a linear layer without bias, and a scale."""

    def __init__(self, input_shape, n_classes):
        super().__init__()
        self.last = nn.Linear(7, n_classes, bias=False)
        self.first = nn.Linear(64, 7)

    def forward(self, x):
        return 3 * self.last(self.first(x).tanh())


class Convolutional(nn.Sequential):
    """A network without a linear layer on vectors."""

    def __init__(self, input_shape, n_classes):
        super().__init__(
            nn.Unflatten(1, (1, 64)),
            nn.Linear(64, 8),  # on a sequence of one vector
            nn.Flatten(),
            nn.Unflatten(1, (8, 1)),
            nn.Conv1d(8, n_classes, 1),
            nn.Flatten(),
        )


SMOOTH = [partial(MLP, hidden=(16,)), InPlace, Scaled, Convolutional]


@pytest.mark.parametrize("module", SMOOTH)
def test_gradient(module):
    """Check the gradient against finite differences of the network in float64."""
    clf = fast(module).fit(X, Y)
    network = deepcopy(clf.net_.module_).double().eval()
    rng = np.random.default_rng(0)
    # Away from the kinks at 0.
    samples = X[:5] + np.float32(0.1) * rng.random((5, 64)).astype(np.float32) + 0.01
    with torch.no_grad():
        weights = np.cos(network(torch.from_numpy(samples).double()).numpy())

    def weighted(x, weights):
        with torch.no_grad():
            return (network(torch.from_numpy(x)[None])[0].numpy() * weights).sum()

    expected = [
        approx_fprime(x.astype(float), weighted, 1e-7, w)
        for x, w in zip(samples, weights, strict=True)
    ]
    with torch.no_grad():  # whatever the caller does
        gradient = view_of(clf).gradient(samples, np.cos)
    assert_allclose(gradient, expected, atol=1e-4)
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize("module", [None, partial(MLP, hidden=(16,))])
def test_features_and_head_make_the_logits(module):
    """Check that the network is its features, then weight and bias, for images too."""
    images = {"image_shape": (1, 8, 8)} if module is None else {}
    clf = fast(module, **images).fit(X, Y)
    view = view_of(clf)
    samples = X.reshape(-1, *clf.input_shape_)
    weight, bias = view.head(samples[:1])
    features = view.features(samples)
    assert features.dtype == weight.dtype == bias.dtype == np.float64
    assert_allclose(features @ weight.T + bias, view(samples), atol=1e-5)


def test_no_bias_and_a_scale_after_the_head():
    """Check that features need no more than some linear layer, the head all."""
    view = view_of(fast(Scaled).fit(X, Y))
    with torch.no_grad():
        expected = view.net.module_.first(torch.from_numpy(X)).tanh()
    assert_allclose(view.features(X), expected, atol=1e-6)
    with pytest.raises(ValueError, match=r"Scaled must end with a torch.nn.Linear"):
        view.head(X)
    no_bias = fast(partial(nn.Linear, bias=False), warm_start=True)
    no_bias.module = lambda shape, n: nn.Linear(*shape, n, bias=False)
    weight, bias = view_of(no_bias.fit(X, Y)).head(X)
    assert weight.shape == (3, 64)
    assert_array_equal(bias, np.zeros(3))


def test_rows_alone_as_in_a_batch():
    """Check bit equality of features and gradients of rows alone and in a batch."""
    images = np.tile(np.hstack([X, 1 - X]), (3, 1)).reshape(-1, 2, 8, 8)
    view = view_of(fast().fit(images[:200], Y))
    features, gradient = view.features(images), view.gradient(images, np.cos)
    for i in range(0, 600, 97):
        one = slice(i, i + 1)
        assert_array_equal(view.features(images[one]), features[one])
        assert_array_equal(view.gradient(images[one], np.cos), gradient[one])


def test_pixels_as_the_network_sees_them():
    """Check batches of pixels in [0, 1], and that floats stay as they are."""
    images = (X * 255).astype(np.uint8).reshape(-1, 1, 8, 8)
    view = view_of(fast().fit(images, Y))
    batches = np.concatenate(list(view.batches(images)))
    assert batches.dtype == np.float32
    assert_array_equal(batches, images.astype(np.float32) / 255)
    assert_array_equal(view(batches), view(images))
    assert_array_equal(np.concatenate(list(view.batches(batches))), batches)


@pytest.mark.parametrize("method", ["knn", "mahalanobis", "rmd", "react", "vim"])
def test_modules_without_features_are_refused(method):
    """Check that the message names the module and comes before any training."""
    clf = fast(Convolutional, method=method, callbacks=["not a callback"])
    with pytest.raises(ValueError, match=r"module=Convolutional .* torch.nn.Linear"):
        clf.set_params(callbacks=None).fit(X, Y)
    assert not hasattr(clf, "net_")


@pytest.mark.parametrize("method", ["react", "vim"])
def test_modules_without_head_are_refused(method):
    """Check that scores of the head refuse what comes after it, others do not."""
    with pytest.raises(ValueError, match=r"Scaled must end .* such as 'knn'"):
        fast(Scaled, method=method).fit(X, Y)
    scores = fast(Scaled, method="knn").fit(X, Y).ood_score(X)
    assert scores.shape == (200,)
