# SPDX-License-Identifier: BSD-3-Clause
"""A GAN trained before the classifier, without the KL term: the paper's orange bar."""

from collections.abc import Callable
from numbers import Integral
from typing import Any, Self

import torch
from torch import Tensor

from confident_clf._training._batches import EpochMeans, ShuffledBatches, resident
from confident_clf._training._collapse import warn_of_collapse
from confident_clf._training._divergence import located
from confident_clf._training._ranks import ranks_together
from confident_clf._training._schedules import (
    SCHEDULES,
    ScheduledRates,
    resolve_schedule,
)
from confident_clf.sources._joint_gan import JointGAN
from confident_clf.utils._progress import progress_bar
from confident_clf.utils._sklearn import Interval, StrOptions
from confident_clf.utils._tensors import as_float


class OriginalGAN(JointGAN):
    """The original GAN [2]_: trained first, on the data alone, then frozen.

    The discriminator goes down ``-log D(x) - log(1 - D(G(z)))``, the generator down
    ``-log D(G(z))``: eq. (2) of [1]_ without the KL term. The samples imitate the data.
    Where they fail to, they can serve as boundary samples: [1]_ finds them useful
    "often (but not always)".

    Parameters
    ----------
    generator : callable or None, default=None
        As in :class:`JointGAN`.
    discriminator : callable or None, default=None
        As in :class:`JointGAN`.
    latent_dim : int, default=100
        Size of the latent vector z, drawn from N(0, 1).
    lr : float or None, default=None
        Learning rate of both networks, as in :class:`JointGAN`.
    entropy_weight : float, default=0.0
        Weight of the generator's entropy, as in :class:`JointGAN`.
    max_epochs : int, default=50
        Passes over the training data.
    batch_size : int, default=64
        Training samples in a batch, at least 2.
    lr_schedule : {"one_cycle", "step"}, callable or None, default="one_cycle"
        How the learning rates of both networks change over these epochs, as in
        :class:`~confident_clf.ConfidentClassifier`. None keeps them constant.

    References
    ----------
    .. [1] Lee et al., "Training Confidence-calibrated Classifiers for Detecting
       Out-of-Distribution Samples", ICLR 2018, section 3.
    .. [2] I. Goodfellow et al., "Generative adversarial nets", NIPS 2014.

    Examples
    --------
    >>> from confident_clf import ConfidentClassifier
    >>> from confident_clf.sources import OriginalGAN
    >>> clf = ConfidentClassifier(ood_source=OriginalGAN(max_epochs=10))
    """

    _parameter_constraints: dict = {
        **JointGAN._parameter_constraints,
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "lr_schedule": [StrOptions(set(SCHEDULES)), callable, None],
    }

    def __init__(
        self,
        generator: Callable | None = None,
        discriminator: Callable | None = None,
        *,
        latent_dim: int = 100,
        lr: float | None = None,
        entropy_weight: float = 0.0,
        max_epochs: int = 50,
        batch_size: int = 64,
        lr_schedule: str | Callable | None = "one_cycle",
    ):
        super().__init__(
            generator,
            discriminator,
            latent_dim=latent_dim,
            lr=lr,
            entropy_weight=entropy_weight,
        )
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr_schedule = lr_schedule

    def prepare(self, x: Tensor, x_ood: Tensor | None, device: torch.device) -> None:
        """Train both networks, then freeze them; keep the losses in `history_`."""
        is_trained = hasattr(self, "history_")
        super().prepare(x, x_ood, device)
        if is_trained:
            return
        schedule = resolve_schedule(self.lr_schedule)
        self.history_: list[dict] = []
        ranks_together().start_alike(device, self)
        batches = ShuffledBatches(resident((x,), device), self.batch_size)
        n_steps = self.max_epochs * len(batches)
        rates = ScheduledRates(schedule, super().optimizers(), n_steps)
        with progress_bar("original GAN, epoch", 0, self.max_epochs) as advance:
            for epoch in range(self.max_epochs):
                self._train_epoch(epoch, batches, rates, device)
                advance(self.history_[-1])
        rates.restore()
        warn_of_collapse(self.history_)
        self.requires_grad_(False).eval()

    def _train_epoch(self, epoch, batches, rates, device) -> None:
        """Move both networks on every batch; append the losses to `history_`."""
        losses = EpochMeans()
        with located(epoch + 1, super().optimizers()) as position:
            for position.batch, (batch,) in enumerate(batches, start=1):
                rates.set_next()
                real = self._standardize(as_float(batch.to(device)))
                losses.add(self._step_both(real), len(real))
        self.history_.append(losses.means() | self.end_epoch())

    def rebuild(self, x: Tensor, x_ood: Tensor | None, device: torch.device) -> None:
        """Build the networks, frozen, without training them."""
        super().prepare(x, x_ood, device)
        self.requires_grad_(False).eval()

    def _step_both(self, real: Tensor) -> dict[str, Tensor]:
        """Move discriminator and generator on samples in standard units."""
        fake = self._generate(len(real))
        self._last_batch = real, fake.detach()
        return {
            "discriminator_loss": self._step_discriminator(real, fake.detach()),
            "generator_loss": self._step_generator(fake),
        }

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode once frozen: BatchNorm must not learn from fakes."""
        frozen = any(not p.requires_grad for p in self.parameters())
        return super().train(mode and not frozen)

    def step(self, x: Tensor, net: Any) -> dict[str, Tensor]:
        """Do nothing: the networks are frozen."""
        return {}

    def optimizers(self) -> list:
        """Return no optimizer: the networks are frozen."""
        return []
