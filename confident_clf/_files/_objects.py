# SPDX-License-Identifier: BSD-3-Clause
"""Write and read estimators, scores and sources: parameters and learned attributes.

A class is looked up by name in a table, and never imported by name. The table has only
those classes of scikit-learn that learn arrays and numbers and predict with NumPy, and
steps for tables and text, which `_steps` checks. A tree or a support vector machine
would pass indices from the file to compiled code, which does not check them.
"""

from collections.abc import Collection
from functools import partial
from inspect import signature
from typing import Any

import torch
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.pipeline import Pipeline

from confident_clf._classifier import ConfidentClassifier
from confident_clf._detection._detector import OODDetector
from confident_clf._detection._open_set import OpenSetClassifier
from confident_clf._files._classes import CLASSES, NETWORKS, STEPS
from confident_clf._files._columns import (
    MAX_COLUMNS,
    columns_to_keep,
    count_columns,
    is_selector,
    plain_columns,
    restore_columns,
)
from confident_clf._files._nets import classifier_state, restore_classifier
from confident_clf._files._steps import DERIVED, UFUNCS, is_ufunc, problem_of
from confident_clf._files._terms import pack, unpack
from confident_clf._files._values import CannotKeep, ValueReader, ValueWriter, kind_of
from confident_clf._search import ConfidentClassifierCV
from confident_clf.scores import OODScore
from confident_clf.sources import OODSource

# Parameters that hold estimators; a file must keep their values.
_HOLD_ESTIMATORS = ("estimator", "remainder", "steps")
# A file must not choose the folders that are read or written: joblib's has pickles.
_FOLDERS = ("checkpoint", "memory")
# predict needs these attributes, so load checks that the file has them. A detector may
# have seen too little of a stream for a threshold, which its methods say.
_REQUIRED = {
    ConfidentClassifier: (),
    ConfidentClassifierCV: ("beta_", "best_estimator_"),
    OODDetector: ("estimator_", "calibration_scores_", "n_calibration_"),
    OpenSetClassifier: ("detector_", "estimator_", "classes_"),
}
# A file must not choose how many processes are started.
_NOT_KEPT = {ColumnTransformer: ("n_jobs",)}
_MAX_OBJECTS = 1000
# In the parameters of one network, such as the widths of its layers.
_MAX_NUMBERS = 1000


def name_of(value: object) -> str:
    """Return what to call a value that a file cannot hold.

    Another library may have a class of the same name as one that a file can hold.
    """
    kind, name = type(value), type(value).__name__
    known = CLASSES.get(name, kind)
    if known is kind:
        return kind_of(value)
    package = known.__module__.split(".")[0]
    return f"a {kind.__module__}.{name}, which is not the {name} of {package}"


def join(path: str, name: str) -> str:
    """Return the name of a parameter inside an estimator, as in `get_params`."""
    return f"{path}__{name}" if path else name


def join_learned(path: str, name: str) -> str:
    """Return the name in `get_params` that belongs to a learned attribute.

    A fitted ``estimator_`` is a clone of `estimator`, so both have the same name. The
    detector of an open-set classifier has the parameters of that classifier.
    """
    if name == "detector_":
        return path
    return join(
        path, "estimator" if name == "best_estimator_" else name.removesuffix("_")
    )


class Writer(ValueWriter):
    """Encode estimators; list in `given` the parameters that load has to ask for."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[str] = []
        self._seen: dict[int, int] = {}  # id -> number
        self._n_columns = 0

    def attempt(self, value: Any, name: str) -> dict:
        """Return ``{"kept": encoded value}``, or ``{}`` if a file cannot hold it.

        A failed attempt leaves no tensors and no objects behind.
        """
        n_tensors, n_seen = len(self.tensors), len(self._seen)
        try:
            return {"kept": self.encode(value, name)}
        except CannotKeep:
            collected: tuple[tuple[dict, int], ...] = (
                (self.tensors, n_tensors),
                (self._seen, n_seen),
            )
            for kept, n in collected:
                for key in list(kept)[n:]:
                    del kept[key]
            return {}

    def encode_other(self, value: Any, name: str) -> dict:
        """Encode an object, the class of a network, or a partial of such a class."""
        if isinstance(value, type) and value in NETWORKS.values():
            return {"network": value.__name__}
        if isinstance(value, partial) and value.func in NETWORKS.values():
            if not value.args:
                keywords = self.encode(value.keywords, name)
                return {"network": value.func.__name__, "keywords": keywords}
        if CLASSES.get(type(value).__name__) is type(value):
            return self._encode_object(value, name)
        if is_ufunc(value):
            return {"function": value.__name__}
        if is_selector(value):
            dtypes = [value.dtype_include, value.dtype_exclude]
            return {"selector": self.encode(dtypes, name)}
        raise CannotKeep(f"{name or 'the estimator'} is {name_of(value)}")

    def _encode_object(self, value: BaseEstimator, path: str) -> dict:
        """Encode an object once; if it comes again, refer to it by its number."""
        if id(value) in self._seen:
            return {"same": self._seen[id(value)]}
        problem = problem_of(value)
        if problem:
            raise CannotKeep(f"{path or 'the estimator'} is a {problem}")
        self._n_columns = _columns_so_far(self._n_columns, value)
        self._seen[id(value)] = len(self._seen)
        node: dict[str, Any] = {"object": type(value).__name__}
        node["params"] = {
            name: self._encode_param(value, name, param, path)
            for name, param in _params_to_keep(value).items()
        }
        if isinstance(value, ConfidentClassifier):
            node["state"] = classifier_state(self, value)
        elif not isinstance(value, OODSource):  # a source in a parameter is not fitted
            node["state"] = self.attributes(value, path)
        return node

    def _encode_param(self, owner: Any, name: str, value: Any, path: str) -> Any:
        """Encode a parameter, or note that the user has to give it to load."""
        if name == "steps":
            return [[key, self.encode(step, join(path, key))] for key, step in value]
        if name == "transformers":
            return self._transformers(value, columns_to_keep(owner), path)
        if name == "device":
            return str(value)
        path = join(path, name)
        if isinstance(owner, OODSource | OODScore) or name in _HOLD_ESTIMATORS:
            return self.encode(value, path)
        is_folder = name in _FOLDERS and value is not None
        node = {} if is_folder else self.attempt(value, path)
        if "kept" not in node and path not in self.given:
            self.given.append(path)
        return node.get("kept", {"given": True})

    def attributes(self, value: BaseEstimator, path: str) -> dict:
        """Encode the learned attributes of an object."""
        hidden = {*value.get_params(deep=False), *_derived(type(value))}
        return {
            name: self._attribute(value, name, attribute, path)
            for name, attribute in vars(value).items()
            if name not in hidden
        }

    def _attribute(self, owner: Any, name: str, value: Any, path: str) -> Any:
        """Encode a learned attribute."""
        if type(owner) is ColumnTransformer and name == "transformers_":
            return self._transformers(value, [each[2] for each in value], path)
        if isinstance(owner, CountVectorizer) and name == "vocabulary_":
            value = pack(value)
        return self.encode(value, join_learned(path, name))

    def _transformers(self, value: list, columns: list, path: str) -> list:
        """Encode transformers with their names and columns."""
        return [
            [
                name,
                self.encode(each, join(path, name)),
                self.encode(its, join(path, name)),
            ]
            for (name, each, _), its in zip(
                value, map(plain_columns, columns), strict=True
            )
        ]


def _columns_so_far(n: int, value: BaseEstimator) -> int:
    """Add the columns that go into the transformers of an object."""
    if type(value) is ColumnTransformer and hasattr(value, "transformers_"):
        n += count_columns(value)
    if n > MAX_COLUMNS:
        raise ValueError(
            f"The ColumnTransformers select more than {MAX_COLUMNS} columns. Select "
            "fewer, or use joblib"
        )
    return n


def _derived(cls: type) -> tuple:
    """Return the attributes that a file does not hold."""
    return DERIVED if cls in STEPS else ("_metadata_request",)


def _params_to_keep(value: BaseEstimator) -> dict:
    """Return the parameters of an object; for scikit-learn's, only the non-defaults.

    Other versions of scikit-learn may lack some of the parameters of this one.
    """
    params = value.get_params(deep=False)
    if type(value) not in (*STEPS, Pipeline):
        return params
    defaults = signature(type(value)).parameters
    return {
        name: param
        for name, param in params.items()
        if repr(param) != repr(defaults[name].default)
        and name not in _NOT_KEPT.get(type(value), ())
    }


class Reader(ValueReader):
    """Decode estimators, with the parameters `given` to load.

    `device_param` replaces the parameter `device` of every classifier, unless it is
    None.
    """

    def __init__(
        self,
        tensors: dict[str, torch.Tensor],
        given: dict[str, Any],
        device_param: str | torch.device | None,
    ) -> None:
        super().__init__(tensors)
        self.given = given
        self.device_param = device_param
        self._objects_seen: list[BaseEstimator | None] = []
        self._n_columns = 0

    def decode_other(self, node: dict, name: str) -> Any:
        """Return an object, a network's class or a partial of it, or a given value."""
        if "object" in node:
            return self._object(node, name)
        if "same" in node:
            return self._same(node["same"], name)
        if "network" in node:
            return self._network(node, name)
        if "function" in node:
            return UFUNCS[node["function"]]
        if "selector" in node:
            include, exclude = self.decode(node["selector"], name)
            return make_column_selector(dtype_include=include, dtype_exclude=exclude)
        if "given" in node and name in self.given:
            return self.given[name]
        return super().decode_other(node, name)

    def _network(self, node: dict, name: str) -> type | partial:
        """Return the class of a network, or a partial of it."""
        network = NETWORKS[node["network"]]
        if "keywords" not in node:
            return network
        keywords = self.decode(node["keywords"], name)
        if _count(keywords) > _MAX_NUMBERS:
            raise ValueError(f"{name} has more than {_MAX_NUMBERS} numbers")
        return partial(network, **keywords)

    def _same(self, number: int, name: str) -> BaseEstimator:
        """Return an object that was decoded before."""
        if type(number) is not int or not 0 <= number < len(self._objects_seen):
            raise ValueError(f"{name} refers to an object that does not exist")
        if self._objects_seen[number] is None:
            raise ValueError(f"{name} contains itself")
        return self._objects_seen[number]

    def _object(self, node: dict, path: str) -> BaseEstimator:
        """Return an object with valid parameters and its learned attributes."""
        cls, number = CLASSES[node["object"]], len(self._objects_seen)
        if number >= _MAX_OBJECTS:
            raise ValueError(f"it has more than {_MAX_OBJECTS} objects")
        self._objects_seen.append(None)
        value = cls(**self._params(cls, node["params"], path))
        if hasattr(cls, "_parameter_constraints"):
            value._validate_params()
        if cls is ConfidentClassifier:
            restore_classifier(self, value, node["state"])
        elif not isinstance(value, OODSource):
            hidden = _derived(cls)
            self.set_attributes(value, node["state"], path, also_hidden=hidden)
        problem = problem_of(value)
        if problem:
            raise ValueError(f"{path or 'the estimator'} is a wrong {problem}")
        self._n_columns = _columns_so_far(self._n_columns, value)
        if cls is ColumnTransformer and hasattr(value, "transformers_"):
            restore_columns(value)
        self._objects_seen[number] = value
        return value

    def _params(self, cls: type, nodes: dict, path: str) -> dict:
        """Return the decoded parameters of an object."""
        known = set(signature(cls).parameters) - set(_NOT_KEPT.get(cls, ()))
        unknown = set(nodes) - known
        if unknown:
            raise ValueError(f"{cls.__name__} has no parameter {min(unknown)[:50]!r}")
        for name in _FOLDERS:
            if nodes.get(name) not in (None, {"given": True}):
                raise ValueError(f"{cls.__name__}.{name} names a folder")
        params = {
            name: self.decode(node, join(path, name))
            for name, node in nodes.items()
            if name not in ("steps", "transformers")
        }
        if "steps" in nodes:
            params["steps"] = [
                (str(name), self.decode(step, join(path, str(name))))
                for name, step in nodes["steps"]
            ]
        if "transformers" in nodes:
            params["transformers"] = self._transformers(nodes["transformers"], path)
        if cls is ConfidentClassifier and self.device_param is not None:
            params["device"] = self.device_param
        return params

    def set_attributes(
        self,
        value: BaseEstimator,
        nodes: dict,
        path: str,
        *,
        also_hidden: Collection[str] = (),
    ) -> None:
        """Set the learned attributes of an object.

        Refuse names that could change what its class does: parameters, methods and
        everything else that the class defines.
        """
        for name, node in nodes.items():
            if (
                not name.isidentifier()
                or name.startswith("__")
                or hasattr(type(value), name)
                or name in signature(type(value)).parameters
                or name in also_hidden
            ):
                raise ValueError(f"{type(value).__name__} does not learn {name[:50]!r}")
            setattr(value, name, self._attribute(value, name, node, path))
        missing = set(_REQUIRED.get(type(value), ())) - set(nodes)
        if nodes and missing:
            raise ValueError(f"{type(value).__name__} lacks {min(missing)}")

    def _attribute(self, owner: Any, name: str, node: Any, path: str) -> Any:
        """Return a learned attribute."""
        if type(owner) is ColumnTransformer and name == "transformers_":
            return self._transformers(node, path)
        path = join_learned(path, name)
        value = self.decode(node, path)
        if isinstance(owner, CountVectorizer) and name == "vocabulary_":
            return unpack(value, path)
        return value

    def _transformers(self, nodes: list, path: str) -> list:
        """Return transformers with their names and columns."""
        return [
            (
                str(name),
                self.decode(each, join(path, str(name))),
                self.decode(columns, join(path, str(name))),
            )
            for name, each, columns in nodes
        ]


def _count(value: Any) -> int:
    """Return how many numbers and strings a nested value contains."""
    if isinstance(value, dict):
        return sum(map(_count, value.values()))
    return sum(map(_count, value)) if isinstance(value, list | tuple) else 1
