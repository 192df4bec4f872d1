# SPDX-License-Identifier: BSD-3-Clause
"""Tests of the source in the classifier's feature space."""

from functools import partial

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

from confident_clf import ConfidentClassifier
from confident_clf._training._fit import prepare_source
from confident_clf._training._net import JointNet
from confident_clf.losses import kl_to_uniform
from confident_clf.modules import MLP
from confident_clf.sources import FeatureOOD, NoiseOOD, OODSource
from confident_clf.sources._feature_space import points_around

X, Y = load_digits(return_X_y=True)
X = (X / 16).astype(np.float32)
fast = partial(ConfidentClassifier, max_epochs=2, random_state=0)


def test_points_lie_at_the_distance_asked_for():
    """Check where the points come from on features whose distances are known."""
    # On a line, the next neighbours are at distances 1, 1, 2, 4 and 4.
    features = torch.tensor([0.0, 1, 3, 7, 11])[:, None] * torch.ones(1, 4) / 2
    torch.manual_seed(0)
    points = points_around(features, 500, share=0.4, distance=3.0)
    to_start = torch.cdist(points, features[3:])  # the two in the least dense places
    at_distance = (to_start - 3 * 4).abs() < 1e-3
    assert at_distance.any(dim=1).all()
    n_from_each = at_distance.sum(dim=0)
    assert (n_from_each > 200).all()
    # The directions are those of a uniform distribution on the sphere.
    start = features[3:][at_distance.int().argmax(dim=1)]
    direction = (points - start) / 12
    torch.testing.assert_close(direction.mean(0), torch.zeros(4), atol=0.1, rtol=0)
    second_moment = direction.T @ direction / 500
    torch.testing.assert_close(second_moment, torch.eye(4) / 4, atol=0.05, rtol=0)


def test_gradient_reaches_the_features_the_points_start_from():
    """Check that the graph says: a point moves as the feature it starts from."""
    features = torch.randn(6, 3, requires_grad=True)
    points_around(features, 100, share=0.5, distance=2.0).sum().backward()
    counts = features.grad[:, 0]
    assert sorted(counts.tolist())[:3] == [0, 0, 0]
    assert counts.sum() == 100
    assert (features.grad == counts[:, None]).all()


def test_equal_features_stay_where_they_are():
    """Check that a batch of equal rows gives these rows, not NaN."""
    points = points_around(torch.ones(4, 2), 3, share=1.0, distance=5.0)
    torch.testing.assert_close(points, torch.ones(3, 2))


def make_net(source):
    """Return a net with features of 8 dimensions, and 40 rows with their classes."""
    torch.manual_seed(0)
    x, y = torch.randn(40, 3), torch.arange(40) % 4
    net = JointNet(
        partial(MLP, (3,), 4, hidden=(8,)),
        source=source,
        beta=0.5,
        optimizer=torch.optim.Adam,
        lr=0.01,
        max_epochs=1,
        batch_size=40,
        device="cpu",
        verbose=0,
    ).initialize()
    prepare_source(net, x, None)
    return net, x, y


def test_step_is_the_textbook_step():
    """Check losses and gradients against a loop that spells out head and features."""
    net, x, y = make_net(FeatureOOD(share=0.3, distance=2.0))
    module = net.module_
    torch.manual_seed(1)
    losses, _ = net._step_classifier(x, y)
    got = [p.grad.clone() for p in module.parameters()]

    net, x, y = make_net(FeatureOOD(share=0.3, distance=2.0))
    module = net.module_
    torch.manual_seed(1)
    features = module.features(x)
    kl = kl_to_uniform(module.head(points_around(features, 40, 0.3, 2.0)))
    (F.cross_entropy(module.head(features), y) + 0.5 * kl).backward()
    assert losses["kl"].item() == pytest.approx(kl.item(), rel=1e-6)
    for gradient, parameter in zip(got, module.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad)


class Far(OODSource):
    """Inputs that are easy to recognise."""

    def sample(self, n):
        return torch.full((n, 3), 100.0)


@pytest.mark.parametrize("ood_target", ["uniform", "reject"])
def test_mixed_with_sources_of_inputs(ood_target):
    """Check the shares of inputs and features in the classifier's step."""
    source = [(Far(), 3), (FeatureOOD(), 1)]
    X_rows, y = X[:200, 20:23], Y[:200]
    clf = fast(ood_source=source, ood_target=ood_target, max_epochs=1).fit(X_rows, y)
    mixture = clf.net_.source_
    assert [mixture.n_inputs(64) for _ in range(5)] == [48] * 5
    assert (clf.sample_ood(7) == 100).all()
    with_graph = torch.randn(10, 4, requires_grad=True)
    assert mixture.sample_features(with_graph, 16).shape == (16, 4)


def test_sample_ood_returns_features():
    """Check that samples are around the features of training rows."""
    clf = fast(ood_source="features", max_epochs=20, device="cpu").fit(X, Y)
    samples = clf.sample_ood(300)
    assert samples.shape == (300, 128) and samples.dtype == np.float32
    np.testing.assert_array_equal(samples, clf.sample_ood(300))
    module = clf.net_.module_
    with torch.no_grad():
        known = module.head(module.features(torch.from_numpy(X)))
        unknown = module.head(torch.from_numpy(samples))
    assert known.softmax(1).amax(1).mean() > unknown.softmax(1).amax(1).mean() + 0.05


def test_a_mixture_of_features_alone():
    """Check that a list whose sources are all in feature space trains and samples."""
    sources = [FeatureOOD(distance=1.0), (FeatureOOD(distance=9.0), 2)]
    clf = fast(ood_source=sources).fit(X, Y)
    assert clf.net_.source_.n_inputs(64) == 0
    assert clf.sample_ood(6).shape == (6, 128)


class Probabilities(nn.Sequential):
    """A classifier that does not end with a linear layer."""

    def __init__(self, input_shape, n_classes):
        super().__init__(nn.Linear(*input_shape, n_classes), nn.LogSoftmax(dim=1))


@pytest.mark.parametrize("source", ["features", ["noise", "features"]])
def test_a_module_without_head_is_refused(source):
    """Check the message for a module whose last layer is not linear."""
    with pytest.raises(ValueError, match=r"Probabilities must end with a torch.nn.Lin"):
        fast(Probabilities, ood_source=source).fit(X, Y)


def test_only_sources_of_features_make_features():
    """Check the message of a source that is asked for what it does not make."""
    with pytest.raises(NotImplementedError, match="does not make features"):
        NoiseOOD().sample_features(torch.zeros(2, 3), 1)
