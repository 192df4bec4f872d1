# SPDX-License-Identifier: BSD-3-Clause
"""Callbacks: the user's, the printed history, and which events they listen to."""

import sys
from copy import deepcopy
from types import MethodType

from skorch.callbacks import (
    Callback,
    Checkpoint,
    LoadInitState,
    PrintLog,
    TrainEndCheckpoint,
)
from torch import Tensor

# Methods of things that are written to: files, loggers, clients of a tracker.
_WRITES = ("write", "log", "log_metric", "log_scalar", "add_scalar")
# Where skorch's loggers keep what they write to.
_LOGS = ("writer", "wandb_run", "run", "run_", "client", "client_", "experiment")


class QuietPrintLog(PrintLog):
    """Print a line per epoch, if that is asked for and there is an output to print to.

    A Windows service has none, and skorch flushes it whatever `verbose` is.
    """

    def on_epoch_end(self, net, **kwargs):
        """Print the figures of an epoch."""
        if net.verbose and sys.stdout is not None:
            super().on_epoch_end(net, **kwargs)


# Where scikit-learn's `set_callbacks` puts them.
_SET = "_skl_callbacks"


def own_callbacks(callbacks):
    """Return copies of the user's callbacks, for one net.

    Raises TypeError for an item that is not a callback, a class of one, None, or a pair
    of a name and one of these.
    """
    for item, callback in zip(callbacks or (), _without_names(callbacks), strict=True):
        kind = callback if isinstance(callback, type) else type(callback)
        if callback is not None and not issubclass(kind, Callback):
            raise TypeError(
                "callbacks must hold callbacks of skorch, or pairs (name, callback); "
                f"got {item!r}."
            )
    return deepcopy(callbacks, shared_parts(callbacks))


def deepcopied(estimator, memo: dict):
    """Return a deep copy that shares with the callbacks what they write to."""
    memo |= shared_parts(estimator.callbacks)
    # scikit-learn's clone shares its callbacks, too.
    memo |= {id(callback): callback for callback in vars(estimator).get(_SET, [])}
    memo[id(estimator)] = twin = object.__new__(type(estimator))
    vars(twin).update(deepcopy(vars(estimator), memo))
    return twin


def shared_parts(callbacks) -> dict[int, object]:
    """Return what copies of callbacks share with them: the second argument of deepcopy.

    A copy writes to the same files, loggers and runs of a tracker, because that is
    where the user looks for the log. What cannot be copied, such as a lock, is shared
    too.
    """
    shared = {}
    for callback in _without_names(callbacks):
        for name, value in getattr(callback, "__dict__", {}).items():
            if isinstance(value, MethodType):  # a sink, such as logger.info
                name, value = "writer", value.__self__
            is_callback = isinstance(value, (Callback, type))
            if not is_callback and (_is_log(name, value) or _is_stuck(name, value)):
                shared[id(value)] = value
    return shared


def _is_log(name: str, value: object) -> bool:
    """Return whether an attribute of a callback is something that it writes to."""
    if value is None or isinstance(value, (str, Tensor)):  # a tensor has a logarithm
        return False
    return name in _LOGS or any(hasattr(value, method) for method in _WRITES)


def _is_stuck(name: str, value: object) -> bool:
    """Return whether an attribute that the user has set cannot be copied."""
    if name.endswith("_"):  # learnt in a fit
        return False
    try:
        deepcopy(value)
    except Exception:  # objects raise what they like
        return True
    return False


def _without_names(callbacks) -> list:
    """Return the callbacks of a list that may hold pairs of a name and a callback."""
    return [
        item[1] if isinstance(item, (tuple, list)) and len(item) == 2 else item
        for item in callbacks or ()
    ]


def any_overrides(named_callbacks: list[tuple[str, Callback]], *methods: str) -> bool:
    """Return whether a callback overrides one of the methods of skorch's Callback."""
    return any(
        getattr(type(callback), method) is not getattr(Callback, method)
        for _, callback in named_callbacks
        for method in methods
    )


def look_at_batches(named_callbacks: list[tuple[str, Callback]]) -> bool:
    """Return whether a callback needs the history of batches.

    Those that write files can have figures of the last batch in their names.
    """
    writers = Checkpoint, TrainEndCheckpoint, LoadInitState
    return any_overrides(named_callbacks, "on_batch_begin", "on_batch_end") or any(
        isinstance(callback, writers) for _, callback in named_callbacks
    )
