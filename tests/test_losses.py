# SPDX-License-Identifier: BSD-3-Clause
"""Check the losses against closed forms, other libraries and finite differences."""

import math

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from scipy.stats import entropy
from torch.nn import functional as F

from confident_clf.losses import (
    confidence_loss,
    discriminator_loss,
    generator_loss,
    kl_to_uniform,
    pull_away_term,
    reject_loss,
)


@pytest.fixture
def logits():
    generator = torch.Generator().manual_seed(0)
    return 3 * torch.randn(5, 4, dtype=torch.float64, generator=generator)


def test_kl_is_the_divergence_from_uniform(logits):
    """Check that the KL term equals scipy's relative entropy KL(U || p)."""
    p = np.exp(log_softmax(logits.numpy(), axis=1))
    expected = entropy(np.full((5, 4), 0.25), p, axis=1).mean()
    assert kl_to_uniform(logits).item() == pytest.approx(expected, rel=1e-12)


def test_kl_of_two_classes_has_a_closed_form():
    """Check that for p = (1 / (1 + e^a), ...) KL is log cosh(a / 2)."""
    a = 3.0
    value = kl_to_uniform(torch.tensor([[0.0, a]], dtype=torch.float64))
    assert value.item() == pytest.approx(math.log(math.cosh(a / 2)), rel=1e-12)


@pytest.mark.parametrize("n_classes", [2, 3, 10, 1000])
def test_kl_vanishes_exactly_for_uniform_logits(n_classes):
    """Check that equal logits give zero, up to rounding, for any number of classes."""
    assert kl_to_uniform(torch.full((3, n_classes), 7.0)).item() == pytest.approx(
        0, abs=2e-6
    )
    zeros = torch.zeros(3, n_classes, dtype=torch.float64)
    assert kl_to_uniform(zeros).item() == pytest.approx(0, abs=1e-15)


def test_kl_ignores_a_common_constant(logits):
    """Check that adding a constant to all logits of a row changes nothing."""
    shifted = logits + torch.arange(5, dtype=torch.float64)[:, None]
    torch.testing.assert_close(kl_to_uniform(shifted), kl_to_uniform(logits))


def test_kl_gradient_is_that_of_finite_differences(logits):
    """Check the gradient against finite differences and its closed form."""
    logits.requires_grad_()
    assert torch.autograd.gradcheck(kl_to_uniform, logits)
    (gradient,) = torch.autograd.grad(kl_to_uniform(logits), logits)
    # d KL / d f_k = p_k - 1/K, over the batch of 5.
    torch.testing.assert_close(gradient, (logits.softmax(dim=1) - 0.25) / 5)


def test_confidence_loss_is_eq_1(logits):
    """Check cross entropy plus beta times KL against NumPy."""
    y = torch.tensor([0, 1, 2, 3, 0])
    loss, ce, kl = confidence_loss(logits, y, logits.flip(0), beta=0.3)
    log_p = log_softmax(logits.numpy(), axis=1)
    expected_ce = -log_p[np.arange(5), y.numpy()].mean()
    expected_kl = (-math.log(4) - log_p.mean(axis=1)).mean()
    assert ce.item() == pytest.approx(expected_ce, rel=1e-12)
    assert kl.item() == pytest.approx(expected_kl, rel=1e-12)
    assert loss.item() == pytest.approx(expected_ce + 0.3 * expected_kl, rel=1e-12)


def test_gan_losses_are_binary_cross_entropies():
    """Check the GAN losses against torch's binary cross entropy with logits."""
    real, fake = torch.tensor([[2.0], [-30.0]]), torch.tensor([[0.5], [40.0]])
    bce = F.binary_cross_entropy_with_logits
    torch.testing.assert_close(
        discriminator_loss(real, fake),
        bce(real, torch.ones(2, 1)) + bce(fake, torch.zeros(2, 1)),
    )
    torch.testing.assert_close(generator_loss(fake), bce(fake, torch.ones(2, 1)))


def test_pull_away_term_by_hand():
    """Check the mean squared cosine over all pairs of different rows."""
    features = torch.tensor([[1.0, 0.0], [2.0, 2.0], [0.0, 5.0]])
    # Squared cosines: 1/2 between neighbours at 45 degrees, 0 at 90.
    assert pull_away_term(features).item() == pytest.approx((0.5 + 0 + 0.5) / 3)
    assert pull_away_term(torch.ones(4, 3)).item() == pytest.approx(1.0)


def test_reject_loss_is_the_cross_entropy_of_the_last_class(logits):
    """Check the loss, alone and within eq. (1), against torch's cross entropy."""
    last = torch.full((5,), 3)
    expected = F.cross_entropy(logits, last)
    torch.testing.assert_close(reject_loss(logits), expected)
    y = torch.tensor([0, 1, 2, 0, 1])
    loss, _, ood = confidence_loss(logits, y, logits, 0.5, reject_loss)
    torch.testing.assert_close(ood, expected)
    torch.testing.assert_close(loss, F.cross_entropy(logits, y) + 0.5 * expected)
