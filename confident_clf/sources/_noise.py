# SPDX-License-Identifier: BSD-3-Clause
"""Noise: out-of-distribution samples made from the data, without a network."""

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from confident_clf.sources._source import OODSource
from confident_clf.utils._sklearn import Interval, StrOptions
from confident_clf.utils._tensors import as_float, extremes, row_bytes

# Rows kept to shuffle and permute: a model file should not hold all data.
MAX_ROWS, MAX_BYTES = 2048, 2**25
# Among fewer rows, numbers may have two values by chance.
_ENOUGH_ROWS = 8


class NoiseOOD(OODSource):
    """Noise in the range of the data, a mixture of several kinds.

    For images, signals and volumes: "uniform" and "gaussian" pixels, "low_frequency"
    noise (a coarse random grid, enlarged smoothly), "patch_shuffled" training images,
    whose texture is right and whose shape is wrong, "constant" images of one colour,
    often black or white, and "covered" training images, of which one side has one
    colour, as behind a covered lens.

    For rows: "permuted" features, each drawn from the training data on its own, which
    keeps their distributions and breaks their dependence, "uniform" rows in the
    enlarged bounding box of the data, ``[low - enlarge * range, high + enlarge *
    range]``, and "replaced" features: training rows in which one feature is anywhere in
    that box, as after a mistake in its unit. Columns that belong to one category, such
    as the columns of a :class:`~sklearn.preprocessing.OneHotEncoder`, always come from
    one training row.

    Training with noise was introduced in [1]_.

    Parameters
    ----------
    kinds : sequence of str or None, default=None
        Kinds to mix in equal shares. None means all that fit the data.
    enlarge : float, default=0.5
        How far the box of rows reaches beyond the data on each side, as a share of each
        feature's range.
    categorical : "auto" or list of lists of int, default="auto"
        The columns of each categorical feature, counted from 0. "auto" finds them: a
        column with two values is one, and so are neighbours of which exactly one has
        the larger of its two values in each row. It is not used for images.

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
        "categorical": [StrOptions({"auto"}), list],
    }

    draws_ahead = True

    rows_: Tensor
    low_: Tensor
    high_: Tensor
    numbers_: Tensor

    def __init__(
        self,
        kinds: Sequence[str] | None = None,
        *,
        enlarge: float = 0.5,
        categorical: str | list = "auto",
    ):
        super().__init__()
        self.kinds = kinds
        self.enlarge = enlarge
        self.categorical = categorical

    def prepare(self, x: Tensor, x_ood: Tensor | None, device: torch.device) -> None:
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
        low, high = (as_float(extreme[0]).to(device) for extreme in extremes(x, dims))
        n_rows = min(MAX_ROWS, max(1, MAX_BYTES // row_bytes(x)))
        rows = x[torch.randperm(len(x))[:n_rows]].to(device)
        self.register_buffer("low_", low)
        self.register_buffer("high_", high)
        self.register_buffer("rows_", rows)
        if x.ndim == 2:
            few = x if isinstance(x, Tensor) else rows.cpu()
            first, is_category = self._categories(few)
            self.register_buffer("first_of_category_", first.to(device))
            changes = (high > low) & ~is_category.to(device)
            self.register_buffer("numbers_", changes.nonzero().flatten())

    def _categories(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return each column's first of its category, and whether it is in one."""
        n_columns = x.shape[1]
        groups: Any = self.categorical
        if groups == "auto":
            groups = find_categories(x)
        else:
            _check_categories(groups, n_columns)
        first = torch.arange(n_columns)
        is_category = torch.zeros(n_columns, dtype=torch.bool)
        for group in groups:
            first[group] = group[0]
            is_category[group] = True
        return first, is_category

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


def _one_colour(source: NoiseOOD, n: int) -> Tensor:
    """Return n colours, one in three black or white, (n, channels, 1, ...)."""
    channels, device = source.rows_.shape[1], source.low_.device
    sides = [1] * (source.rows_.ndim - 2)
    unit = torch.rand(n, channels, *sides, device=device)
    extreme = torch.rand(n, 1, *sides, device=device) < 1 / 3
    black_or_white = (unit[:, :1] < 0.5).to(unit)
    return _to_range(source, torch.where(extreme, black_or_white, unit))


def _constant(source: NoiseOOD, n: int) -> Tensor:
    """Return images of one colour each."""
    size = source.rows_.shape[2:]
    return _one_colour(source, n).expand(-1, -1, *size).contiguous()


def _covered(source: NoiseOOD, n: int) -> Tensor:
    """Return training images of which 40 to 75 % have one colour, from one side on."""
    images, device = _draw_rows(source, n), source.low_.device
    one_each = (n, *[1] * (images.ndim - 1))
    places = torch.meshgrid(
        *(torch.linspace(0, 1, size, device=device) for size in images.shape[2:]),
        indexing="ij",
    )
    # Where less is covered, an image may still show its class, and accuracy falls.
    share = 0.4 + 0.35 * torch.rand(one_each, device=device)
    axis = torch.randint(len(places), (n,), device=device)
    place = torch.stack(places)[axis].unsqueeze(1)  # (n, 1, height, ...)
    place = torch.where(torch.rand(one_each, device=device) < 0.5, place, 1 - place)
    return torch.where(place < share, _one_colour(source, n), images)


def _permuted_features(source: NoiseOOD, n: int) -> Tensor:
    """Return rows whose features come from different training rows."""
    n_rows, n_features = source.rows_.shape
    index = torch.randint(n_rows, (n, n_features), device=source.low_.device)
    first = getattr(source, "first_of_category_", None)
    if first is not None:  # files of earlier versions have no categories
        index = index[:, first]
    return as_float(source.rows_.gather(0, index))


def _uniform_rows(source: NoiseOOD, n: int) -> Tensor:
    """Return uniform rows in the enlarged bounding box; categories as they occur."""
    unit = _unit_uniform(source, n)
    uniform = _to_range(source, (1 + 2 * source.enlarge) * unit - source.enlarge)
    numbers = getattr(source, "numbers_", None)
    if numbers is None or len(numbers) == uniform.shape[1]:
        return uniform
    rows = _permuted_features(source, n)
    rows[:, numbers] = uniform[:, numbers]
    return rows


def _replaced_feature(source: NoiseOOD, n: int) -> Tensor:
    """Return training rows with one number anywhere in the enlarged range."""
    if len(source.numbers_) == 0:  # all features are categories
        return _permuted_features(source, n)
    rows, device = _draw_rows(source, n), source.low_.device
    column = source.numbers_[torch.randint(len(source.numbers_), (n, 1), device=device)]
    low, high = source.low_[column], source.high_[column]
    unit = torch.rand(n, 1, device=device)
    place = (1 + 2 * source.enlarge) * unit - source.enlarge
    return rows.scatter(1, column, low + (high - low) * place)


def find_categories(x: Tensor) -> list[list[int]]:
    """Return the columns of each category among the rows `x`: see `NoiseOOD`."""
    if len(x) < _ENOUGH_ROWS:
        return []
    x = as_float(x)
    low, high = x.amin(dim=0), x.amax(dim=0)
    is_high = x == high
    has_two_values = (is_high | (x == low)).all(dim=0) & (high > low)
    columns = has_two_values.nonzero().flatten().tolist()
    groups = []
    while columns:
        n = _length_of_one_hot(is_high, columns)
        groups.append(columns[:n])
        columns = columns[n:]
    return groups


def _length_of_one_hot(is_high: Tensor, columns: list[int]) -> int:
    """Return how many columns, from the first one, are one-hot together; 1 if none."""
    count = torch.zeros(len(is_high), dtype=torch.int64)
    for n, column in enumerate(columns, start=1):
        if column != columns[0] + n - 1:
            break
        count += is_high[:, column].cpu()
        if (count > 1).any():
            break
        if (count == 1).all():
            return n
    return 1


def _check_categories(groups: list, n_columns: int) -> None:
    """Raise ValueError unless groups hold columns, each at most once."""
    columns: list[int] = []
    for group in groups:
        if not isinstance(group, list | tuple) or not group:
            raise ValueError(
                f"categorical={groups!r} must be a list of lists of columns, such as "
                "[[3, 4, 5], [8, 9]]."
            )
        columns += group
    are_columns = all(
        isinstance(c, Integral) and 0 <= int(c) < n_columns for c in columns
    )
    if not are_columns or len(set(columns)) < len(columns):
        raise ValueError(
            f"categorical={groups!r} must name columns from 0 to {n_columns - 1}, each "
            "at most once."
        )


def _draw_rows(source: NoiseOOD, n: int) -> Tensor:
    """Return a copy of `n` training samples."""
    index = torch.randint(len(source.rows_), (n,), device=source.low_.device)
    return as_float(source.rows_[index])


_IMAGE_KINDS = {
    "uniform": _uniform_pixels,
    "gaussian": _gaussian_pixels,
    "low_frequency": _low_frequency,
    "patch_shuffled": _patch_shuffled,
    "constant": _constant,
    "covered": _covered,
}
_ROW_KINDS = {
    "permuted": _permuted_features,
    "uniform": _uniform_rows,
    "replaced": _replaced_feature,
}


def _makers(x: Tensor) -> dict:
    """Return the kinds of noise for samples like these, by name."""
    return _ROW_KINDS if x.ndim == 2 else _IMAGE_KINDS
