# SPDX-License-Identifier: BSD-3-Clause
"""Tests of samples that are read in turn, one part ahead."""

from threading import Event

import numpy as np
import pytest

from confident_clf.utils._lazy import LazyRows, in_turn

X = np.arange(40.0, dtype=np.float32).reshape(20, 2)
PARTS = [np.s_[0:8], np.s_[8:16], np.s_[16:20]]


def test_the_next_part_is_read_while_one_is_in_use():
    """Check that it is, with a consumer that waits for it, and that no more are."""
    was_read = [Event() for _ in PARTS]

    def read(rows):
        was_read[rows[0] // 8].set()
        return X[rows]

    parts = in_turn(LazyRows(read, X.shape, np.float32), PARTS)
    for k, part in enumerate(PARTS):
        np.testing.assert_array_equal(next(parts), X[part])
        if k + 1 < len(PARTS):
            assert was_read[k + 1].wait(timeout=20)
        assert not any(event.is_set() for event in was_read[k + 2 :])
    assert list(parts) == []


def test_an_error_comes_when_its_part_is_due():
    """Check that the parts before it are there, and that the error is the reader's."""

    def read(rows):
        if 9 in rows:
            raise OSError("the disk is gone")
        return X[rows]

    parts = in_turn(LazyRows(read, X.shape, np.float32), PARTS)
    np.testing.assert_array_equal(next(parts), X[:8])
    with pytest.raises(OSError, match="the disk is gone"):
        next(parts)


def test_an_array_is_not_copied():
    """Check that parts of an array are views."""
    assert all(np.shares_memory(part, X) for part in in_turn(X, PARTS))
    assert list(in_turn(LazyRows(X.__getitem__, X.shape, np.float32), [])) == []
