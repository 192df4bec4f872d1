# SPDX-License-Identifier: BSD-3-Clause
"""Networks for rows and images: classifiers, generators and discriminators."""

from confident_clf.modules._conv import SmallConvNet
from confident_clf.modules._dcgan import DCDiscriminator, DCGenerator
from confident_clf.modules._mlp import MLP, MLPDiscriminator, MLPGenerator
from confident_clf.modules._vgg import VGG
from confident_clf.modules._wrapped import WrappedNetwork

__all__ = [
    "MLP",
    "VGG",
    "DCDiscriminator",
    "DCGenerator",
    "MLPDiscriminator",
    "MLPGenerator",
    "SmallConvNet",
    "WrappedNetwork",
]
