# SPDX-License-Identifier: BSD-3-Clause
"""Samples that are read when they are needed, a batch at a time."""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import assert_all_finite

# Bytes of samples to read at once where all of them are looked at.
BLOCK_BYTES = 2**24
# Rows whose features are in memory together: to fit a score on, and to score.
MANY_ROWS = 50_000
# Arrays on the disk that are smaller are read as a whole: that is faster.
LARGE_BYTES = 2**28


class LazyRows:
    """Samples that look like an array (n, ...), and are read when they are needed.

    To choose rows does not read them: ``X[rows]`` is lazy too. ``np.asarray`` reads.
    `read` maps the numbers of rows to samples of `dtype`, which is float32 or uint8,
    and `shape` is (n, ...). Whatever is read must be finite, and pass the `checks`.
    """

    def __init__(
        self,
        read: Callable[[np.ndarray], np.ndarray],
        shape: tuple[int, ...],
        dtype,
        rows: np.ndarray | None = None,
        checks: tuple[Callable[[np.ndarray], None], ...] = (),
    ):
        self._read = read
        self._rows = np.arange(shape[0]) if rows is None else rows
        self._checks = checks
        self.shape = (len(self._rows), *map(int, shape[1:]))
        self.dtype = np.dtype(dtype)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        """Number of dimensions, as of an array."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """How many numbers the samples have."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes that all samples would take in memory."""
        return self.size * self.dtype.itemsize

    def __getitem__(self, rows) -> "LazyRows":
        """Return some of the rows, without reading them."""
        if isinstance(rows, tuple):  # scikit-learn's X[rows, ...]
            rows = rows[0]
        chosen = self._rows[rows]
        return LazyRows(self._read, self.shape, self.dtype, chosen, self._checks)

    def reshape(self, *shape) -> "LazyRows":
        """Return samples of another shape; the first size is the number of samples."""
        shape = (len(self), *shape[1:])
        return LazyRows(self._read, shape, self.dtype, self._rows, self._checks)

    def checked(self, check: Callable[[np.ndarray], None]) -> "LazyRows":
        """Return these samples; `check` sees all that is read, and may raise."""
        checks = (*self._checks, check)
        return LazyRows(self._read, self.shape, self.dtype, self._rows, checks)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        """Read the samples."""
        found = self._read(self._rows) if len(self) else np.empty(self.shape)
        found = self._as_promised(found)
        return found if dtype is None else found.astype(dtype)

    def _as_promised(self, found: np.ndarray) -> np.ndarray:
        """Return samples that were read, in shape and dtype, and checked."""
        with np.errstate(over="ignore"):  # a value that becomes infinite is refused
            found = found.astype(self.dtype, order="C", copy=False)
        if found.dtype != np.uint8:
            assert_all_finite(found, input_name="X")
        found = found.reshape(len(found), *self.shape[1:])
        for check in self._checks:
            check(found)
        return found

    def each(self, parts: list) -> Iterator[np.ndarray]:
        """Read parts of the rows, one after the other; workers may read ahead."""
        parts = [self._rows[part] for part in parts]
        read_each = getattr(self._read, "each", partial(map, self._read))
        return map(self._as_promised, read_each(parts))

    def blocks(self) -> Iterator[np.ndarray]:
        """Read the samples in parts that are small enough to hold."""
        row_bytes = max(1, self.nbytes // max(1, len(self)))
        size = max(1, BLOCK_BYTES // row_bytes)
        starts = range(0, len(self), size)
        return self.each([np.s_[start : start + size] for start in starts])


def in_turn(X: np.ndarray | LazyRows, parts: list) -> Iterator[np.ndarray]:
    """Yield parts of the rows; of lazy ones, the next is read while one is in use."""
    if not isinstance(X, LazyRows):
        yield from (X[part] for part in parts)
        return
    with ThreadPoolExecutor(1) as reader:
        reads: list[Future] = []
        for part in parts:
            reads.append(reader.submit(np.asarray, X[part]))
            if len(reads) > 1:
                yield reads.pop(0).result()
        yield from (read.result() for read in reads)


def blocks_of(X: np.ndarray | LazyRows) -> Iterator[np.ndarray]:
    """Yield all samples: an array as it is, lazy ones in parts."""
    if isinstance(X, LazyRows):
        yield from X.blocks()
    else:
        yield X


def read_if_small(X: np.ndarray | LazyRows) -> np.ndarray | LazyRows:
    """Return lazy samples that fit into one block as an array; others as they are."""
    is_small = isinstance(X, LazyRows) and X.nbytes <= BLOCK_BYTES
    return np.asarray(X) if is_small else X


def least_and_most(X: np.ndarray | LazyRows) -> tuple[float, float]:
    """Return the smallest and the largest number."""
    pairs = [(float(part.min()), float(part.max())) for part in blocks_of(X)]
    lows, highs = zip(*pairs, strict=True)
    return min(lows), max(highs)


def std_of_columns(X: np.ndarray | LazyRows) -> tuple[np.ndarray, np.ndarray]:
    """Return the standard deviation and the mean of each column, float64."""
    n, mean, total = 0, np.array(0.0), np.array(0.0)
    for part in blocks_of(X):
        # The parts' variances and means give those of all rows: Chan et al., 1979.
        shift, k = part.mean(axis=0, dtype=np.float64) - mean, len(part)
        total = total + k * part.var(axis=0, dtype=np.float64)
        total = total + shift**2 * (n * k / (n + k))
        mean, n = mean + shift * (k / (n + k)), n + k
    return np.sqrt(total / n), mean


def is_on_disk(X) -> bool:
    """Return whether X is an array that libraries read part by part.

    That is a memory map, or an array of h5py, zarr or dask.
    """
    return isinstance(X, np.memmap) or (hasattr(X, "chunks") and hasattr(X, "dtype"))


def is_large(X) -> bool:
    """Return whether an array should not be read as a whole."""
    return math.prod(X.shape) * np.dtype(X.dtype).itemsize > LARGE_BYTES


def lazy_rows(X, dtype) -> LazyRows:
    """Return the rows of a sparse matrix, or of an array on the disk, as lazy ones."""
    read = _dense_rows if issparse(X) else _stored_rows
    return LazyRows(lambda rows: read(X, rows), X.shape, dtype)


def _dense_rows(X, rows: np.ndarray) -> np.ndarray:
    """Return rows of a sparse matrix as an array."""
    return X[rows].toarray()


def _stored_rows(X, rows: np.ndarray) -> np.ndarray:
    """Return rows of an array on the disk.

    Neighbours are read as a slice. Others are read in ascending order, once each, as
    h5py demands, and brought into the order asked for in memory.
    """
    if isinstance(X, np.memmap):
        if np.array_equal(rows, np.arange(rows[0], rows[0] + len(rows))):
            # Other threads work while a slice is copied; an index would hold them up.
            return np.array(X[rows[0] : rows[0] + len(rows)])
        return np.asarray(X[rows])
    ascending, places = np.unique(rows, return_inverse=True)
    first, last = ascending[0], ascending[-1] + 1
    if last - first == len(ascending):
        found = np.asarray(X[first:last])
    else:
        found = np.asarray(_oindex(X)[ascending])
    return found if np.array_equal(ascending, rows) else found[places]


def _oindex(X):
    """Return what takes a list of rows: zarr has an attribute for it."""
    return getattr(X, "oindex", X)


def rows_for_scores(X: np.ndarray | LazyRows, y: np.ndarray):
    """Return samples to fit a score on, and the numbers of their classes.

    Of lazy samples that is the same share of each class: their features must fit into
    memory.
    """
    if not isinstance(X, LazyRows) or len(X) <= MANY_ROWS:
        return X, y
    order = np.random.RandomState(0).permutation(len(y))
    order = order[np.argsort(y[order], kind="stable")]
    counts = np.bincount(y)
    first = np.cumsum(counts) - counts
    place = np.arange(len(y)) - first[y[order]]  # within the class
    chosen = np.sort(order[place * len(y) < counts[y[order]] * MANY_ROWS])
    return X[chosen], y[chosen]


def parts_of(X) -> Iterator:
    """Yield samples in parts whose features fit into memory; arrays as they are."""
    if not isinstance(X, LazyRows) or len(X) <= MANY_ROWS:
        yield X
        return
    for start in range(0, len(X), MANY_ROWS):
        yield X[start : start + MANY_ROWS]


def in_parts(function: Callable, X: np.ndarray | LazyRows) -> np.ndarray:
    """Return the values of all samples; many lazy ones are sent in parts."""
    return np.concatenate([function(part) for part in parts_of(X)])
