# SPDX-License-Identifier: BSD-3-Clause
"""Tests of the networks: shapes, sizes, layers and initial weights."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.models import vgg13

from confident_clf.modules import (
    MLP,
    VGG,
    DCDiscriminator,
    DCGenerator,
    MLPDiscriminator,
    MLPGenerator,
    SmallConvNet,
)
from confident_clf.modules._conv import StandardizedConv2d

SHAPES = [(1, 8, 8), (3, 32, 32), (1, 28, 28), (2, 9, 17), (4, 31, 8), (5, 65, 64)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_image_networks_fit_any_size(shape):
    """Check input and output shapes, also for sizes that are not powers of two."""
    x = torch.zeros(2, *shape)
    assert SmallConvNet(shape, 7, width=4)(x).shape == (2, 7)
    assert DCDiscriminator(shape, width=4)(x).shape == (2, 1)
    assert DCGenerator(5, shape, width=4)(torch.zeros(2, 5)).shape == x.shape


@pytest.mark.parametrize("shape", [(6,), (2, 3, 4)], ids=str)
def test_dense_networks_fit_any_shape(shape):
    """Check input and output shapes of the networks for rows."""
    x = torch.zeros(2, *shape)
    assert MLP(shape, 3)(x).shape == (2, 3)
    assert MLPDiscriminator(shape)(x).shape == (2, 1)
    assert MLPGenerator(5, shape)(torch.zeros(2, 5)).shape == x.shape


def test_dcgan_is_the_reference_for_32x32():
    """Check the channels of the reference recipe: G 100-512-256-128-3, D 3-...-1."""
    generator = DCGenerator(100, (3, 32, 32))
    discriminator = DCDiscriminator((3, 32, 32))

    def convolutions(network, kind):
        return [
            (layer.in_channels, layer.out_channels, layer.kernel_size)
            for layer in network.modules()
            if isinstance(layer, kind)
        ]

    four = (4, 4)
    assert convolutions(generator, torch.nn.ConvTranspose2d) == [
        (100, 512, four),
        (512, 256, four),
        (256, 128, four),
        (128, 3, four),
    ]
    assert convolutions(discriminator, torch.nn.Conv2d) == [
        (3, 128, four),
        (128, 256, four),
        (256, 512, four),
        (512, 1, four),
    ]


def test_generator_covers_every_pixel_of_odd_sizes():
    """Check that each pixel of a cropped image depends on the latent vector."""
    torch.manual_seed(0)
    generator = DCGenerator(5, (1, 13, 10), width=4).eval()
    images = generator(torch.randn(64, 5))
    assert images.shape == (64, 1, 13, 10)
    assert (images.std(dim=0) > 0).all()
    assert 0 <= images.min() and images.max() <= 1


def test_filters_are_standardised():
    """Check the convolution against one with filters that NumPy standardised."""
    torch.manual_seed(0)
    layer, x = StandardizedConv2d(3, 5).double(), torch.randn(2, 3, 6, 6).double()
    with torch.no_grad():
        layer.weight.mul_(7.0).add_(3.0)
        w = layer.weight.numpy()
        mean, std = (f(w, axis=(1, 2, 3), keepdims=True) for f in (np.mean, np.std))
        expected = F.conv2d(x, torch.from_numpy((w - mean) / std), padding=1)
        torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-5)


def test_default_classifiers_have_no_batch_norm():
    """Check that a sample's logits do not depend on the batch in training mode."""
    torch.manual_seed(0)
    for network, x in [
        (SmallConvNet((1, 8, 8), 3, dropout=0.0), torch.randn(6, 1, 8, 8)),
        (MLP((4,), 3), torch.randn(6, 4)),
    ]:
        torch.testing.assert_close(network.train()(x)[:2], network(x[:2]))


def test_discriminator_logit_comes_from_its_features():
    """Check that `features` is the input of the last layer."""
    torch.manual_seed(0)
    x = torch.randn(3, 2, 8, 8)
    discriminator = DCDiscriminator((2, 8, 8), width=4).eval()
    weight = discriminator.head.weight.flatten(1)  # (1, d)
    torch.testing.assert_close(
        discriminator(x), discriminator.features(x) @ weight.T, rtol=1e-4, atol=1e-5
    )
    rows = MLPDiscriminator((4,))
    x = torch.randn(3, 4)
    torch.testing.assert_close(rows(x), rows.head(rows.features(x)))


def count(network):
    """Return the number of parameters."""
    return sum(p.numel() for p in network.parameters())


def test_parameter_counts_of_the_reference_recipe():
    """Check VGG13 against torchvision, and DCGAN against a count by hand."""
    vgg = VGG((3, 32, 32), 10)
    assert count(vgg.features) == count(vgg13(weights=None).features) == 9_404_992
    assert count(vgg.head) == 2 * (512 * 512 + 512) + 512 * 10 + 10
    convolutions = 16 * (100 * 512 + 512 * 256 + 256 * 128 + 128 * 3)
    assert count(DCGenerator(100, (3, 32, 32))) == convolutions + 2 * (512 + 256 + 128)
    convolutions = 16 * (3 * 128 + 128 * 256 + 256 * 512 + 512)
    assert count(DCDiscriminator((3, 32, 32))) == convolutions + 2 * (256 + 512)


def test_vgg_is_the_reference_layer_by_layer():
    """Check kind, size and place of every layer against the reference code."""
    expected = []
    for n_in, n_out in [(3, 64), (64, 128), (128, 256), (256, 512), (512, 512)]:
        expected += [("Conv2d", n_in, n_out), "ReLU", ("Conv2d", n_out, n_out), "ReLU"]
        expected += ["MaxPool2d"]
    expected += ["Flatten", ("Linear", 512, 512), "ReLU", ("Dropout", 0.5)]
    expected += [("Linear", 512, 512), "ReLU", ("Dropout", 0.5), ("Linear", 512, 10)]

    def describe(layer):
        name = type(layer).__name__
        if isinstance(layer, nn.Conv2d):
            assert (layer.kernel_size, layer.padding) == ((3, 3), (1, 1))
            return name, layer.in_channels, layer.out_channels
        if isinstance(layer, nn.Linear):
            return name, layer.in_features, layer.out_features
        return (name, layer.p) if isinstance(layer, nn.Dropout) else name

    vgg = VGG((3, 32, 32), 10)
    layers = [m for m in vgg.modules() if not list(m.children())]
    assert [describe(layer) for layer in layers] == expected


def test_vgg_is_drawn_as_the_reference():
    """Check the standard deviation of the weights, and that biases are zero."""
    torch.manual_seed(0)
    vgg = VGG((3, 32, 32), 10)
    for layer in vgg.modules():
        if isinstance(layer, torch.nn.Conv2d):
            expected = (2 / (9 * layer.out_channels)) ** 0.5
        elif isinstance(layer, torch.nn.Linear):
            expected = 0.01
        else:
            continue
        assert layer.weight.std().item() == pytest.approx(expected, rel=0.1)
        assert not layer.bias.any()


def test_vgg_of_other_sizes():
    """Check fewer stages on small images, and the error if images are too small."""
    vgg = VGG((1, 9, 17), 3, stages=((4,), (8, 8)), hidden=16)
    assert vgg(torch.zeros(2, 1, 9, 17)).shape == (2, 3)
    with pytest.raises(ValueError, match=r"28x28 .* 5 stages, which needs 32x32"):
        VGG((1, 28, 28), 10)
