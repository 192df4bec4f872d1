# SPDX-License-Identifier: BSD-3-Clause
"""Deep convolutional GAN [1]_ for images of any size from 8x8 up.

For 32x32 images of three channels, the defaults are the networks of the reference
recipe: G has 100-512-256-128-3 channels and D has 3-128-256-512-1.

References
----------
.. [1] A. Radford, L. Metz and S. Chintala, "Unsupervised Representation Learning with
   Deep Convolutional Generative Adversarial Networks", ICLR 2016.
"""

from itertools import pairwise

from torch import Tensor, nn

from confident_clf.modules._sizes import n_halvings


class DCGenerator(nn.Module):
    """Generator of images with 4x4 transposed convolutions.

    Its layers, in order:

    1. A transposed convolution that turns z into small maps. Their shorter side has 4
       to 8 pixels.
    2. Blocks of BatchNorm, ReLU and a transposed 4x4 convolution with stride 2. Each
       block doubles height and width; the last one returns the channels of the image.
    3. A sigmoid, so pixels are in [0, 1].

    If doubling does not hit the size of the images exactly, the maps come out larger
    and are cropped.

    Parameters
    ----------
    latent_dim : int
        Size of the latent vector z.
    output_shape : tuple of (channels, height, width)
        Shape of one generated image; height and width at least 8.
    width : int, default=64
        Base number of channels. The last block takes twice as many, and each block
        before it doubles them again, up to 8 times `width`.

    Examples
    --------
    >>> import torch
    >>> from confident_clf.modules import DCGenerator
    >>> DCGenerator(100, (3, 32, 32))(torch.zeros(5, 100)).shape
    torch.Size([5, 3, 32, 32])
    """

    def __init__(
        self, latent_dim: int, output_shape: tuple[int, int, int], *, width: int = 64
    ):
        super().__init__()
        channels, self.height, self.width = output_shape
        n_doublings = n_halvings(self.height, self.width)
        # Round up, so that the last map is never smaller than the image.
        start = tuple(-(-size // 2**n_doublings) for size in (self.height, self.width))
        widths = _widths(n_doublings, width)[::-1]
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(latent_dim, widths[0], start, bias=False)
        ]
        for n_in, n_out in pairwise(widths):
            layers += [nn.BatchNorm2d(n_in), nn.ReLU(), _double(n_in, n_out)]
        layers += [nn.BatchNorm2d(widths[-1]), nn.ReLU(), _double(widths[-1], channels)]
        self.layers = nn.Sequential(*layers, nn.Sigmoid())
        self.apply(_init_dcgan)

    def forward(self, z: Tensor) -> Tensor:
        """Return images, ``(n, *output_shape)``, in [0, 1] for latent vectors."""
        images = self.layers(z[:, :, None, None])
        return images[:, :, : self.height, : self.width]


class DCDiscriminator(nn.Module):
    """Discriminator of images with strided 4x4 convolutions.

    Its layers, in order:

    1. A 4x4 convolution with stride 2 and LeakyReLU.
    2. Blocks of a 4x4 convolution with stride 2, BatchNorm and LeakyReLU, until the
       shorter side has 4 to 7 pixels.
    3. A convolution as large as the remaining maps, which returns one logit.

    The slope of every LeakyReLU is 0.2.

    Parameters
    ----------
    input_shape : tuple of (channels, height, width)
        Shape of one image; height and width at least 8.
    width : int, default=64
        Base number of channels. The first layer returns twice as many, and each block
        after it doubles them again, up to 8 times `width`.

    Examples
    --------
    >>> import torch
    >>> from confident_clf.modules import DCDiscriminator
    >>> DCDiscriminator((3, 32, 32))(torch.zeros(5, 3, 32, 32)).shape
    torch.Size([5, 1])
    """

    def __init__(self, input_shape: tuple[int, int, int], *, width: int = 64):
        super().__init__()
        channels, height, length = input_shape
        n_stages = n_halvings(height, length)
        widths = _widths(n_stages, width)
        # The first layer has no BatchNorm, as in the reference recipe.
        layers = [_halve(channels, widths[0]), nn.LeakyReLU(0.2)]
        for n_in, n_out in pairwise(widths):
            layers += [
                _halve(n_in, n_out),
                nn.BatchNorm2d(n_out),
                nn.LeakyReLU(0.2),
            ]
        self.body = nn.Sequential(*layers)
        end = (height >> n_stages, length >> n_stages)
        self.head = nn.Conv2d(widths[-1], 1, end, bias=False)
        self.apply(_init_dcgan)

    def features(self, x: Tensor) -> Tensor:
        """Return the output of the last hidden layer, for the pull-away term.

        Parameters
        ----------
        x : Tensor of shape (n, channels, height, width)
            Images.

        Returns
        -------
        Tensor of shape (n, d)
            One vector per image.
        """
        return self.body(x).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        """Return one logit per image, (n, 1): the log-odds of being real."""
        return self.head(self.body(x)).flatten(1)


def _widths(n_stages: int, width: int) -> list[int]:
    """Return the number of channels of each stage, starting next to the image."""
    return [width * min(2 ** (i + 1), 8) for i in range(n_stages)]


def _double(n_in: int, n_out: int) -> nn.ConvTranspose2d:
    """Return a layer that doubles height and width."""
    return nn.ConvTranspose2d(n_in, n_out, 4, stride=2, padding=1, bias=False)


def _halve(n_in: int, n_out: int) -> nn.Conv2d:
    """Return a layer that halves height and width."""
    return nn.Conv2d(n_in, n_out, 4, stride=2, padding=1, bias=False)


def _init_dcgan(layer: nn.Module) -> None:
    """Draw weights as DCGAN does: the standard deviation is 0.02, biases are zero.

    The mean is 0 for convolutions and 1 for BatchNorm.
    """
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, 0.0, 0.02)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)
        nn.init.zeros_(layer.bias)
