# SPDX-License-Identifier: BSD-3-Clause
"""The user's callbacks."""

import dis
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


def any_overrides(named_callbacks, *methods):
    """Return whether a callback does something in one of the methods.

    Parameters
    ----------
    named_callbacks : list of (str, Callback)
        As a net has them.
    *methods : str
        Names of methods of :class:`skorch.callbacks.Callback`.

    Returns
    -------
    bool
        False if all have what they inherit, which does nothing.
    """
    return any(
        getattr(type(callback), method) is not getattr(Callback, method)
        for _, callback in named_callbacks
        for method in methods
    )


def comes_from_raise(error):
    """Return whether an exception was raised by a statement, not by a signal.

    Parameters
    ----------
    error : BaseException
        As it was caught.

    Returns
    -------
    bool
        True for a `raise` anywhere below.
    """
    innermost = error.__traceback__
    while innermost.tb_next is not None:
        innermost = innermost.tb_next
    code = innermost.tb_frame.f_code.co_code
    return code[innermost.tb_lasti] == dis.opmap["RAISE_VARARGS"]
