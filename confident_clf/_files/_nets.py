# SPDX-License-Identifier: BSD-3-Clause
"""Write the networks of a classifier and of its source, and read them back.

The factory of the fit builds a network again, and the tensors of the file are set in
it. Before that it is built on torch's "meta" device, which takes no memory, and
compared with these tensors. So a header cannot ask for a network that the file does not
fill.
"""

import math
import warnings
from collections.abc import Callable
from functools import partial
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.base import clone
from skorch.history import History
from torch import nn

from confident_clf._classifier import ConfidentClassifier
from confident_clf._files._values import (
    CannotKeep,
    kind_of,
)
from confident_clf._networks._build import ClassifierFactory
from confident_clf._samples import SampleFormat
from confident_clf._training._fine_tuning import set_groups
from confident_clf._training._make_net import new_net
from confident_clf._training._net import JointNet
from confident_clf.scores import OODScore
from confident_clf.scores._make_score import make_score
from confident_clf.sources import OODSource
from confident_clf.sources._regime import Regime, make_regime
from confident_clf.utils._compute import one_thread, resolve_device
from confident_clf.utils._seeding import seeded
from confident_clf.utils._tensors import move_learned
from confident_clf.utils._torch import MODULE_INTERNALS
from confident_clf.utils._units import PixelRange

if TYPE_CHECKING:  # they import this file
    from confident_clf._files._objects import Reader, Writer

_LEARNED = ("classes_", "n_features_in_", "feature_names_in_", "input_shape_")
_MAX_SIDE = 2**24
_MAX_EPOCHS = 10**6
# What reading sets itself, or torch does.
_NOT_IN_FILES = MODULE_INTERNALS | {"device"}


def classifier_state(writer: "Writer", clf: ConfidentClassifier) -> dict:
    """Return what a classifier has learned, for JSON; {} if it is not fitted."""
    if not hasattr(clf, "net_"):
        return {}
    net, shape = clf.net_, clf._format
    if shape.shape is None:
        raise CannotKeep("the shape of a sample is not known yet")
    state = {
        name: writer.encode(getattr(clf, name), name)
        for name in _LEARNED
        if hasattr(clf, name)
    }
    state["format"] = [list(shape.shape), shape.dtype.name, shape.max]
    if shape.pixels is not None:
        state["pixels"] = list(shape.pixels)
    if hasattr(clf, "method_"):  # a network trained elsewhere may have none yet
        state["score"] = _score_state(writer, clf)
    state["net"] = {
        "factory": writer.attempt(net.module.module, "module"),
        "source": writer.attempt(net.source, "ood_source"),
        "n_outputs": net.module.n_outputs,
        "ood_target": net.ood_target,
        "bfloat16": net.bfloat16,
        "single_thread": net.single_thread,
        "history": writer.encode(_columns(net.history), "history"),
        "network": _network_state(writer, net.module_),
    }
    if net.part_rates_:
        state["net"]["rates"] = writer.encode(net.part_rates_, "backbone_lr")
    if net.source is not None:
        state["net"]["source_state"] = _source_state(writer, net.source_)
    return state


def restore_classifier(reader: "Reader", clf: ConfidentClassifier, state: dict) -> None:
    """Set what a classifier with valid parameters had learned."""
    if not state:
        return
    for name in _LEARNED:
        if name in state:
            setattr(clf, name, reader.decode(state[name], name))
    shape, dtype, high = state["format"]
    pixels = state.get("pixels")  # files of earlier versions have none
    if pixels is not None:
        pixels = PixelRange(*map(float, pixels))
    clf._format = SampleFormat(tuple(shape), np.dtype(str(dtype)), float(high), pixels)
    _check_samples(clf)
    reader.device = resolve_device(clf.device)
    clf.net_ = _restore_net(reader, clf, state["net"])
    if "score" in state:
        clf.method_ = _restore_score(reader, clf, state["score"])


def _check_samples(clf: ConfidentClassifier) -> None:
    """Raise ValueError if classes or the format of samples do not fit together."""
    classes, shape, format_ = clf.classes_, clf.input_shape_, clf._format
    if not isinstance(classes, np.ndarray) or classes.ndim != 1 or len(classes) < 2:
        raise ValueError("classes_ is not an array of two labels or more")
    for sizes in (shape, format_.shape):
        if type(sizes) is not tuple or not 1 <= len(sizes) <= 4:
            raise ValueError("input_shape_ is not the shape of a sample")
        if not all(type(side) is int and 0 < side <= _MAX_SIDE for side in sizes):
            raise ValueError(f"input_shape_ has sides that are not in 1..{_MAX_SIDE}")
    if math.prod(shape) != math.prod(format_.shape):
        raise ValueError("input_shape_ does not fit the shape of a sample")
    if format_.dtype not in (np.float32, np.uint8):
        raise ValueError("samples are neither float32 nor uint8")
    if getattr(clf, "n_features_in_", None) != format_.shape[0]:
        raise ValueError("n_features_in_ does not fit the shape of a sample")


def _restore_net(reader: "Reader", clf: ConfidentClassifier, state: dict) -> JointNet:
    """Return the net: its networks as they were, its optimizers new."""
    # What the file does not hold comes from the parameters, which the user gave.
    module = clf.module
    if "kept" in state["factory"]:
        module = reader.decode(state["factory"]["kept"], "module")
    regime = make_regime(clf, clf.input_shape_)
    source = regime.source
    if "kept" in state["source"]:
        source = reader.decode(state["source"]["kept"], "ood_source")
    n_outputs, shape, device = state["n_outputs"], clf.input_shape_, reader.device
    if type(n_outputs) is not int or n_outputs - len(clf.classes_) not in (0, 1):
        raise ValueError("the number of outputs does not fit classes_")
    if state["ood_target"] not in ("uniform", "reject"):
        raise ValueError("ood_target is unknown")
    if not (source is None or isinstance(source, OODSource)):
        raise ValueError("ood_source is not a source")
    tensors = _tensors(reader, state["network"])
    factory = ClassifierFactory(module, shape, n_outputs, to_train=False)
    _check_size(reader, factory, tensors, "module")
    net = new_net(
        clf,
        factory,
        Regime(source, regime.beta, state["ood_target"]),
        device,
        bfloat16=bool(state["bfloat16"]),
        single_thread=bool(state["single_thread"]),
    )
    with seeded(0, device), one_thread(net.single_thread):
        net.initialize()
        _set_tensors(net.module_, tensors, state["network"], "module")
        if "rates" in state:
            set_groups(net, _rates(reader.decode(state["rates"], "backbone_lr")))
        if source is not None:
            _restore_source(reader, net.source_, state["source_state"], shape)
    net.history.extend(_rows(reader.decode(state["history"], "history")))
    return net


def _rates(rates: dict) -> dict[str, float]:
    """Return learning rates of weights by name, or raise ValueError."""
    if not isinstance(rates, dict) or not all(
        isinstance(name, str) and isinstance(rate, float) and 0 <= rate < math.inf
        for name, rate in rates.items()
    ):
        raise ValueError("backbone_lr does not hold learning rates")
    return rates


def _score_state(writer: "Writer", clf: ConfidentClassifier) -> dict:
    """Return the fitted score; if its class is the user's, its attributes only."""
    node = writer.attempt(clf.method_, "method")
    if node:
        return node
    if type(make_score(clf.method)) is not type(clf.method_):
        raise CannotKeep(
            f"method is {kind_of(clf.method)}, and the classifier was fitted with "
            f"{kind_of(clf.method_)}"
        )
    return {"attributes": writer.attributes(clf.method_, "method")}


def _restore_score(reader: "Reader", clf: ConfidentClassifier, state: dict) -> OODScore:
    """Return the fitted score."""
    if "kept" in state:
        score = reader.decode(state["kept"], "method")
        if isinstance(clf.method, str):
            named = make_score(clf.method)
            if type(score) is type(named):
                # The name had other defaults when the file was written.
                score.set_params(**named.get_params(deep=False))
    else:
        score = clone(make_score(clf.method))
        reader.set_attributes(score, state["attributes"], "method")
    return make_score(score)


def _network_state(writer: "Writer", network: nn.Module) -> dict:
    """Return the names of a network's tensors, and which have the channels last."""
    tensors = network.state_dict()
    for name, tensor in tensors.items():
        if not isinstance(tensor, torch.Tensor):
            raise CannotKeep(f"{name} of {kind_of(network)} is {kind_of(tensor)}")
    return {
        "tensors": {name: writer.add(t, name) for name, t in tensors.items()},
        "channels_last": [n for n, t in tensors.items() if _has_channels_last(t)],
    }


def _has_channels_last(tensor: torch.Tensor) -> bool:
    """Return whether filters are stored with the channels last."""
    if tensor.ndim != 4:
        return False
    shape = torch.empty(tensor.shape, device="meta")
    return shape.stride() != tensor.stride()


def _tensors(reader: "Reader", state: dict) -> dict[str, torch.Tensor]:
    """Return the tensors of a network, by their names there."""
    return {str(name): reader.take(key) for name, key in state["tensors"].items()}


def _check_size(
    reader: "Reader",
    build: Callable[[], nn.Module],
    tensors: dict[str, torch.Tensor],
    role: str,
) -> None:
    """Raise ValueError unless the network to build has these tensors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they come when it is really built
        try:
            with torch.device("meta"):
                expected = build().state_dict()
        except Exception:
            if reader.given:
                return  # a user's network may not work on the meta device
            raise
    _check_same(expected, tensors, role)


def _check_same(expected: dict, tensors: dict, role: str) -> None:
    """Raise ValueError unless tensors have the expected names, shapes and types."""
    if set(expected) != set(tensors):
        odd = min(set(expected) ^ set(tensors))
        where = "the file" if odd in expected else role
        raise ValueError(f"{role} does not fit the file: {where} lacks {odd!r}")
    for name, tensor in expected.items():
        other = tensors[name]
        if tensor.shape != other.shape or tensor.dtype != other.dtype:
            raise ValueError(
                f"{role} does not fit the file: {name!r} has shape "
                f"{tuple(tensor.shape)} and {tensor.dtype}; in the file, "
                f"{tuple(other.shape)} and {other.dtype}"
            )


def _set_tensors(network: nn.Module, tensors: dict, state: dict, role: str) -> None:
    """Set the tensors of a network, and their layout in memory."""
    _check_same(network.state_dict(), tensors, role)
    network.load_state_dict(tensors)
    parameters = dict(network.named_parameters())
    for name in state["channels_last"]:
        parameter = parameters[name]
        layout = torch.empty_like(parameter, memory_format=torch.channels_last)
        parameter.data = layout.copy_(parameter.data)


def _source_state(writer: "Writer", source: OODSource) -> dict:
    """Return what a source, and each source inside it, has learned."""
    parts = source.parts()
    return {
        "parts": {name: _part_state(writer, part) for name, part in parts.items()},
        "network": _network_state(writer, source),
    }


def _part_state(writer: "Writer", part: OODSource) -> dict:
    """Return what one source has learned, without its tensors."""
    params = part.get_params(deep=False)
    attributes = {
        name: writer.encode(value, name)
        for name, value in vars(part).items()
        if name not in params
        and name not in _NOT_IN_FILES
        and not isinstance(value, torch.optim.Optimizer)
    }
    parameters = list(part.parameters())
    return {
        "attributes": attributes,
        "buffers": {name: b is not None for name, b in part._buffers.items()},
        "frozen": bool(parameters) and not any(p.requires_grad for p in parameters),
    }


def _restore_source(
    reader: "Reader", source: OODSource, state: dict, shape: tuple
) -> None:
    """Set what a source had learned."""
    tensors = _tensors(reader, state["network"])
    parts = state["parts"]
    buffers = [
        f"{name}.{buffer}" if name else buffer
        for name, part in parts.items()
        for buffer in part["buffers"]
    ]
    networks = {name: t for name, t in tensors.items() if name not in buffers}
    build = partial(_with_networks, clone(source), shape, "meta")
    _check_size(reader, build, networks, "ood_source")
    _with_networks(source, shape, reader.device)
    if set(parts) != set(source.parts()):
        raise ValueError("ood_source does not fit the file")
    for name, part in source.parts().items():
        _restore_part(reader, part, parts[name], name, tensors)
    _set_tensors(source, tensors, state["network"], "ood_source")


def _with_networks(source: OODSource, shape: tuple, device) -> OODSource:
    """Return a source after it built its networks."""
    source.make_networks(shape, torch.device(device))
    return source


def _restore_part(
    reader: "Reader", part: OODSource, state: dict, prefix: str, tensors: dict
) -> None:
    """Set the attributes of one source, and make room for its buffers."""
    part.device = reader.device
    attributes = state["attributes"]
    reader.set_attributes(part, attributes, "ood_source", also_hidden=_NOT_IN_FILES)
    move_learned(part, reader.device)  # what a file of the CPU holds, too
    for name, is_there in state["buffers"].items():
        buffer = None
        if is_there:
            tensor = tensors[f"{prefix}.{name}" if prefix else name]
            buffer = tensor.to(reader.device, copy=True)
        part.register_buffer(name, buffer)
    if state["frozen"]:
        part.requires_grad_(False).eval()


def _columns(history: History) -> dict:
    """Return a history as arrays of rows and values, without single batches."""
    columns = {}
    for name in sorted({name for row in history for name in row}):
        rows = [i for i, row in enumerate(history) if name in row]
        values = [history[i][name] for i in rows]
        if all(isinstance(value, Real | np.bool_) for value in values):
            columns[name] = [np.array(rows, dtype=np.int64), np.array(values)]
    return columns


def _rows(columns: dict) -> History:
    """Return a history with as many rows as its longest column."""
    n_epochs = max((len(rows) for rows, _ in columns.values()), default=0)
    if n_epochs > _MAX_EPOCHS:
        raise ValueError(f"history has {n_epochs} epochs, more than {_MAX_EPOCHS}")
    history = History()
    for _ in range(n_epochs):
        history.new_epoch()
    for name, (rows, values) in columns.items():
        if rows.dtype != np.int64 or rows.ndim != 1 or values.ndim != 1:
            raise ValueError("history does not have columns")
        for row, value in zip(rows.tolist(), values.tolist(), strict=True):
            history[row][name] = value
    return history
