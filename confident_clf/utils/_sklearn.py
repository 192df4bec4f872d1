# SPDX-License-Identifier: BSD-3-Clause
"""The one home of scikit-learn imports that are not public, and so may move.

Decorators are here too, with types: of an untyped one, a method has no type.
"""

from collections.abc import Callable

import sklearn.base
import sklearn.utils.metaestimators
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils import _safe_indexing
from sklearn.utils._array_api import _convert_to_numpy, get_namespace_and_device
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    RealNotInt,
    StrOptions,
)
from sklearn.utils.metadata_routing import _routing_enabled
from sklearn.utils.metaestimators import _safe_split
from sklearn.utils.validation import (
    _check_method_params,
    _get_feature_names,
    _num_samples,
)

from confident_clf.utils._types import Function

# Both keep the signature of the method that they decorate.
_fit_context: Callable[..., Callable[[Function], Function]] = sklearn.base._fit_context
available_if: Callable[[Callable], Callable[[Function], Function]] = (
    sklearn.utils.metaestimators.available_if
)

__all__ = [
    "BaseSearchCV",
    "HasMethods",
    "Interval",
    "RealNotInt",
    "StrOptions",
    "_check_method_params",
    "_convert_to_numpy",
    "_fit_context",
    "_get_feature_names",
    "_num_samples",
    "_routing_enabled",
    "_safe_indexing",
    "_safe_split",
    "available_if",
    "get_namespace_and_device",
]
