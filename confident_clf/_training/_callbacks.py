# SPDX-License-Identifier: BSD-3-Clause
"""Callbacks: the user's, the printed history, and which events they listen to."""

import sys
from copy import deepcopy

from skorch.callbacks import Callback, PrintLog


class QuietPrintLog(PrintLog):
    """Print a line per epoch, if that is asked for and there is an output to print to.

    A Windows service has none, and skorch flushes it whatever `verbose` is.
    """

    def on_epoch_end(self, net, **kwargs):
        """Print the figures of an epoch."""
        if net.verbose and sys.stdout is not None:
            super().on_epoch_end(net, **kwargs)


def own_callbacks(callbacks):
    """Return copies of the user's callbacks, for one net.

    Raises TypeError for an item that is not a callback, a class of one, None, or a pair
    of a name and one of these.
    """
    for item in callbacks or ():
        is_pair = isinstance(item, (tuple, list)) and len(item) == 2
        callback = item[1] if is_pair else item
        kind = callback if isinstance(callback, type) else type(callback)
        if callback is not None and not issubclass(kind, Callback):
            raise TypeError(
                "callbacks must hold callbacks of skorch, or pairs (name, callback); "
                f"got {item!r}."
            )
    return deepcopy(callbacks)


def any_overrides(named_callbacks: list[tuple[str, Callback]], *methods: str) -> bool:
    """Return whether a callback overrides one of the methods of skorch's Callback."""
    return any(
        getattr(type(callback), method) is not getattr(Callback, method)
        for _, callback in named_callbacks
        for method in methods
    )
