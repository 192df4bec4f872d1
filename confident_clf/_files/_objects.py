# SPDX-License-Identifier: BSD-3-Clause
"""Estimators, scores and sources: their class, parameters and learnt attributes.

Classes are found by name in a table, never imported by name. Those of scikit-learn in
it have arrays and numbers for a state, and predict with NumPy alone: a tree or a
support vector machine would hand indices from a file to compiled code, unchecked.
"""

from functools import partial
from inspect import signature

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
from confident_clf.scores import GEN, KNN, ODIN, RMD, Mahalanobis, OODScore, ReAct, ViM
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
_SCORES = (GEN, KNN, ODIN, RMD, Mahalanobis, NamedScore, ReAct, ViM)
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
# Parameters that hold estimators; what is in them must be kept.
_HOLD_ESTIMATORS = ("estimator", "steps")
# A folder that a file names may not be one to read or write: joblib's has pickles.
_FOLDERS = ("checkpoint", "memory")
# What load must find, so that predict finds it.
_REQUIRED = {
    ConfidentClassifier: (),
    ConfidentClassifierCV: ("beta_", "best_estimator_"),
    OODDetector: ("estimator_", "calibration_scores_", "n_calibration_", "threshold_"),
    OpenSetClassifier: ("detector_", "estimator_", "classes_", "threshold_"),
}
_MAX_OBJECTS = 1000
# In the parameters of a network, such as widths of layers.
_MAX_NUMBERS = 1000


def join(path, name):
    """Return the name of a parameter inside an estimator, as in `get_params`."""
    return f"{path}__{name}" if path else name


def join_learnt(path, name):
    """Return the name that parameters inside a learnt attribute have.

    It is the same for a fitted ``estimator_`` as for the parameter that it is a clone
    of; a detector in an open-set classifier has the parameters of that.
    """
    if name == "detector_":
        return path
    return join(
        path, "estimator" if name == "best_estimator_" else name.removesuffix("_")
    )


class Writer(ValueWriter):
    """Encode estimators.

    Attributes
    ----------
    given : list of str
        Parameters that the caller of load must give.
    """

    def __init__(self):
        super().__init__()
        self.given = []
        self._seen = {}  # id -> number

    def attempt(self, value, name):
        """Return ``{"kept": encoded value}``, or ``{}`` if there is no form for it."""
        n_tensors, n_seen = len(self.tensors), len(self._seen)
        try:
            return {"kept": self.encode(value, name)}
        except CannotKeep:
            for collected, n in ((self.tensors, n_tensors), (self._seen, n_seen)):
                for key in list(collected)[n:]:
                    del collected[key]
            return {}

    def encode_other(self, value, name):
        """Return the form of an object, or of a network's class or partial."""
        if isinstance(value, type) and value in _NETWORKS.values():
            return {"network": value.__name__}
        if isinstance(value, partial) and value.func in _NETWORKS.values():
            if not value.args:
                keywords = self.encode(value.keywords, name)
                return {"network": value.func.__name__, "keywords": keywords}
        if _CLASSES.get(type(value).__name__) is type(value):
            return self._encode_object(value, name)
        raise CannotKeep(f"{name or 'the estimator'} is {kind_of(value)}")

    def _encode_object(self, value, path):
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
        elif not isinstance(value, OODSource):  # as a parameter, it is never fitted
            node["state"] = self.attributes(value, path)
        return node

    def _encode_param(self, owner, name, value, path):
        """Return a parameter, or that it is given by the user."""
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

    def attributes(self, value, path):
        """Return what an object has learnt."""
        params = value.get_params(deep=False)
        return {
            name: self.encode(attribute, join_learnt(path, name))
            for name, attribute in vars(value).items()
            if name not in params and name != "_metadata_request"
        }


def _params_to_keep(value):
    """Return parameters; of scikit-learn's classes, those that are not the default.

    Other versions may have no other parameters than this one, or other defaults.
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
    """Decode estimators.

    Parameters
    ----------
    tensors : dict of str to Tensor
        Those of the file.
    given : dict of str to object
        Parameters that the caller of load gives.
    device : str, torch.device or None
        Where to put the networks; None: where the parameter says.
    """

    def __init__(self, tensors, given, device_param):
        super().__init__(tensors)
        self.given = given
        self.device_param = device_param
        self.device = None  # that of the classifier that is being read
        self._objects_seen = []

    def decode_other(self, node, name):
        """Return an object, a network's class or a partial of it, or what is given."""
        if "object" in node:
            return self._object(node, name)
        if "same" in node:
            return self._same(node["same"], name)
        if "network" in node:
            return self._network(node, name)
        if "given" in node and name in self.given:
            return self.given[name]
        return super().decode_other(node, name)

    def _network(self, node, name):
        network = _NETWORKS[node["network"]]
        if "keywords" not in node:
            return network
        keywords = self.decode(node["keywords"], name)
        if _count(keywords) > _MAX_NUMBERS:
            raise ValueError(f"{name} has more than {_MAX_NUMBERS} numbers")
        return partial(network, **keywords)

    def _same(self, number, name):
        if type(number) is not int or not 0 <= number < len(self._objects_seen):
            raise ValueError(f"{name} is the same as nothing")
        if self._objects_seen[number] is None:
            raise ValueError(f"{name} holds itself")
        return self._objects_seen[number]

    def _object(self, node, path):
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

    def _params(self, cls, nodes, path):
        """Return the parameters of an object."""
        unknown = set(nodes) - set(signature(cls).parameters)
        if unknown:
            raise ValueError(f"{cls.__name__} has no parameter {min(unknown)[:50]!r}")
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

    def set_attributes(self, value, nodes, path, *, also_hidden=()):
        """Set what an object has learnt; nothing that its class defines."""
        for name, node in nodes.items():
            if (
                not name.isidentifier()
                or name.startswith("__")
                or hasattr(type(value), name)
                or name in signature(type(value)).parameters
                or name in also_hidden
            ):
                raise ValueError(f"{type(value).__name__} learns no {name[:50]!r}")
            setattr(value, name, self.decode(node, join_learnt(path, name)))
        missing = set(_REQUIRED.get(type(value), ())) - set(nodes)
        if nodes and missing:
            raise ValueError(f"{type(value).__name__} lacks {min(missing)}")


def _count(value):
    """Return how many numbers and strings a nested value has."""
    if isinstance(value, dict):
        return sum(map(_count, value.values()))
    return sum(map(_count, value)) if isinstance(value, list | tuple) else 1
