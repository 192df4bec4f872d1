# SPDX-License-Identifier: BSD-3-Clause
"""Tests of mixtures and of the names of sources."""

import numpy as np
import pytest
import torch
from sklearn.base import clone

from confident_clf import ConfidentClassifier
from confident_clf.sources import JointGAN, MixtureOOD, NoiseOOD, OODSource

CPU = torch.device("cpu")
rng = np.random.default_rng(0)
X, Y = rng.normal(size=(40, 3)), np.arange(40) % 2


class Constant(OODSource):
    """Always the same sample."""

    def __init__(self, value=0.0):
        super().__init__()
        self.value = value

    def sample(self, n):
        return torch.full((n, 3), self.value)


def test_shares_are_exact_in_the_long_run():
    """Check the counts of each source over many small batches."""
    source = MixtureOOD([Constant(0.0), Constant(1.0), Constant(2.0)], shares=[5, 3, 2])
    source.prepare(torch.rand(4, 3), None, CPU)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        values = torch.cat([source.sample(3)[:, 0] for _ in range(4000)])
        assert all(len(source.sample(n)) == n for n in range(1, 9))
    shares = values.long().bincount() / len(values)
    torch.testing.assert_close(shares, torch.tensor([0.5, 0.3, 0.2]), atol=0.02, rtol=0)


def test_a_mixture_within_a_mixture():
    """Check that its sources take part with the product of the shares."""
    inner = MixtureOOD([Constant(0.0), Constant(1.0)], shares=[1, 3])
    source = MixtureOOD([inner, Constant(2.0)], shares=[4, 1])
    source.prepare(torch.rand(4, 3), None, CPU)
    assert source.shares_ == pytest.approx((0.2, 0.6, 0.2))
    counts = source.sample(100)[:, 0].long().bincount()
    torch.testing.assert_close(counts, torch.tensor([20, 60, 20]), atol=1, rtol=0)


def test_a_list_names_a_mixture():
    """Check equal shares of a list, shares of pairs, and joint training in it."""
    clf = ConfidentClassifier(
        ood_source=["joint", ("noise", 3)], max_epochs=2, random_state=0
    ).fit(X, Y)
    gan, noise = clf.net_.source_.sources_
    assert isinstance(gan, JointGAN) and isinstance(noise, NoiseOOD)
    assert clf.net_.source_.shares_ == (0.25, 0.75)
    assert {"generator_loss", "discriminator_loss", "kl"} <= set(clf.history_[-1])
    assert clf.sample_ood(5).shape == (5, 3)
    assert clone(clf).ood_source == ["joint", ("noise", 3)]


def test_two_sources_with_the_same_losses():
    """Check that the second of two GANs has losses of its own name."""
    clf = ConfidentClassifier(
        ood_source=["joint", JointGAN(latent_dim=2)], max_epochs=1, random_state=0
    ).fit(X, Y)
    assert {"generator_loss", "generator_loss_1"} <= set(clf.history_[-1])


def test_explicit_in_a_list_needs_rows():
    """Check that a mixture passes the user's rows on, and asks for them."""
    clf = ConfidentClassifier(ood_source=["noise", "explicit"], max_epochs=1)
    with pytest.raises(ValueError, match="needs out-of-distribution rows"):
        clf.fit(X, Y)
    clf.fit(X, Y, X_ood=X + 100)
    assert (clf.sample_ood(40)[:, 0] > 90).sum() == pytest.approx(20, abs=1)


@pytest.mark.parametrize(
    ("ood_source", "message"),
    [
        ([], r"ood_source=\[\] is not a source"),
        (["joint", "nosie"], "ood_source='nosie' is not a source. Use one of"),
        (["joint", None], "a list that holds None"),
        ([("joint", 0), "noise"], "must be positive numbers"),
        (MixtureOOD([NoiseOOD()], shares=[1, 2]), "one for each of the 1 sources"),
    ],
)
def test_bad_lists(ood_source, message):
    """Check the message for lists that are no mixtures."""
    with pytest.raises(ValueError, match=message):
        ConfidentClassifier(ood_source=ood_source).fit(X, Y)
