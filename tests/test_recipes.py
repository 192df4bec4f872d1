# SPDX-License-Identifier: BSD-3-Clause
"""Test the paper's settings: by value, and by steps against the paper's equations."""

import sys
from copy import deepcopy
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from confident_clf import ConfidentClassifier, recipes
from confident_clf._training._fit import prepare_source
from confident_clf._training._make_net import make_net
from confident_clf.modules import VGG, DCDiscriminator, DCGenerator
from confident_clf.sources._regime import make_regime

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
import loops

CPU = torch.device("cpu")
RECIPES = {"CIFAR-10": recipes.cifar10, "SVHN": recipes.svhn}
# From the reference code's scripts, by data set.
# The two differ in numbers only, so one of them is a slow test.
DATA = ["CIFAR-10", pytest.param("SVHN", marks=pytest.mark.slow)]
BETA = {"CIFAR-10": 0.1, "SVHN": 1.0}
N = 6


@pytest.fixture(autouse=True)
def double():
    """Compute in float64."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def images():
    """Return a batch of images in [0, 1], with labels, and unknown images."""
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.random((N, 3, 32, 32)))
    # So that the standard units of the GAN are the pixels' own, as for real images.
    x[0, :, 0, 0], x[1, :, 0, 0] = 0.0, 1.0
    return x, torch.arange(N) % 10, torch.from_numpy(rng.random((9, 3, 32, 32)))


def net_of(recipe, x):
    """Return the untrained net of a recipe, in float64."""
    clf = ConfidentClassifier(**recipe, device="cpu")
    clf.input_shape_, clf.classes_ = (3, 32, 32), np.arange(10)
    net = make_net(clf, x.numpy(), make_regime(clf, clf.input_shape_), CPU)
    net._set_training(True)
    return net


class Textbook:
    """The networks and the steps of the paper, with torch's own losses."""

    def __init__(self, C, G=None, D=None, beta=None):
        self.C, self.G, self.D, self.beta = C, G, D, beta
        self.adam_c = torch.optim.Adam(C.parameters(), lr=2e-4)
        if G is not None:
            self.adam_g = torch.optim.Adam(G.parameters(), 2e-4, betas=(0.5, 0.999))
            self.adam_d = torch.optim.Adam(D.parameters(), 2e-4, betas=(0.5, 0.999))

    def kl(self, logits):
        """Return the mean of KL(U || p) = sum_k (1 / K) log((1 / K) / p_k)."""
        p = logits.softmax(dim=1)
        return (0.1 * (0.1 / p).log()).sum(dim=1).mean()

    def step_discriminator(self, x, fake):
        """Go up log D(x) + log(1 - D(G(z))): term (c) of eq. (2)."""
        real, fake = self.D(x).sigmoid(), self.D(fake.detach()).sigmoid()
        self.adam_d.zero_grad()
        (-real.log().mean() - (1 - fake).log().mean()).backward()
        self.adam_d.step()

    def step_generator(self, fake, with_classifier=True):
        """Go down -log D(G(z)) + beta KL(U || P(y | G(z)))."""
        loss = -self.D(fake).sigmoid().log().mean()
        if with_classifier:
            loss = loss + self.beta * self.kl(self.C(fake))
        self.adam_g.zero_grad()
        loss.backward()
        self.adam_g.step()

    def step_classifier(self, x, y, x_ood=None):
        """Go down eq. (1), in one pass, so that dropout draws the masks of ours."""
        both = x if x_ood is None else torch.cat([x, x_ood])
        logits = self.C(both)
        loss = F.nll_loss(F.log_softmax(logits[:N], dim=1), y)
        if x_ood is not None:
            loss = loss + self.beta * self.kl(logits[N:])
        self.adam_c.zero_grad()
        loss.backward()
        self.adam_c.step()


def assert_same(ours, textbook, x):
    """Assert that two networks have the same weights after a step.

    Adam divides by the root of the squared gradient, so an error of 1e-16 in a gradient
    of 1e-12 is an error of 1e-4 of the step of 2e-4.
    """
    for a, b in zip(ours.parameters(), textbook.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-9)
        assert (a - b).abs().median() < 1e-14
    ours, textbook = (deepcopy(network).eval() for network in (ours, textbook))
    torch.testing.assert_close(ours(x), textbook(x), rtol=0, atol=1e-9)


@pytest.mark.parametrize("data", DATA)
def test_cross_entropy(data, images):
    """Check a step without OOD samples."""
    x, y, _ = images
    net = net_of(RECIPES[data](None), x)
    book = Textbook(deepcopy(net.module_))
    for step in (lambda: net.train_step((x, y)), lambda: book.step_classifier(x, y)):
        torch.manual_seed(1)
        step()
    assert_same(net.module_, book.C, x)


@pytest.mark.parametrize("data", DATA)
def test_explicit(data, images):
    """Check a step with given OOD samples, drawn with replacement."""
    x, y, x_ood = images
    net = net_of(RECIPES[data]("explicit"), x)
    prepare_source(net, x, x_ood)
    book = Textbook(deepcopy(net.module_), beta=BETA[data])
    torch.manual_seed(1)
    net.train_step((x, y))
    torch.manual_seed(1)
    book.step_classifier(x, y, x_ood[torch.randint(9, (N,))])
    assert_same(net.module_, book.C, x)


@pytest.mark.parametrize("data", DATA)
def test_joint(data, images):
    """Check a step of all three players, in the order D, G, classifier."""
    x, y, _ = images
    net = net_of(RECIPES[data]("joint"), x)
    prepare_source(net, x, None)
    source = net.source_
    networks = (net.module_, source.generator_, source.discriminator_)
    book = Textbook(*map(deepcopy, networks), beta=BETA[data])
    torch.manual_seed(1)
    net.train_step((x, y))
    torch.manual_seed(1)
    fake = book.G(torch.randn(N, 100))
    book.step_discriminator(x, fake)
    book.step_generator(fake)
    book.step_classifier(x, y, book.G(torch.randn(N, 100)).detach())
    for ours, theirs in zip(networks, (book.C, book.G, book.D), strict=True):
        assert_same(ours, theirs, torch.randn(3, 100) if theirs is book.G else x)


# Its discriminator soon knows six images by heart.
@pytest.mark.filterwarnings("ignore:The GAN did not converge")
@pytest.mark.parametrize("data", DATA)
def test_original_gan(data, images):
    """Check the GAN's own training, then a step of the classifier on its samples."""
    x, y, _ = images
    net = net_of(RECIPES[data]("gan") | {"max_epochs": 5}, x)
    torch.manual_seed(1)
    prepare_source(net, x, None)
    torch.manual_seed(1)
    G, D = DCGenerator(100, (3, 32, 32)), DCDiscriminator((3, 32, 32))
    book = Textbook(deepcopy(net.module_), G, D, beta=BETA[data])
    for epoch in range(1, 6):
        rows = x[torch.randperm(N)]
        fake = G(torch.randn(N, 100))
        book.step_discriminator(rows, fake)
        book.step_generator(fake, with_classifier=False)
        if epoch == 3:  # 60 of 100 epochs in the reference code
            for adam in (book.adam_g, book.adam_d):
                adam.param_groups[0]["lr"] *= 0.1
    G.eval()
    source = net.source_
    assert_same(source.generator_, G, torch.randn(3, 100))
    assert_same(source.discriminator_, D.eval(), x)
    torch.manual_seed(2)
    net.train_step((x, y))
    torch.manual_seed(2)
    book.step_classifier(x, y, G(torch.randn(N, 100)).detach())
    assert_same(net.module_, book.C, x)


def test_the_textbook_of_the_benchmarks(images):
    """Check that the loop that the library is timed against makes the same step."""
    x, y, _ = images
    recipe = recipes.cifar10() | {"module": partial(VGG, dropout=0.0)}
    net = net_of(recipe, x)
    prepare_source(net, x, None)
    source = net.source_
    networks = (net.module_, source.generator_, source.discriminator_)
    copies = map(deepcopy, networks)
    book = loops.Textbook(*copies, beta=0.1, latent_dim=100, device="cpu")
    torch.manual_seed(1)
    net.train_step((x, y))
    torch.manual_seed(1)
    book.step(x, y)
    assert_same(net.module_, book.C, x)
    assert_same(source.generator_, book.G, torch.randn(3, 100))
    assert_same(source.discriminator_, book.D, x)
    assert all(part.training for part in (*book.C.modules(), *book.G.modules()))


@pytest.mark.parametrize("regime", [None, "explicit", "gan", "joint", "noise"])
def test_values_of_the_reference_code(regime):
    """Check the parameters against those of the reference code's scripts."""
    for data, recipe in RECIPES.items():
        params = recipe(regime)
        clf = ConfidentClassifier(**params)
        assert clf.ood_source == regime
        assert clf.beta == BETA[data]
        joint = {"CIFAR-10": 64, "SVHN": 128}[data]
        assert clf.batch_size == (128 if regime is None else joint)
        assert (clf.lr, clf.gan_lr, clf.max_epochs) == (2e-4, 2e-4, 100)
        assert (clf.latent_dim, clf.weight_decay, clf.augment) == (100, 0, None)
        assert (clf.precision, clf.method) == ("float32", "msp")
        assert (clf.lr_schedule, clf.ood_target) == ("step", "uniform")
        assert (clf.module, clf.generator) == (VGG, DCGenerator)
        assert clf.discriminator is DCDiscriminator


def test_a_recipe_can_be_changed():
    """Check that a change of what was returned does not change the next call."""
    recipes.cifar10().update(beta=3, module=nn.Linear)
    assert recipes.cifar10()["beta"] == 0.1
    assert recipes.cifar10() == recipes.cifar10("joint")
    assert recipes.svhn() == recipes.svhn("joint")


def test_a_recipe_fits_uint8_images():
    """Check a fit of two epochs on images as they come, and what it samples."""
    torch.set_default_dtype(torch.float32)
    X = np.random.default_rng(0).integers(0, 256, (8, 3, 32, 32), np.uint8)
    clf = ConfidentClassifier(
        **recipes.cifar10() | {"max_epochs": 2}, device="cpu", random_state=0
    ).fit(X, np.arange(8) % 2)
    assert clf.sample_ood(2).dtype == np.uint8
    # At the first steps all probabilities are near one half.
    np.testing.assert_allclose(clf.predict_proba(X), 0.5, atol=0.05)
