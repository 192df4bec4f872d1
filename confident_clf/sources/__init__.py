# SPDX-License-Identifier: BSD-3-Clause
"""Where the out-of-distribution samples of the confidence loss come from."""

from confident_clf.sources._explicit import ExplicitOOD
from confident_clf.sources._feature_space import FeatureOOD
from confident_clf.sources._joint_gan import JointGAN
from confident_clf.sources._mixture import MixtureOOD
from confident_clf.sources._noise import NoiseOOD
from confident_clf.sources._original_gan import OriginalGAN
from confident_clf.sources._source import OODSource

__all__ = [
    "ExplicitOOD",
    "FeatureOOD",
    "JointGAN",
    "MixtureOOD",
    "NoiseOOD",
    "OODSource",
    "OriginalGAN",
]
