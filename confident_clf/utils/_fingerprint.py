# SPDX-License-Identifier: BSD-3-Clause
"""Say in a few words what a fit depends on, the same in every process."""

import hashlib
from functools import partial

import numpy as np
import sklearn
import torch
from sklearn.base import BaseEstimator

from confident_clf._version import __version__


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


def describe(value):
    """Return text that tells a parameter's value from another, without addresses.

    Functions and classes are known by name: a change of their code goes unseen.
    """
    if isinstance(value, np.ndarray):
        if value.dtype == object or value.size <= 10:
            return describe(value.tolist())
        digest = hashlib.blake2b(np.ascontiguousarray(value), digest_size=16)
        return f"{value.dtype} {value.shape} {digest.hexdigest()}"
    if isinstance(value, np.generic):
        return repr(value.item())
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(describe, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{k}: {describe(v)}' for k, v in value.items())}}}"
    if isinstance(value, BaseEstimator):
        return f"{_name(type(value))}{describe(value.get_params(deep=False))}"
    if isinstance(value, partial):
        return f"partial{describe([value.func, value.args, value.keywords])}"
    if hasattr(value, "__qualname__"):
        return _name(value)
    text = repr(value)
    return _name(type(value)) if " at 0x" in text else text


def _name(thing):
    """Return the full name of a class or function."""
    return f"{thing.__module__}.{thing.__qualname__}"
