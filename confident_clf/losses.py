# SPDX-License-Identifier: BSD-3-Clause
"""Losses of the joint training of Lee et al. [1]_ and its variants, as pure functions.

Every loss on predictions takes logits, never probabilities. All losses are averaged
over the batch.

References
----------
.. [1] K. Lee, H. Lee, K. Lee and J. Shin, "Training Confidence-calibrated Classifiers
   for Detecting Out-of-Distribution Samples", ICLR 2018.
"""

import math
from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "confidence_loss",
    "discriminator_loss",
    "generator_loss",
    "kl_to_uniform",
    "prediction_entropy",
    "pull_away_term",
    "reject_loss",
    "weighted_cross_entropy",
]


def kl_to_uniform(logits: Tensor) -> Tensor:
    """KL divergence from the uniform to the predicted distribution, KL(U || p).

    The out-of-distribution term of eq. (1) in [1]_, for K classes::

        KL(U || p) = -log K - (1 / K) * sum_k log p_k

    It is never negative, and zero exactly if all classes have the same probability.

    Parameters
    ----------
    logits : Tensor of shape (n, K)
        Unnormalised log-probabilities of out-of-distribution samples.

    Returns
    -------
    Tensor of shape ()
        The divergence in nats, averaged over the batch.

    References
    ----------
    .. [1] Lee et al., "Training Confidence-calibrated Classifiers for Detecting
       Out-of-Distribution Samples", ICLR 2018, eq. (1).

    Examples
    --------
    >>> import torch
    >>> from confident_clf.losses import kl_to_uniform
    >>> kl_to_uniform(torch.zeros(2, 10)).item() == 0
    True
    """
    n_classes = logits.shape[1]
    # Adding log K to each value, not to their mean, keeps small divergences exact.
    return -(F.log_softmax(logits, dim=1) + math.log(n_classes)).mean()


def prediction_entropy(logits: Tensor) -> Tensor:
    """Entropy of the predicted distribution, averaged over the batch.

    ::

        H(p) = -sum_k p_k log p_k

    The generator of [1]_ minimises it instead of :func:`kl_to_uniform`, and so
    generates samples that the classifier is confident about.

    Parameters
    ----------
    logits : Tensor of shape (n, K)
        Unnormalised log-probabilities.

    Returns
    -------
    Tensor of shape ()
        Between 0 (one class has probability 1) and log K (uniform), in nats.

    References
    ----------
    .. [1] K. Sricharan and A. Srivastava, "Building robust classifiers through
       generation of confident out of distribution examples", 2018.

    Examples
    --------
    >>> import torch
    >>> from confident_clf.losses import prediction_entropy
    >>> print(round(prediction_entropy(torch.zeros(2, 10)).item(), 4))
    2.3026
    """
    log_p = F.log_softmax(logits, dim=1)
    return -(log_p.exp() * log_p).sum(dim=1).mean()


def reject_loss(logits: Tensor) -> Tensor:
    """Cross entropy of the reject class, which is the last one.

    ::

        loss = -log p_{K+1}

    An alternative to :func:`kl_to_uniform`: out-of-distribution samples get a class of
    their own. A network trained towards uniform predictions becomes confident again
    far away from the data; a reject class can win there [1]_.

    Parameters
    ----------
    logits : Tensor of shape (n, K + 1)
        Logits of out-of-distribution samples.

    Returns
    -------
    Tensor of shape ()
        The loss in nats, averaged over the batch.

    References
    ----------
    .. [1] S. Vernekar, A. Gaurav, T. Denouden, B. Phan, V. Abdelzad, R. Salay and K.
       Czarnecki, "Analysis of confident-classifiers for out-of-distribution detection",
       2019.

    Examples
    --------
    >>> import torch
    >>> from confident_clf.losses import reject_loss
    >>> print(round(reject_loss(torch.zeros(2, 4)).item(), 4))
    1.3863
    """
    return -F.log_softmax(logits, dim=1)[:, -1].mean()


def weighted_cross_entropy(
    logits: Tensor,
    y: Tensor,
    weight: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross entropy in which samples have weights.

    ::

        loss = sum_i w_i * CE(f(x_i), y_i) / n

    f are the logits. The sum is divided by the number of samples, not by the sum of the
    weights: a batch of rare samples then moves the network more than others do.

    Parameters
    ----------
    logits : Tensor of shape (n, K)
        Logits of in-distribution samples.
    y : Tensor of shape (n,), int64
        Class indices of these samples, from 0 to K - 1.
    weight : Tensor of shape (n,) or None, default=None
        Weight of each sample. None means 1.
    label_smoothing : float, default=0.0
        Share of the target probability that is spread evenly over all logits, between 0
        and 1.

    Returns
    -------
    Tensor of shape ()
        The loss in nats.

    Examples
    --------
    >>> import torch
    >>> from confident_clf.losses import weighted_cross_entropy
    >>> logits, y = torch.zeros(2, 4), torch.tensor([0, 1])
    >>> loss = weighted_cross_entropy(logits, y, torch.tensor([3.0, 1.0]))
    >>> print(round(loss.item(), 4))
    2.7726
    """
    if weight is None:
        return F.cross_entropy(logits, y, label_smoothing=label_smoothing)
    losses = F.cross_entropy(
        logits, y, label_smoothing=label_smoothing, reduction="none"
    )
    return (weight * losses).mean()


def confidence_loss(
    logits: Tensor,
    y: Tensor,
    logits_ood: Tensor,
    beta: float,
    ood_loss: Callable[[Tensor], Tensor] = kl_to_uniform,
    label_smoothing: float = 0.0,
    weight: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Confidence loss, eq. (1) of [1]_, together with its two terms.

    ::

        loss = CE(f(x_in), y) + beta * KL(U || p(. | x_ood))

    f are the logits, CE is the cross entropy and p the softmax of f. `ood_loss` can
    replace the KL divergence.

    Parameters
    ----------
    logits : Tensor of shape (n, K)
        Logits of in-distribution samples.
    y : Tensor of shape (n,), int64
        Class indices of these samples, from 0 to K - 1.
    logits_ood : Tensor of shape (m, K)
        Logits of out-of-distribution samples.
    beta : float
        Weight of the second term, at least 0.
    ood_loss : callable, default=kl_to_uniform
        The second term, as a function of `logits_ood`.
    label_smoothing : float, default=0.0
        Share of the target probability that the cross entropy spreads evenly over all
        logits, between 0 and 1.
    weight : Tensor of shape (n,) or None, default=None
        Weight of each sample in the cross entropy, which is the sum of the weighted
        values divided by n. The second term has no weights. None means 1.

    Returns
    -------
    loss : Tensor of shape ()
        The weighted sum of the two terms.
    cross_entropy : Tensor of shape ()
        The first term.
    ood : Tensor of shape ()
        The second term, not multiplied by `beta`.

    References
    ----------
    .. [1] Lee et al., "Training Confidence-calibrated Classifiers for Detecting
       Out-of-Distribution Samples", ICLR 2018, eq. (1).

    Examples
    --------
    >>> import torch
    >>> from confident_clf.losses import confidence_loss
    >>> logits = torch.tensor([[9.0, 0.0]])
    >>> loss, ce, kl = confidence_loss(logits, torch.tensor([0]), logits, beta=0.1)
    >>> bool(loss == ce + 0.1 * kl)
    True
    """
    cross_entropy = weighted_cross_entropy(logits, y, weight, label_smoothing)
    ood = ood_loss(logits_ood)
    return cross_entropy + beta * ood, cross_entropy, ood


def discriminator_loss(logits_real: Tensor, logits_fake: Tensor) -> Tensor:
    """Loss of the discriminator, term (c) of eq. (2) in [1]_ with its sign changed.

    ::

        loss = -log D(x) - log(1 - D(G(z)))

    D is the sigmoid of the logits, x a training sample and G(z) a generated one.

    Parameters
    ----------
    logits_real, logits_fake : Tensor of any shape
        Discriminator logits of training samples and of generated samples.

    Returns
    -------
    Tensor of shape ()
        The loss in nats; 2 log 2 if D outputs 1/2 for every sample.

    References
    ----------
    .. [1] Lee et al., "Training Confidence-calibrated Classifiers for Detecting
       Out-of-Distribution Samples", ICLR 2018, eq. (2).

    Examples
    --------
    >>> import torch
    >>> from confident_clf.losses import discriminator_loss
    >>> print(round(discriminator_loss(torch.zeros(1), torch.zeros(1)).item(), 4))
    1.3863
    """
    return F.softplus(-logits_real).mean() + F.softplus(logits_fake).mean()


def generator_loss(logits_fake: Tensor) -> Tensor:
    """Adversarial loss of the generator.

    ::

        loss = -log D(G(z))

    D is the sigmoid of the logits. This is the non-saturating form [2]_ of term (c) in
    eq. (2) of [1]_.

    Parameters
    ----------
    logits_fake : Tensor of any shape
        Discriminator logits of generated samples.

    Returns
    -------
    Tensor of shape ()
        The loss in nats; log 2 if D outputs 1/2 for every sample.

    References
    ----------
    .. [1] Lee et al., "Training Confidence-calibrated Classifiers for Detecting
       Out-of-Distribution Samples", ICLR 2018, eq. (2).
    .. [2] I. Goodfellow et al., "Generative adversarial nets", NIPS 2014, section 3.

    Examples
    --------
    >>> import torch
    >>> from confident_clf.losses import generator_loss
    >>> print(round(generator_loss(torch.zeros(1)).item(), 4))
    0.6931
    """
    return F.softplus(-logits_fake).mean()


def pull_away_term(features: Tensor) -> Tensor:
    """Mean squared cosine between the features of different samples, eq. (6) of [2]_.

    ::

        PT = 1 / (n (n - 1)) * sum_{i != j} (f_i . f_j / (|f_i| |f_j|))^2

    It is large if all samples look alike to the discriminator. Minimising it replaces
    maximising the entropy H(P_G) in eq. (2) of [1]_, which has weight 1 there. The
    reference code of [1]_ leaves the entropy out.

    Parameters
    ----------
    features : Tensor of shape (n, d)
        Discriminator features f_i of generated samples, n >= 2.

    Returns
    -------
    Tensor of shape ()
        Between 0 (all features orthogonal) and 1 (all parallel).

    References
    ----------
    .. [1] Lee et al., "Training Confidence-calibrated Classifiers for Detecting
       Out-of-Distribution Samples", ICLR 2018, eq. (2).
    .. [2] J. Zhao, M. Mathieu and Y. LeCun, "Energy-based Generative Adversarial
       Network", ICLR 2017, eq. (6).

    Examples
    --------
    >>> import torch
    >>> from confident_clf.losses import pull_away_term
    >>> pull_away_term(torch.eye(3)).item()
    0.0
    """
    n = len(features)
    unit = F.normalize(features, dim=1)
    squared_cosines = (unit @ unit.T).square()  # (n, n)
    # The diagonal holds the pairs of a sample with itself: leave it out.
    off_diagonal = squared_cosines.sum() - squared_cosines.diagonal().sum()
    return off_diagonal / (n * (n - 1))
