# SPDX-License-Identifier: BSD-3-Clause
"""From the parameter `ood_source` to a source."""

from inspect import signature

from confident_clf.sources._explicit import ExplicitOOD
from confident_clf.sources._feature_space import FeatureOOD
from confident_clf.sources._joint_gan import JointGAN
from confident_clf.sources._mixture import MixtureOOD
from confident_clf.sources._noise import NoiseOOD
from confident_clf.sources._original_gan import OriginalGAN
from confident_clf.sources._source import OODSource

SOURCES = {
    "explicit": ExplicitOOD,
    "features": FeatureOOD,
    "gan": OriginalGAN,
    "joint": JointGAN,
    "noise": NoiseOOD,
}


def make_source(ood_source, options: dict) -> OODSource | None:
    """Return the source that `ood_source` means.

    A name makes a source with those of the `options` that its class has as parameters.
    A list makes a mixture. A source that the user gave is returned as it is. Raises
    ValueError for anything else, or if a parameter of a source is out of range.
    """
    if ood_source is None:
        return None
    if isinstance(ood_source, OODSource):
        ood_source._validate_params()
        return ood_source
    if isinstance(ood_source, str) and ood_source in SOURCES:
        cls = SOURCES[ood_source]
        accepted = signature(cls).parameters
        return cls(**{k: v for k, v in options.items() if k in accepted})
    if isinstance(ood_source, list) and ood_source:
        return _make_mixture(ood_source, options)
    raise ValueError(
        f"ood_source={ood_source!r} is not a source. Use one of "
        f"{', '.join(map(repr, SOURCES))}, an OODSource, a list of these, or None."
    )


def _make_mixture(items: list, options: dict) -> MixtureOOD:
    """Return the mixture of sources, or of pairs of source and share, in a list."""
    pairs = [item if isinstance(item, tuple) else (item, 1) for item in items]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError(
            f"ood_source={items!r} has a tuple that is not a pair of source and share. "
            "Write ('noise', 0.5), or the source alone."
        )
    if any(source is None for source, _ in pairs):
        raise ValueError(
            "ood_source is a list that holds None. Leave it out, or use beta to weaken "
            "the others."
        )
    sources = [make_source(source, options) for source, _ in pairs]
    mixture = MixtureOOD(sources, shares=[share for _, share in pairs])
    mixture._validate_params()
    return mixture
