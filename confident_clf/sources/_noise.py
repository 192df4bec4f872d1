# SPDX-License-Identifier: BSD-3-Clause
"""Noise: out-of-distribution samples made from the data, without a network."""

from numbers import Real

import torch
from torch import Tensor
from torch.nn import functional as F

from confident_clf.sources._source import OODSource
from confident_clf.utils._sklearn import Interval
from confident_clf.utils._tensors import as_float

# Rows kept to shuffle and permute: a model file should not hold all data.
MAX_ROWS = 2048


class NoiseOOD(OODSource):
    """Noise in the range of the data, a mixture of several kinds.

    For images, signals and volumes: "uniform" and "gaussian" pixels, "low_frequency"
    noise (a coarse random grid, enlarged smoothly), and "patch_shuffled" training
    images, whose texture is right and whose shape is wrong. For rows: "permuted"
    features, each drawn from the training data on its own, which keeps their
    distributions and breaks their dependence, and "uniform" rows in the enlarged
    bounding box of the data, ``[low - enlarge * range, high + enlarge * range]``.
    Training with noise was introduced in [1]_.

    Parameters
    ----------
    kinds : sequence of str or None, default=None
        Kinds to mix in equal shares. None means all that fit the data.
    enlarge : float, default=0.5
        How far the box of "uniform" rows reaches beyond the data on each side, as a
        share of each feature's range.

    References
    ----------
    .. [1] M. Hein, M. Andriushchenko and J. Bitterwolf, "Why ReLU networks yield
       high-confidence predictions far away from the training data", CVPR 2019.

    Examples
    --------
    >>> from confident_clf import ConfidentClassifier
    >>> from confident_clf.sources import NoiseOOD
    >>> clf = ConfidentClassifier(ood_source=NoiseOOD(["patch_shuffled"]))
    """

    _parameter_constraints: dict = {
        "kinds": ["array-like", None],
        "enlarge": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(self, kinds=None, *, enlarge=0.5):
        super().__init__()
        self.kinds = kinds
        self.enlarge = enlarge

    def prepare(self, x: Tensor, x_ood: Tensor | None, device) -> None:
        """Learn the range of the data, and keep some rows."""
        super().prepare(x, x_ood, device)
        makers = _makers(x)
        self.kinds_ = tuple(makers) if self.kinds is None else tuple(self.kinds)
        unknown = [kind for kind in self.kinds_ if kind not in makers]
        if unknown or not self.kinds_:
            data = "rows" if x.ndim == 2 else "images, signals and volumes"
            raise ValueError(
                f"kinds={self.kinds!r} must name kinds of noise for {data}, out of "
                f"{', '.join(map(repr, makers))}."
            )
        dims = (0, *range(2, x.ndim))
        low, high = (
            as_float(extreme(x, dim=dims, keepdim=True)[0]).to(device)
            for extreme in (torch.amin, torch.amax)
        )
        rows = x[torch.randperm(len(x))[:MAX_ROWS]].to(device)
        self.register_buffer("low_", low)
        self.register_buffer("high_", high)
        self.register_buffer("rows_", rows)

    def sample(self, n: int) -> Tensor:
        """Return `n` samples, about as many of each kind."""
        makers = _makers(self.rows_)
        # A random start, so that in small batches no kind always gets more samples.
        start = int(torch.randint(len(self.kinds_), ()))
        parts = []
        for i, kind in enumerate(self.kinds_[start:] + self.kinds_[:start]):
            size = (n + i) // len(self.kinds_)
            if size:
                parts.append(makers[kind](self, size))
        return torch.cat(parts)


def _unit_uniform(source: NoiseOOD, n: int) -> Tensor:
    """Return numbers in [0, 1) of the shape of `n` samples."""
    return torch.rand(n, *source.rows_.shape[1:], device=source.low_.device)


def _to_range(source: NoiseOOD, unit: Tensor) -> Tensor:
    """Move numbers in [0, 1] to the range of the data."""
    return source.low_ + (source.high_ - source.low_) * unit


def _uniform_pixels(source: NoiseOOD, n: int) -> Tensor:
    """Return images of independent uniform pixels."""
    return _to_range(source, _unit_uniform(source, n))


def _gaussian_pixels(source: NoiseOOD, n: int) -> Tensor:
    """Return images of independent normal pixels: half the range, clipped to it."""
    normal = torch.randn(n, *source.rows_.shape[1:], device=source.low_.device)
    return _to_range(source, (0.5 + 0.5 * normal).clamp_(0, 1))


def _low_frequency(source: NoiseOOD, n: int) -> Tensor:
    """Return smooth images: coarse random grids of 2 to 7 cells a side, enlarged."""
    channels, *size = source.rows_.shape[1:]
    cells = [int(torch.randint(2, 8, ()))] * len(size)
    coarse = torch.rand(n, channels, *cells, device=source.low_.device)
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[len(size)]
    smooth = F.interpolate(coarse, size=tuple(size), mode=mode)
    return _to_range(source, smooth)


def _patch_shuffled(source: NoiseOOD, n: int) -> Tensor:
    """Return training images whose patches, 2 to 4 a side, are in random order."""
    images = _draw_rows(source, n)
    d = images.ndim - 2
    k = int(torch.randint(2, 5, ()))
    counts = [min(k, side) for side in images.shape[2:]]
    sizes = [
        side // count for side, count in zip(images.shape[2:], counts, strict=True)
    ]
    grid = images
    for i in reversed(range(d)):
        # Pixels that do not fill a patch, at the end of a side, stay in place.
        grid = grid.narrow(2 + i, 0, counts[i] * sizes[i])
        grid = grid.unflatten(2 + i, (counts[i], sizes[i]))
    # A view of the images: (n, channels, *counts, *sizes)
    grid = grid.permute(0, 1, *range(2, 2 + 2 * d, 2), *range(3, 2 + 2 * d, 2))
    patches = grid.flatten(2, 1 + d)
    order = torch.rand(n, patches.shape[2], device=images.device).argsort(dim=1)
    index = order.view(n, 1, -1, *[1] * d).expand_as(patches)
    grid.copy_(patches.gather(2, index).view_as(grid))
    return images


def _permuted_features(source: NoiseOOD, n: int) -> Tensor:
    """Return rows whose features come from different training rows."""
    n_rows, n_features = source.rows_.shape
    index = torch.randint(n_rows, (n, n_features), device=source.low_.device)
    return as_float(source.rows_.gather(0, index))


def _uniform_rows(source: NoiseOOD, n: int) -> Tensor:
    """Return uniform rows in the enlarged bounding box."""
    unit = _unit_uniform(source, n)
    return _to_range(source, (1 + 2 * source.enlarge) * unit - source.enlarge)


def _draw_rows(source: NoiseOOD, n: int) -> Tensor:
    """Return a copy of `n` training samples."""
    index = torch.randint(len(source.rows_), (n,), device=source.low_.device)
    return as_float(source.rows_[index])


_IMAGE_KINDS = {
    "uniform": _uniform_pixels,
    "gaussian": _gaussian_pixels,
    "low_frequency": _low_frequency,
    "patch_shuffled": _patch_shuffled,
}
_ROW_KINDS = {"permuted": _permuted_features, "uniform": _uniform_rows}


def _makers(x: Tensor) -> dict:
    """Return the kinds of noise for samples like these, by name."""
    return _ROW_KINDS if x.ndim == 2 else _IMAGE_KINDS
