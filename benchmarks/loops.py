# SPDX-License-Identifier: BSD-3-Clause
"""Epochs to time: a textbook loop, and the library."""

from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from confident_clf import ConfidentClassifier
from confident_clf._training._fit import train
from confident_clf.modules import DCDiscriminator, DCGenerator
from confident_clf.sources import JointGAN
from confident_clf.utils._guard import pinned


class Textbook:
    """The paper's alternating algorithm in its plainest form.

    As in the reference code, real and generated images take separate passes, and
    dropout is on in all of them. Equal to a step of the library if there is no dropout,
    whose masks depend on the passes.
    """

    def __init__(self, classifier, generator, discriminator, beta, latent_dim, device):
        self.C, self.G, self.D = (
            network.to(device) for network in (classifier, generator, discriminator)
        )
        self.opt_c = torch.optim.Adam(self.C.parameters(), lr=2e-4)
        self.opt_g = torch.optim.Adam(self.G.parameters(), 2e-4, betas=(0.5, 0.999))
        self.opt_d = torch.optim.Adam(self.D.parameters(), 2e-4, betas=(0.5, 0.999))
        self.beta, self.latent_dim, self.device = beta, latent_dim, device

    def step(self, x: Tensor, y: Tensor) -> None:
        """Update discriminator, generator and classifier on one batch."""
        z = torch.randn(len(x), self.latent_dim, device=self.device)
        one = torch.ones(len(x), 1, device=self.device)
        bce = F.binary_cross_entropy_with_logits

        fake = self.G(z)
        self.opt_d.zero_grad()
        (bce(self.D(x), one) + bce(self.D(fake.detach()), 0 * one)).backward()
        self.opt_d.step()

        self.opt_g.zero_grad()
        loss = bce(self.D(fake), one) + self.beta * self.kl(self.C(fake))
        loss.backward()
        self.opt_g.step()

        fake = self.G(torch.randn_like(z))
        self.opt_c.zero_grad()
        loss = F.cross_entropy(self.C(x), y) + self.beta * self.kl(
            self.C(fake.detach())
        )
        loss.backward()
        self.opt_c.step()

    def step_cross_entropy(self, x: Tensor, y: Tensor) -> None:
        """Update the classifier alone."""
        self.opt_c.zero_grad()
        F.cross_entropy(self.C(x), y).backward()
        self.opt_c.step()

    @staticmethod
    def kl(logits: Tensor) -> Tensor:
        """Return KL(uniform || softmax(logits)), mean over the batch."""
        k = logits.shape[1]
        uniform = torch.full_like(logits, 1 / k)
        return F.kl_div(F.log_softmax(logits, dim=1), uniform, reduction="batchmean")


def textbook(module, shape, n_classes, width, device):
    """Return a textbook loop with the same networks as the library."""
    return Textbook(
        module(shape, n_classes),
        DCGenerator(100, shape, width=width),
        DCDiscriminator(shape, width=width),
        beta=0.1,
        latent_dim=100,
        device=device,
    )


def dcgan(width):
    """Return a function that makes a `JointGAN` with a DCGAN of this width."""
    return partial(
        JointGAN,
        partial(DCGenerator, width=width),
        partial(DCDiscriminator, width=width),
    )


def epoch_of(X, y, **params):
    """Return a function that trains a classifier for one more epoch."""
    clf = ConfidentClassifier(**params, method="msp", random_state=0, lr_schedule=None)
    clf.partial_fit(X[:8], y[:8], classes=np.unique(y))
    # Not `partial_fit`, which would add its checks of the data to each epoch.
    x, labels = torch.from_numpy(X), torch.from_numpy(y)
    return partial(pinned(train), clf.net_, x, labels, None, epochs=1)


def images(shape, n, seed=0):
    """Return random uint8 images, (n, *shape), and labels of ten classes."""
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 256, (n, *shape), dtype=np.uint8)
    return X, np.arange(n) % 10


def plain_epoch(step, X, y, batch_size, device):
    """Return a function that calls a step of the textbook loop on every batch."""
    x = torch.from_numpy(X).to(device)
    labels = torch.from_numpy(y).to(device)

    def epoch():
        for index in torch.randperm(len(x)).split(batch_size):
            rows = x[index].float() / 255 if x.dtype == torch.uint8 else x[index]
            step(rows, labels[index])

    return epoch
