# SPDX-License-Identifier: BSD-3-Clause
"""Say in a few words what a fit depends on, the same in every process."""

import hashlib
import io
from functools import partial
from threading import Thread
from types import MethodType

import numpy as np
import sklearn
import torch
from sklearn.base import BaseEstimator
from skorch.callbacks import Callback
from torch import nn

from confident_clf._version import __version__

# Letters of a description that are kept.
MAX_LENGTH = 10_000
# Hooks and the like of a module; its weights and layers matter.
_OF_TORCH = vars(nn.Module()).keys() - {"_parameters", "_buffers", "_modules"}


def fingerprint(params, arrays):
    """Return what decides the result of a fit, each item as text.

    Parameters
    ----------
    params : dict of str to object
        The parameters that matter.
    arrays : dict of str to ndarray or None
        The data; of them only a hash is kept.

    Returns
    -------
    dict of str to str
        The fingerprint.
    """
    versions = {
        "confident_clf": __version__,
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
        "torch": str(torch.__version__),
    }
    return {
        **{name: describe(value) for name, value in params.items()},
        **{name: describe(array) for name, array in arrays.items()},
        **{f"version of {name}": version for name, version in versions.items()},
    }


def describe(value, known=None):
    """Return text that tells a parameter's value from another, without addresses.

    Functions and classes are known by name: a change of their code goes unseen. An
    object is known by its type and its attributes but those that end in an underscore,
    which a fit may set.

    Parameters
    ----------
    value : object
        The value.
    known : dict or None, default=None
        What has been described on the way here, by id: an object may hold itself.

    Returns
    -------
    str
        The same in every process; long text is cut, and ends in its hash.
    """
    known = {} if known is None else known
    if id(value) not in known:
        # With the value itself, as the id of one that is gone may be given again.
        known[id(value)] = value, "itself"
        text = _describe(value, partial(describe, known=known))
        known[id(value)] = value, _cut(text)
    return known[id(value)][1]


def _describe(value, describe):
    """Return the text of a value, `describe` that of what it holds."""
    if isinstance(value, torch.Tensor):
        return f"tensor {value.dtype} {tuple(value.shape)} {_content(value)}"
    if isinstance(value, np.ndarray):
        if value.dtype == object or value.size <= 10:
            return describe(value.tolist())
        return f"{value.dtype} {value.shape} {_digest(np.ascontiguousarray(value))}"
    if isinstance(value, np.generic):
        return repr(value.item())
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(describe, value))}]"
    if isinstance(value, (set, frozenset)):  # its order is another in every process
        return f"set[{', '.join(sorted(map(describe, value)))}]"
    if isinstance(value, dict):
        names = [k if isinstance(k, str) else describe(k) for k in value]
        items = zip(names, map(describe, value.values()), strict=True)
        return f"{{{', '.join(f'{name}: {text}' for name, text in items)}}}"
    if isinstance(value, partial):
        return f"partial{describe([value.func, value.args, value.keywords])}"
    if isinstance(value, MethodType):
        return f"{_name(value)} of {describe(value.__self__)}"
    if hasattr(value, "__qualname__"):
        return _name(value)
    if isinstance(value, (io.IOBase, Thread)):  # no two processes have the same
        return _name(type(value))
    has_params = isinstance(value, (BaseEstimator, Callback))
    # A module prints its layers, not their weights and not its own attributes.
    if not has_params and not isinstance(value, nn.Module):
        text = repr(value)
        if " at 0x" not in text:
            return text
    state = value.get_params(deep=False) if has_params else _attributes(value)
    return f"{_name(type(value))}{describe(state) if state else ''}"


def _attributes(value):
    """Return an object's attributes but those that training sets, and torch's own."""
    names = list(getattr(value, "__dict__", ()))
    for kind in type(value).__mro__:
        slots = getattr(kind, "__slots__", ())
        names += [slots] if isinstance(slots, str) else slots
    left_out = _OF_TORCH if isinstance(value, nn.Module) else ()
    return {
        name: getattr(value, name)
        for name in names
        if not name.endswith("_") and name not in left_out and hasattr(value, name)
    }


def _content(tensor):
    """Return a hash of a tensor's bytes, whatever its dtype."""
    dense = tensor.detach().cpu().to_dense().resolve_conj().resolve_neg()
    return _digest(dense.flatten().contiguous().view(torch.uint8).numpy())


def _digest(data):
    """Return a hash of bytes, in words that can be read."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _cut(text):
    """Return text, of which a hash stands for what is after the first letters.

    What objects that hold each other say of themselves may grow without bounds.
    """
    if len(text) <= MAX_LENGTH:
        return text
    return f"{text[:MAX_LENGTH]}... {_digest(text.encode())}"


def _name(thing):
    """Return the full name of a class or function."""
    return f"{thing.__module__}.{thing.__qualname__}"
