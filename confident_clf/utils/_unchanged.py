# SPDX-License-Identifier: BSD-3-Clause
"""Leave an estimator as it was when a call on it fails."""

from contextlib import contextmanager


@contextmanager
def unchanged_on_error(estimator):
    """Give an estimator its attributes back if the block raises, Ctrl-C included.

    The block may set attributes. It must not change their values in place.
    """
    before = vars(estimator).copy()
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise
