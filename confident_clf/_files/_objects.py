# SPDX-License-Identifier: BSD-3-Clause
"""Write and read estimators, scores and sources: parameters and learned attributes.

A class is looked up by name in a table, and never imported by name. The table has only
those classes of scikit-learn that learn arrays and numbers and predict with NumPy. A
tree or a support vector machine would pass indices from the file to compiled code,
which does not check them.
"""

from collections.abc import Collection
from functools import partial
from inspect import signature
from typing import Any

import torch
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.feature_selection import VarianceThreshold
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)

from confident_clf._classifier import ConfidentClassifier
from confident_clf._detection._detector import OODDetector
from confident_clf._detection._open_set import OpenSetClassifier
from confident_clf._files._nets import classifier_state, restore_classifier
from confident_clf._files._values import CannotKeep, ValueReader, ValueWriter, kind_of
from confident_clf._search import ConfidentClassifierCV
from confident_clf.modules import (
    MLP,
    VGG,
    DCDiscriminator,
    DCGenerator,
    MLPDiscriminator,
    MLPGenerator,
    SmallConvNet,
)
from confident_clf.scores import (
    GEN,
    KNN,
    ODIN,
    RMD,
    AutoScore,
    Fused,
    InputScore,
    Mahalanobis,
    OODScore,
    ReAct,
    ViM,
)
from confident_clf.scores._score import NamedScore
from confident_clf.sources import (
    ExplicitOOD,
    FeatureOOD,
    JointGAN,
    MixtureOOD,
    NoiseOOD,
    OODSource,
    OriginalGAN,
)

ESTIMATORS = (
    ConfidentClassifier,
    ConfidentClassifierCV,
    OODDetector,
    OpenSetClassifier,
)
STEPS = (
    GaussianMixture,
    LogisticRegression,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    PCA,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    SimpleImputer,
    StandardScaler,
    VarianceThreshold,
)
_SCORES = (
    GEN,
    KNN,
    ODIN,
    RMD,
    AutoScore,
    Fused,
    InputScore,
    Mahalanobis,
    NamedScore,
    ReAct,
    ViM,
)
_SOURCES = (ExplicitOOD, FeatureOOD, JointGAN, MixtureOOD, NoiseOOD, OriginalGAN)
_CLASSES = {
    cls.__name__: cls
    for cls in (*ESTIMATORS, Pipeline, FrozenEstimator, *STEPS, *_SOURCES, *_SCORES)
}
_NETWORKS = {
    cls.__name__: cls
    for cls in (
        MLP,
        VGG,
        DCDiscriminator,
        DCGenerator,
        MLPDiscriminator,
        MLPGenerator,
        SmallConvNet,
    )
}
# Parameters that hold estimators; a file must keep their values.
_HOLD_ESTIMATORS = ("estimator", "steps")
# A file must not choose the folders that are read or written: joblib's has pickles.
_FOLDERS = ("checkpoint", "memory")
# predict needs these attributes, so load checks that the file has them.
_REQUIRED = {
    ConfidentClassifier: (),
    ConfidentClassifierCV: ("beta_", "best_estimator_"),
    OODDetector: ("estimator_", "calibration_scores_", "n_calibration_", "threshold_"),
    OpenSetClassifier: ("detector_", "estimator_", "classes_", "threshold_"),
}
_MAX_OBJECTS = 1000
# In the parameters of one network, such as the widths of its layers.
_MAX_NUMBERS = 1000


def name_of(value: object) -> str:
    """Return what to call a value that a file cannot hold.

    Another library may have a class of the same name as one that a file can hold.
    """
    kind, name = type(value), type(value).__name__
    known = _CLASSES.get(name, kind)
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

    def attempt(self, value: Any, name: str) -> dict:
        """Return ``{"kept": encoded value}``, or ``{}`` if a file cannot hold it.

        A failed attempt leaves no tensors and no objects behind.
        """
        n_tensors, n_seen = len(self.tensors), len(self._seen)
        try:
            return {"kept": self.encode(value, name)}
        except CannotKeep:
            for collected, n in ((self.tensors, n_tensors), (self._seen, n_seen)):
                for key in list(collected)[n:]:
                    del collected[key]
            return {}

    def encode_other(self, value: Any, name: str) -> dict:
        """Encode an object, the class of a network, or a partial of such a class."""
        if isinstance(value, type) and value in _NETWORKS.values():
            return {"network": value.__name__}
        if isinstance(value, partial) and value.func in _NETWORKS.values():
            if not value.args:
                keywords = self.encode(value.keywords, name)
                return {"network": value.func.__name__, "keywords": keywords}
        if _CLASSES.get(type(value).__name__) is type(value):
            return self._encode_object(value, name)
        raise CannotKeep(f"{name or 'the estimator'} is {name_of(value)}")

    def _encode_object(self, value: BaseEstimator, path: str) -> dict:
        """Encode an object once; if it comes again, refer to it by its number."""
        if id(value) in self._seen:
            return {"same": self._seen[id(value)]}
        self._seen[id(value)] = len(self._seen)
        node = {"object": type(value).__name__}
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
        params = value.get_params(deep=False)
        return {
            name: self.encode(attribute, join_learned(path, name))
            for name, attribute in vars(value).items()
            if name not in params and name != "_metadata_request"
        }


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
        # The device of the classifier that is being read.
        self.device: torch.device | None = None
        self._objects_seen: list[BaseEstimator | None] = []

    def decode_other(self, node: dict, name: str) -> Any:
        """Return an object, a network's class or a partial of it, or a given value."""
        if "object" in node:
            return self._object(node, name)
        if "same" in node:
            return self._same(node["same"], name)
        if "network" in node:
            return self._network(node, name)
        if "given" in node and name in self.given:
            return self.given[name]
        return super().decode_other(node, name)

    def _network(self, node: dict, name: str) -> type | partial:
        """Return the class of a network, or a partial of it."""
        network = _NETWORKS[node["network"]]
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
        cls, number = _CLASSES[node["object"]], len(self._objects_seen)
        if number >= _MAX_OBJECTS:
            raise ValueError(f"it has more than {_MAX_OBJECTS} objects")
        self._objects_seen.append(None)
        value = cls(**self._params(cls, node["params"], path))
        if hasattr(cls, "_parameter_constraints"):
            value._validate_params()
        if cls is ConfidentClassifier:
            restore_classifier(self, value, node["state"])
        elif not isinstance(value, OODSource):
            self.set_attributes(value, node["state"], path)
        self._objects_seen[number] = value
        return value

    def _params(self, cls: type, nodes: dict, path: str) -> dict:
        """Return the decoded parameters of an object."""
        unknown = set(nodes) - set(signature(cls).parameters)
        if unknown:
            raise ValueError(f"{cls.__name__} has no parameter {min(unknown)[:50]!r}")
        for name in _FOLDERS:
            if nodes.get(name) not in (None, {"given": True}):
                raise ValueError(f"{cls.__name__}.{name} names a folder")
        params = {
            name: self.decode(node, join(path, name))
            for name, node in nodes.items()
            if name != "steps"
        }
        if "steps" in nodes:
            params["steps"] = [
                (str(name), self.decode(step, join(path, str(name))))
                for name, step in nodes["steps"]
            ]
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
            setattr(value, name, self.decode(node, join_learned(path, name)))
        missing = set(_REQUIRED.get(type(value), ())) - set(nodes)
        if nodes and missing:
            raise ValueError(f"{type(value).__name__} lacks {min(missing)}")


def _count(value: Any) -> int:
    """Return how many numbers and strings a nested value contains."""
    if isinstance(value, dict):
        return sum(map(_count, value.values()))
    return sum(map(_count, value)) if isinstance(value, list | tuple) else 1
