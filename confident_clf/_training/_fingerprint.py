# SPDX-License-Identifier: BSD-3-Clause
"""Describe in words what a fit depends on, the same in every process."""

import hashlib
import io
from collections.abc import Callable, Iterable
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
from confident_clf.utils._lazy import LazyRows
from confident_clf.utils._torch import MODULE_INTERNALS

# Longest description that is kept as it is, in characters.
MAX_LENGTH = 10_000
# Of a module, weights and layers matter; hooks and the like do not.
_IGNORED = MODULE_INTERNALS - {"_parameters", "_buffers", "_modules"}


def fingerprint(params: dict, arrays: dict) -> dict[str, str]:
    """Return what decides the result of a fit, each item as text.

    Of arrays, which may be None, only a hash is kept.
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


def describe(value, known: dict | None = None) -> str:
    """Return text that tells a parameter's value from another, without addresses.

    The text is the same in every process; where it is long, a hash replaces its end.
    Functions and classes are known by name, so a change of their code goes unseen. An
    object is known by its type and its attributes, without those that end in an
    underscore, which a fit may set. `known` holds, by id, what was described on the way
    here: an object may hold itself.
    """
    known = {} if known is None else known
    if id(value) not in known:
        # Keep the value too: the id of one that is gone may be used again.
        known[id(value)] = value, "itself"
        text = _describe(value, partial(describe, known=known))
        known[id(value)] = value, _cut(text)
    return known[id(value)][1]


def _describe(value, describe: Callable) -> str:
    """Return the text of a value; `describe` returns that of its contents."""
    if isinstance(value, torch.Tensor):
        return f"tensor {value.dtype} {tuple(value.shape)} {_content(value)}"
    if isinstance(value, LazyRows):
        return f"{value.dtype} {value.shape} {_digest(value.blocks())}"
    if isinstance(value, np.ndarray):
        if value.dtype == object or value.size <= 10:
            return describe(value.tolist())
        return f"{value.dtype} {value.shape} {_digest([np.ascontiguousarray(value)])}"
    if isinstance(value, np.generic):
        return repr(value.item())
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(describe, value))}]"
    if isinstance(value, (set, frozenset)):  # the order differs between processes
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
    if isinstance(value, (io.IOBase, Thread)):  # differ between processes
        return _name(type(value))
    has_params = isinstance(value, (BaseEstimator, Callback))
    # The repr of a module has its layers, but not their weights nor its attributes.
    if not has_params and not isinstance(value, nn.Module):
        text = repr(value)
        if " at 0x" not in text:
            return text
    state = value.get_params(deep=False) if has_params else _attributes(value)
    return f"{_name(type(value))}{describe(state) if state else ''}"


def _attributes(value) -> dict:
    """Return an object's attributes, without those of training and of torch."""
    names = list(getattr(value, "__dict__", ()))
    for kind in type(value).__mro__:
        slots = getattr(kind, "__slots__", ())
        names += [slots] if isinstance(slots, str) else slots
    left_out = _IGNORED if isinstance(value, nn.Module) else ()
    return {
        name: getattr(value, name)
        for name in names
        if not name.endswith("_") and name not in left_out and hasattr(value, name)
    }


def _content(tensor: torch.Tensor) -> str:
    """Return a hash of a tensor's bytes, for every dtype."""
    dense = tensor.detach().cpu().to_dense().resolve_conj().resolve_neg()
    return _digest([dense.flatten().contiguous().view(torch.uint8).numpy()])


def _digest(parts: Iterable) -> str:
    """Return a hash of bytes, which come in parts, as hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _cut(text: str) -> str:
    """Return text; if it is long, its beginning and a hash of all of it.

    The text of objects that hold each other may grow without bounds.
    """
    if len(text) <= MAX_LENGTH:
        return text
    return f"{text[:MAX_LENGTH]}... {_digest([text.encode()])}"


def _name(thing) -> str:
    """Return the full name of a class or function."""
    return f"{thing.__module__}.{thing.__qualname__}"
