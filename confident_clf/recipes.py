# SPDX-License-Identifier: BSD-3-Clause
"""The settings of the paper [1]_, as parameters of ConfidentClassifier.

They are those of the reference code. ``docs/paper.rst`` compares the paper, the
reference code and this library line by line.

References
----------
.. [1] K. Lee, H. Lee, K. Lee and J. Shin, "Training Confidence-calibrated Classifiers
   for Detecting Out-of-Distribution Samples", ICLR 2018.
"""

from typing import Any

from confident_clf.modules import VGG, DCDiscriminator, DCGenerator

__all__ = ["cifar10", "svhn"]


def cifar10(ood_source: Any = "joint") -> dict[str, Any]:
    """Return the settings of the paper [1]_ for CIFAR-10.

    Pass the images as uint8, (n, 3, 32, 32): they are scaled to [0, 1], without
    normalisation or augmentation, as in the reference code.

    Parameters
    ----------
    ood_source : str, OODSource, list or None, default="joint"
        As in :class:`~confident_clf.ConfidentClassifier`. None, "explicit", "gan" and
        "joint" are the four bars of figure 1. The reference code trains with batches of
        64 images, and with 128 for None, which is plain cross entropy.

    Returns
    -------
    dict
        Parameters of :class:`~confident_clf.ConfidentClassifier`, a new dict in every
        call. What it leaves out is as by default.

    References
    ----------
    .. [1] Lee et al., "Training Confidence-calibrated Classifiers for Detecting
       Out-of-Distribution Samples", ICLR 2018, section 3.

    Examples
    --------
    >>> from confident_clf import ConfidentClassifier, recipes
    >>> clf = ConfidentClassifier(**recipes.cifar10("joint"), random_state=0)
    >>> clf.beta, clf.batch_size, clf.module.__name__
    (0.1, 64, 'VGG')
    >>> fewer = recipes.cifar10("joint") | {"max_epochs": 30}
    """
    batch_size = 128 if ood_source is None else 64
    return _recipe(ood_source, beta=0.1, batch_size=batch_size)


def svhn(ood_source: Any = "joint") -> dict[str, Any]:
    """Return the settings of the paper [1]_ for SVHN: those of CIFAR-10, with beta 1.

    The reference code trains with batches of 128 images throughout. Pass the images as
    in :func:`cifar10`.

    Parameters
    ----------
    ood_source : str, OODSource, list or None, default="joint"
        As in :class:`~confident_clf.ConfidentClassifier`. None, "explicit", "gan" and
        "joint" are the four bars of figure 1.

    Returns
    -------
    dict
        Parameters of :class:`~confident_clf.ConfidentClassifier`, a new dict in every
        call. What it leaves out is as by default.

    References
    ----------
    .. [1] Lee et al., "Training Confidence-calibrated Classifiers for Detecting
       Out-of-Distribution Samples", ICLR 2018, section 3.

    Examples
    --------
    >>> from confident_clf import ConfidentClassifier, recipes
    >>> clf = ConfidentClassifier(**recipes.svhn("joint"), random_state=0)
    >>> clf.beta, clf.batch_size
    (1.0, 128)
    """
    return _recipe(ood_source, beta=1.0, batch_size=128)


def _recipe(ood_source: Any, beta: float, batch_size: int) -> dict:
    """Return the settings that both data sets share, and these."""
    return {
        "module": VGG,
        "ood_source": ood_source,
        "beta": beta,
        "ood_target": "uniform",
        "generator": DCGenerator,
        "discriminator": DCDiscriminator,
        "latent_dim": 100,
        # Eq. (2) has the entropy with weight 1; the reference code does not have it.
        "entropy_weight": 0.0,
        "lr": 2e-4,
        "gan_lr": 2e-4,
        "batch_size": batch_size,
        "max_epochs": 100,
        "lr_schedule": "step",
        "weight_decay": 0.0,
        "label_smoothing": 0.0,
        "augment": None,
        "method": "msp",
        "precision": "float32",
    }
