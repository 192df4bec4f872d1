# SPDX-License-Identifier: BSD-3-Clause
"""From the names of sources to sources."""

from confident_clf.sources._base import OODSource
from confident_clf.sources._explicit import ExplicitOOD
from confident_clf.sources._features import FeatureOOD
from confident_clf.sources._gan import JointGAN
from confident_clf.sources._mixture import MixtureOOD
from confident_clf.sources._noise import NoiseOOD
from confident_clf.sources._original_gan import OriginalGAN

NAMES = ("explicit", "features", "gan", "joint", "noise")


def make_source(ood_source, *, gan, max_epochs, batch_size):
    """Return the source that a user's `ood_source` stands for.

    Parameters
    ----------
    ood_source : str, OODSource, list of these or of (source, share), or None
        As in :class:`~confident_clf.ConfidentClassifier`.
    gan : dict
        Parameters of the sources named "joint" and "gan".
    max_epochs, batch_size : int
        For the training of the source named "gan".

    Returns
    -------
    OODSource or None
        The source; one that the user gave is returned as it is.

    Raises
    ------
    ValueError
        If a name is unknown, the list is empty, or a parameter of a source is out of
        range.
    """
    if ood_source is None:
        return None
    if isinstance(ood_source, OODSource):
        ood_source._validate_params()
        return ood_source
    if ood_source == "joint":
        return JointGAN(**gan)
    if ood_source == "gan":
        return OriginalGAN(**gan, max_epochs=max_epochs, batch_size=batch_size)
    if ood_source == "explicit":
        return ExplicitOOD()
    if ood_source == "features":
        return FeatureOOD()
    if ood_source == "noise":
        return NoiseOOD()
    if isinstance(ood_source, list) and ood_source:
        pairs = [item if isinstance(item, tuple) else (item, 1) for item in ood_source]
        if any(len(pair) != 2 for pair in pairs):
            raise ValueError(
                f"ood_source={ood_source!r} has a tuple that is no pair of source and "
                "share. Write ('noise', 0.5), or the source alone."
            )
        names, shares = zip(*pairs, strict=True)
        options = {"gan": gan, "max_epochs": max_epochs, "batch_size": batch_size}
        sources = [make_source(_not_none(name), **options) for name in names]
        return make_source(MixtureOOD(sources, shares=list(shares)), **options)
    raise ValueError(
        f"ood_source={ood_source!r} is not a source. Use one of "
        f"{', '.join(map(repr, NAMES))}, an OODSource, a list of these, or None."
    )


def _not_none(ood_source):
    """Refuse None in a list: a share of no samples means nothing."""
    if ood_source is None:
        raise ValueError(
            "ood_source is a list that holds None. Leave it out, or use beta to weaken "
            "the others."
        )
    return ood_source
