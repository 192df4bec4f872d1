# SPDX-License-Identifier: BSD-3-Clause
"""Data that are extreme, but valid, train with every source."""

from functools import partial

import numpy as np
import pytest
from sklearn.datasets import make_blobs

from confident_clf import ConfidentClassifier
from confident_clf.modules import MLP, MLPDiscriminator, MLPGenerator

X, Y = make_blobs(200, centers=[[4, 0], [-2, 3.5], [-2, -3.5]], random_state=0)
rng = np.random.default_rng(0)
CENTERS = 3 * rng.normal(size=(1000, 32))
ZEROS, SEVENS = np.zeros((200, 3)), np.full((200, 2), 7.0)
# Data, and how many epochs they take to be learnt.
LEARNABLE = {
    "features in millions": (1e6 * X, Y, 10),
    "constant columns": (np.c_[X, ZEROS, SEVENS], Y, 10),
    "a class each": (np.array([[0.0, 1.0], [1.0, 0.0]]), [0, 1], 30),
    "two samples a class": (np.repeat(np.eye(5), 2, axis=0), np.arange(10) // 2, 30),
    "1,000 classes": (
        np.repeat(CENTERS, 2, axis=0) + 0.1 * rng.normal(size=(2000, 32)),
        np.arange(2000) // 2,
        10,
    ),
}
SOURCES = ["joint", "gan", "noise", "features", None]
fast = partial(ConfidentClassifier, lr=0.01, random_state=0)


# Features in millions are what the first warning is for, and in 30 steps no generator
# gets far. The classifier learns all the same.
@pytest.mark.filterwarnings("ignore:The features are not scaled")
@pytest.mark.filterwarnings("ignore:The GAN did not converge")
@pytest.mark.parametrize("ood_source", SOURCES)
@pytest.mark.parametrize("name", LEARNABLE)
def test_it_learns(name, ood_source):
    """Check the accuracy, where a random one is 1/2 at most, and probabilities."""
    samples, labels, max_epochs = LEARNABLE[name]
    clf = fast(ood_source=ood_source, max_epochs=max_epochs).fit(samples, labels)
    assert clf.score(samples, labels) > 0.9
    probabilities = clf.predict_proba(samples)
    assert np.isfinite(probabilities).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)


@pytest.mark.parametrize("ood_source", SOURCES)
def test_nothing_to_learn(ood_source):
    """Check samples that are all the same: nothing is NaN, and no class is likelier."""
    samples, labels = np.ones((20, 3)), np.arange(20) % 2
    clf = fast(ood_source=ood_source, max_epochs=10).fit(samples, labels)
    np.testing.assert_allclose(clf.predict_proba(samples), 0.5, atol=0.1)
    if clf.net_.source is not None and clf.net_.source.makes_inputs:
        np.testing.assert_allclose(clf.sample_ood(5), 1, atol=1e-5)


@pytest.mark.parametrize("ood_source", SOURCES)
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 2), (1, 1, 9), (1, 8, 8)])
def test_tiny_images(shape, ood_source):
    """Check images down to a pixel, with networks of the user's that take them."""
    images = np.random.default_rng(0).random((40, *shape))
    labels = (images.mean(axis=(1, 2, 3)) > 0.5).astype(int)
    clf = fast(
        MLP,
        ood_source=ood_source,
        generator=MLPGenerator,
        discriminator=MLPDiscriminator,
        max_epochs=30,
    ).fit(images, labels)
    assert clf.score(images, labels) > 0.75
    if clf.net_.source is not None and clf.net_.source.makes_inputs:
        assert clf.sample_ood(20).shape == (20, *shape)
