# SPDX-License-Identifier: BSD-3-Clause
"""The user's callbacks."""

from copy import deepcopy

from skorch.callbacks import Callback


def own_callbacks(callbacks):
    """Return copies of a user's callbacks, for one net.

    Parameters
    ----------
    callbacks : sequence or None
        Callbacks of skorch, or classes of them, or pairs of name and callback; None in
        place of one is left out.

    Returns
    -------
    sequence or None
        The copies.

    Raises
    ------
    TypeError
        If one of them is something else.
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
