# SPDX-License-Identifier: BSD-3-Clause
"""A GAN trained together with the classifier: the paper's blue bar."""

from collections.abc import Callable
from contextlib import nullcontext
from numbers import Integral, Real
from typing import Any, Self

import torch
from torch import Tensor, nn

from confident_clf._networks._batch_norm import batch_norms
from confident_clf._networks._build import build_discriminator, build_generator
from confident_clf._networks._network_params import bind_network_params
from confident_clf._networks._trial import (
    check_discriminator,
    check_generator,
    evaluating,
    prefer_channels_last,
)
from confident_clf._training._optim import adam, descend
from confident_clf.losses import (
    discriminator_loss,
    generator_loss,
    prediction_entropy,
    pull_away_term,
)
from confident_clf.sources._source import OODSource
from confident_clf.utils._compute import in_full
from confident_clf.utils._sklearn import Interval, StrOptions
from confident_clf.utils._tensors import as_float, extremes, std_and_mean


class JointGAN(OODSource):
    """Generator of boundary samples, trained jointly with the classifier.

    On every batch the discriminator moves down ``-log D(x) - log(1 - D(G(z)))``, then
    the generator down ``-log D(G(z)) + beta * KL(U || p(. | G(z))) - entropy_weight *
    H(P_G)``: eq. (2) of [1]_. So the samples look like the data, yet the classifier is
    unsure of them: they lie on the low-density boundary.

    In eq. (2) the entropy H(P_G) has weight 1. Here it is off by default, as in the
    reference code and in the later version of the paper, which leave it out.

    Parameters
    ----------
    generator : callable or None, default=None
        ``generator(latent_dim, output_shape)`` returns a network that maps latent
        vectors (n, latent_dim) to samples in standard units. For rows 0 and 1 mean each
        feature's mean and one standard deviation above it; for images, signals and
        volumes the smallest and the largest value of a channel in the training data.
        None means
        :class:`~confident_clf.modules.DCGenerator` of width 32 for images, a
        :class:`~confident_clf.modules.MLPGenerator` for rows.
    discriminator : callable or None, default=None
        ``discriminator(input_shape)`` returns a network that maps samples in the same
        standard units to one logit each. None means
        :class:`~confident_clf.modules.DCDiscriminator` of width 32 for images, a
        :class:`~confident_clf.modules.MLPDiscriminator` for rows.
    latent_dim : int, default=100
        Size of the latent vector z, drawn from N(0, 1).
    lr : float or None, default=None
        Learning rate of Adam, betas (0.5, 0.999), for both networks. None means 2e-4
        for rows and 1e-3 for images and the like: a GAN learns rows so soon that with a
        higher rate its samples cost accuracy.
    entropy_weight : float, default=0.0
        Weight of the generator's entropy H(P_G), 1 in eq. (2), whose estimate is the
        negative pull-away term; needs a discriminator with a method ``features(x)``.
    objective : {"boundary", "confident"}, default="boundary"
        What the generator aims at besides fooling the discriminator. "boundary" means
        samples that the classifier is unsure of, as in [1]_. "confident" means samples
        that it is sure of, as in [2]_: the entropy of its prediction takes the place of
        the KL term. The classifier learns to be unsure of them either way.

    References
    ----------
    .. [1] Lee et al., "Training Confidence-calibrated Classifiers for Detecting
       Out-of-Distribution Samples", ICLR 2018, eq. (2).
    .. [2] K. Sricharan and A. Srivastava, "Building robust classifiers through
       generation of confident out of distribution examples", 2018.

    Examples
    --------
    >>> from confident_clf import ConfidentClassifier
    >>> from confident_clf.sources import JointGAN
    >>> clf = ConfidentClassifier(ood_source=JointGAN(latent_dim=32))
    >>> clf.get_params()["ood_source__latent_dim"]
    32
    """

    _parameter_constraints: dict = {
        "generator": [callable, None],
        "discriminator": [callable, None],
        "latent_dim": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither"), None],
        "entropy_weight": [Interval(Real, 0, None, closed="left")],
        "objective": [StrOptions({"boundary", "confident"})],
    }

    offset_: Tensor
    scale_: Tensor
    divisor_: Tensor
    varies_: Tensor | None
    generator_: Any
    discriminator_: Any

    def __init__(
        self,
        generator: Callable | None = None,
        discriminator: Callable | None = None,
        *,
        latent_dim: int = 100,
        lr: float | None = None,
        entropy_weight: float = 0.0,
        objective: str = "boundary",
    ):
        super().__init__()
        self.generator = generator
        self.discriminator = discriminator
        self.latent_dim = latent_dim
        self.lr = lr
        self.entropy_weight = entropy_weight
        self.objective = objective

    def set_params(self, **params: Any) -> Self:
        """Set parameters, also of a network: ``generator__width`` and the like."""
        return super().set_params(**bind_network_params(self, params))

    def prepare(self, x: Tensor, x_ood: Tensor | None, device: torch.device) -> None:
        """Learn the units of the data; build networks and optimizers, once."""
        super().prepare(x, x_ood, device)
        if hasattr(self, "generator_"):
            return
        offset, scale = _standard_units(x)
        self.register_buffer("offset_", offset.to(device))
        self.register_buffer("scale_", scale.to(device))
        varies = self.scale_ > 0
        self.register_buffer("divisor_", torch.where(varies, self.scale_, 1.0))
        # Constant features are 0 in standard units, also in generated samples.
        self.register_buffer("varies_", None if varies.all() else varies.float())
        shape = tuple(x.shape[1:])
        self._build(shape, device)
        few = as_float(x[:4]).to(device)
        z = few.new_zeros(len(few), self.latent_dim)
        check_generator(self.generator_, z, shape)
        check_discriminator(self.discriminator_, self._standardize(few))
        prefer_channels_last(self.generator_, z)
        prefer_channels_last(self.discriminator_, self._standardize(few))
        self.one_pass_ = not batch_norms(self.discriminator_)
        if self.entropy_weight and not hasattr(self.discriminator_, "features"):
            raise ValueError(
                f"entropy_weight={self.entropy_weight} needs a discriminator with a "
                f"method features(x); {type(self.discriminator_).__name__} has none."
            )
        self._make_optimizers(shape)

    def make_networks(self, input_shape: tuple[int, ...], device: torch.device) -> None:
        """Build generator, discriminator and their optimizers."""
        self._build(input_shape, device)
        self._make_optimizers(input_shape)

    def _build(self, input_shape, device) -> None:
        """Build generator and discriminator."""
        self.generator_ = build_generator(self.generator, self.latent_dim, input_shape)
        self.discriminator_ = build_discriminator(self.discriminator, input_shape)
        self.to(device)

    def _make_optimizers(self, input_shape) -> None:
        """Make the optimizers of both networks."""
        lr = self.lr or (2e-4 if len(input_shape) == 1 else 1e-3)
        self.generator_optimizer_ = _adam(self.generator_, lr)
        self.discriminator_optimizer_ = _adam(self.discriminator_, lr)

    def step(self, x: Tensor, net: Any) -> dict[str, Tensor]:
        """Move the discriminator, then the generator; return their losses."""
        real, fake = self._standardize(x), self._generate(len(x))
        self._last_batch = real, fake.detach()
        return {
            "discriminator_loss": self._step_discriminator(real, fake.detach()),
            "generator_loss": self._step_generator(fake, net),
        }

    def end_epoch(self) -> dict[str, float]:
        """Return the spread of the last samples: how much they differ from each other.

        That is the mean standard deviation of a feature or pixel, in units of the
        standard deviation of the training samples in the batch. It is near 0 if the
        generator makes one sample only.
        """
        last_batch = self.__dict__.pop("_last_batch", None)
        if last_batch is None:  # a pre-trained GAN makes no steps
            return {}
        real, fake = (batch.std(dim=0).mean() for batch in last_batch)
        return {"fake_spread": float(fake / real)}

    def forget_batch(self) -> None:
        """Drop the samples of the last batch."""
        self.__dict__.pop("_last_batch", None)

    def optimizers(self) -> list:
        """Return the optimizers of the discriminator and the generator."""
        return [self.discriminator_optimizer_, self.generator_optimizer_]

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """Return `n` new samples G(z)."""
        return self._to_units(self._generate(n))

    def _step_discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Tell training samples from generated ones: term (c) of eq. (2)."""
        if self.one_pass_:
            judged = self._judge(torch.cat([real, fake])).split(len(real))
        else:  # in BatchNorm the statistics of real and fake must not mix
            judged = self._judge(real), self._judge(fake)
        loss = discriminator_loss(*judged)
        descend(loss, self.discriminator_optimizer_, "discriminator")
        return loss.detach()

    def _step_generator(self, fake: Tensor, net=None) -> Tensor:
        """Fool the discriminator, but keep the classifier unsure: (b) + (c) - H."""
        loss = generator_loss(self._judge(fake))
        if self.entropy_weight:
            features = in_full(self.discriminator_.features(fake))
            loss = loss + self.entropy_weight * pull_away_term(features)
        if net is not None and net.beta > 0:
            loss = loss + net.beta * self._classifier_term(fake, net)
        descend(loss, self.generator_optimizer_, "generator")
        return loss.detach()

    def _classifier_term(self, fake: Tensor, net) -> Tensor:
        """Return the loss of the samples that the classifier judges."""
        # Dropout stays on, as in the reference code. But in training mode BatchNorm
        # would count the fakes in its statistics.
        has_batch_norm = bool(batch_norms(net.module_))
        with evaluating(net.module_) if has_batch_norm else nullcontext():
            logits = in_full(net.module_(self._to_units(fake)))
        if self.objective == "boundary":
            return net.ood_loss(logits)
        n_classes = logits.shape[1] - (net.ood_target == "reject")
        return prediction_entropy(logits[:, :n_classes])

    def _generate(self, n: int) -> Tensor:
        """Return `n` samples G(z) in standard units, with their graph."""
        z = torch.randn(n, self.latent_dim, device=self.scale_.device)
        fake = in_full(self.generator_(z))
        return fake if self.varies_ is None else fake * self.varies_

    def _judge(self, x: Tensor) -> Tensor:
        """Return the discriminator's logits of samples in standard units."""
        return in_full(self.discriminator_(x))

    def _to_units(self, fake: Tensor) -> Tensor:
        """Map samples from standard units to the units of the data."""
        return torch.addcmul(self.offset_, self.scale_, fake)

    def _standardize(self, x: Tensor) -> Tensor:
        """Map samples from the units of the data to standard units."""
        return (x - self.offset_) / self.divisor_


def _standard_units(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return offset and scale: x = offset + scale * (samples in standard units).

    For rows they are mean and standard deviation of each feature; for images, signals
    and volumes minimum and range of each channel. A constant feature has scale 0, and
    is constant in the samples too.
    """
    if x.ndim > 2:
        rest = (0, *range(2, x.ndim))
        offset, high = (as_float(extreme[0]) for extreme in extremes(x, rest))
        # (channels, 1, ...)
        return offset, high - offset
    scale, offset = std_and_mean(x)
    return offset, scale


def _adam(network: nn.Module, lr: float) -> torch.optim.Optimizer:
    """Return the optimizer of DCGAN."""
    return adam(list(network.parameters()), lr=lr, betas=(0.5, 0.999))
