# SPDX-License-Identifier: BSD-3-Clause
"""A GAN trained together with the classifier: the paper's blue bar."""

from numbers import Integral, Real

import torch
from torch import Tensor, nn

from confident_clf.losses import (
    discriminator_loss,
    generator_loss,
    prediction_entropy,
    pull_away_term,
)
from confident_clf.modules._batch_norm import batch_norms
from confident_clf.modules._build import build_discriminator, build_generator
from confident_clf.modules._checks import check_discriminator, check_generator
from confident_clf.modules._trial import evaluating, prefer_channels_last
from confident_clf.sources._base import OODSource
from confident_clf.utils._optim import adam, descend
from confident_clf.utils._precision import in_full
from confident_clf.utils._sklearn import Interval, StrOptions
from confident_clf.utils._tensors import as_float


class JointGAN(OODSource):
    """Generator of boundary samples, trained jointly with the classifier.

    On every batch the discriminator moves down ``-log D(x) - log(1 - D(G(z)))``, then
    the generator down ``-log D(G(z)) + beta * KL(U || p(. | G(z))) - entropy_weight *
    H(P_G)``: eq. (2) of [1]_. So the samples look like the data, yet the classifier is
    not sure of them: they lie on the low-density boundary.

    Parameters
    ----------
    generator : callable or None, default=None
        ``generator(latent_dim, output_shape)`` returns a network that maps latent
        vectors (n, latent_dim) to samples in standard units: for images 0 and 1 stand
        for the least and the greatest value in the training data, for rows 0 and 1 for
        each feature's mean and one standard deviation above it. None takes a
        :class:`~confident_clf.modules.DCGenerator` of width 32 for images, a
        :class:`~confident_clf.modules.MLPGenerator` for rows.
    discriminator : callable or None, default=None
        ``discriminator(input_shape)`` returns a network that maps samples in the same
        standard units to one logit each. None takes a
        :class:`~confident_clf.modules.DCDiscriminator` of width 32 for images, a
        :class:`~confident_clf.modules.MLPDiscriminator` for rows.
    latent_dim : int, default=100
        Size of the latent vector z, drawn from N(0, 1).
    lr : float or None, default=None
        Learning rate of Adam, betas (0.5, 0.999), for both networks. None: 1e-3 for
        images, 2e-4 for rows, which a GAN learns so soon that its samples would cost
        accuracy.
    entropy_weight : float, default=0.0
        Weight of the generator's entropy, whose estimate is the negative pull-away
        term; needs a discriminator with a method ``features(x)``.
    objective : {"boundary", "confident"}, default="boundary"
        What the generator aims at beside the discriminator. "boundary": samples that
        the classifier takes for out-of-distribution, as in [1]_. "confident": samples
        that it is sure of, as in [2]_, by the entropy of the prediction. The classifier
        learns to be unsure of them either way.
    share_samples : bool, default=False
        Whether generator and classifier share one batch of samples, and one pass of the
        classifier over it: both go down the same KL term, so one gradient serves both.
        Faster, the more so the larger the classifier; the generator then sees the
        classifier before its step on the batch, and with dropout, if it has any. For
        the objective "boundary".

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
        "share_samples": ["boolean"],
    }

    def __init__(
        self,
        generator=None,
        discriminator=None,
        *,
        latent_dim=100,
        lr=None,
        entropy_weight=0.0,
        objective="boundary",
        share_samples=False,
    ):
        super().__init__()
        self.generator = generator
        self.discriminator = discriminator
        self.latent_dim = latent_dim
        self.lr = lr
        self.entropy_weight = entropy_weight
        self.objective = objective
        self.share_samples = share_samples

    def prepare(self, x: Tensor, x_ood: Tensor | None, device) -> None:
        """Learn the units of the data; make networks and optimizers, once."""
        if hasattr(self, "generator_"):
            return
        if self.share_samples and self.objective != "boundary":
            raise ValueError(
                f"share_samples=True needs objective='boundary', where generator and "
                f"classifier have a term in common; objective={self.objective!r}."
            )
        offset, scale = _standard_units(x)
        self.register_buffer("offset_", offset.to(device))
        self.register_buffer("scale_", scale.to(device))
        varies = self.scale_ > 0
        self.register_buffer("divisor_", torch.where(varies, self.scale_, 1.0))
        # What is constant in the data is 0 in standard units, in samples too.
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

    def make_networks(self, input_shape, device) -> None:
        """Make generator, discriminator and their optimizers."""
        self._build(input_shape, device)
        self._make_optimizers(input_shape)

    def _build(self, input_shape, device):
        """Make generator and discriminator."""
        self.generator_ = build_generator(self.generator, self.latent_dim, input_shape)
        self.discriminator_ = build_discriminator(self.discriminator, input_shape)
        self.to(device)

    def _make_optimizers(self, input_shape):
        """Make the optimizers of both."""
        lr = self.lr or (1e-3 if len(input_shape) == 3 else 2e-4)
        self.generator_optimizer_ = _adam(self.generator_, lr)
        self.discriminator_optimizer_ = _adam(self.discriminator_, lr)

    def step(self, x: Tensor, net) -> dict[str, Tensor]:
        """Move the discriminator, then the generator; return their losses.

        With shared samples the generator waits for the classifier.
        """
        real, fake = self._standardize(x), self._generate(len(x))
        self._last = real, fake.detach()
        losses = {"discriminator_loss": self._step_discriminator(*self._last)}
        if self.share_samples:
            self._waiting = fake
        else:
            losses["generator_loss"] = self._step_generator(fake, net)
        return losses

    def end_epoch(self) -> dict[str, float]:
        """Return how much the last samples differ from each other.

        That is the mean standard deviation of a feature or pixel, in units of that of
        the training samples in the batch: near 0 where the generator makes one sample.
        """
        # A step that failed has left the samples of its batch, too.
        last, *_ = [vars(self).pop(name, None) for name in _OF_A_BATCH]
        if last is None:
            return {}
        real, fake = (batch.std(dim=0).mean() for batch in last)
        return {"fake_spread": float(fake / real)}

    def optimizers(self) -> list:
        """Return the optimizers of the generator and the discriminator."""
        return [self.generator_optimizer_, self.discriminator_optimizer_]

    def sample(self, n: int) -> Tensor:
        """Return `n` new samples G(z), or those that the players of a step share."""
        waiting = getattr(self, "_waiting", None)
        if waiting is None:
            with torch.no_grad():
                return self._to_units(self._generate(n))
        self._shared = self._to_units(waiting[:n].detach()).requires_grad_()
        return self._shared

    def shared_inputs(self) -> list[Tensor]:
        """Return the samples that generator and classifier share, if they do."""
        return [self._shared] if hasattr(self, "_shared") else []

    def finish_step(self, net) -> dict[str, Tensor]:
        """Move the generator with the gradient that the classifier's step left."""
        if not self.share_samples:
            return {}
        fake, shared = self._waiting, self._shared
        del self._waiting, self._shared
        loss = self._own_loss(fake)
        # The classifier's term is a mean over all its OOD samples, ours are a share.
        gradient = shared.grad * (len(fake) / len(shared))
        in_units = self._to_units(fake[: len(shared)])
        loss_with_term = loss + (in_units * gradient).sum()
        descend(loss_with_term, self.generator_optimizer_, "generator")
        return {"generator_loss": loss.detach()}

    def _step_discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Tell training samples from generated ones: term (c) of eq. (2)."""
        if self.one_pass_:
            judged = self._judge(torch.cat([real, fake])).split(len(real))
        else:  # BatchNorm: the statistics of real and fake must not mix
            judged = self._judge(real), self._judge(fake)
        loss = discriminator_loss(*judged)
        descend(loss, self.discriminator_optimizer_, "discriminator")
        return loss.detach()

    def _step_generator(self, fake: Tensor, net=None) -> Tensor:
        """Fool the discriminator, yet leave the classifier unsure: (b) + (c) - H."""
        loss = self._own_loss(fake)
        if net is not None and net.beta > 0:
            loss = loss + net.beta * self._classifier_term(fake, net)
        descend(loss, self.generator_optimizer_, "generator")
        return loss.detach()

    def _own_loss(self, fake: Tensor) -> Tensor:
        """Return the generator's loss but for the classifier's term: (c) - H."""
        loss = generator_loss(self._judge(fake))
        if self.entropy_weight:
            features = in_full(self.discriminator_.features(fake))
            loss = loss + self.entropy_weight * pull_away_term(features)
        return loss

    def _classifier_term(self, fake: Tensor, net) -> Tensor:
        """Return what the classifier is to say of the samples, as a loss."""
        # In training mode it would count fakes in its BatchNorm statistics.
        with evaluating(net.module_):
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
        """Return samples in standard units in the units of the data."""
        return torch.addcmul(self.offset_, self.scale_, fake)

    def _standardize(self, x: Tensor) -> Tensor:
        """Return samples in the units of the data in standard units."""
        return (x - self.offset_) / self.divisor_


_OF_A_BATCH = ("_last", "_waiting", "_shared")


def _standard_units(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return offset and scale with x = offset + scale * (samples in standard units).

    Images: least value and range of each channel. Rows: mean and standard deviation of
    each feature. What is constant has scale 0, and stays constant in the samples.
    """
    if x.ndim == 4:
        rest = (0, 2, 3)
        offset, high = (
            as_float(extreme(x, dim=rest, keepdim=True)[0])
            for extreme in (torch.amin, torch.amax)
        )  # (channels, 1, 1)
        return offset, high - offset
    scale, offset = torch.std_mean(x, dim=0, correction=0)
    return offset, scale


def _adam(network: nn.Module, lr: float) -> torch.optim.Optimizer:
    """Return the optimizer of DCGAN."""
    return adam(list(network.parameters()), lr=lr, betas=(0.5, 0.999))
