# SPDX-License-Identifier: BSD-3-Clause
"""Convert numbers, strings, containers, arrays and tensors to JSON and back.

JSON has numbers, strings and lists. Any other value becomes a dict with one key that
names its kind: ``{"tuple": [1, 2]}`` is (1, 2).
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

MAX_DEPTH = 50
# In characters: 64 MiB, as every string of a NumPy array takes as much memory as the
# longest one.
_MAX_STRINGS = 2**24
# Some versions of torch and safetensors do not have the unsigned types.
_SIGNED = {"uint16": "int16", "uint32": "int32", "uint64": "int64"}
_SCALARS = (bool, int, float, str, type(None))
# The types that parameters called dtype may have, by name.
_TYPES: dict[str, type] = {
    each.__name__: each
    for each in (
        *(bool, float, int, object, str, np.bool_, np.floating, np.integer, np.number),
        *(np.float16, np.float32, np.float64, np.int8, np.int16, np.int32, np.int64),
        *(np.uint8, np.uint16, np.uint32, np.uint64),
    )
}


class CannotKeep(Exception):
    """A value cannot be stored in a file; the argument names the value."""


def kind_of(value: object) -> str:
    """Return what to call a value in an error message."""
    if isinstance(value, type):
        return value.__qualname__
    return getattr(value, "__qualname__", None) or f"a {type(value).__qualname__}"


class ValueWriter:
    """Encode values as JSON; collect the tensors that they refer to in `tensors`."""

    def __init__(self) -> None:
        self.tensors: dict[str, torch.Tensor] = {}

    def encode(self, value: Any, name: str) -> Any:
        """Return a value as JSON, or raise CannotKeep, which names the value."""
        kind = type(value)
        if value is None or kind in (bool, str):
            return value
        if kind is int and abs(value) < 2**63:
            return value
        if kind is float:
            return value if math.isfinite(value) else {"float": repr(value)}
        if kind is list:
            return [self.encode(item, name) for item in value]
        if kind in (tuple, torch.Size):
            return {"tuple": [self.encode(item, name) for item in value]}
        if kind is dict:
            items = [[k, v] for k, v in value.items()]
            return {"dict": self.encode(items, name)}
        if isinstance(value, np.generic) and type(value.item()) in _SCALARS:
            return {"scalar": [value.dtype.name, self.encode(value.item(), name)]}
        if kind is np.ndarray:
            return self._encode_array(value, name)
        if isinstance(value, torch.Tensor):
            on_device = value.device.type != "cpu"
            return {"tensor": [self.add(value, name), on_device]}
        if isinstance(value, np.dtype) and value.kind in "biufO":
            return {"dtype": value.name}
        if isinstance(value, type) and value in _TYPES.values():
            return {"type": value.__name__}
        if kind is slice:
            return {"slice": self.encode([value.start, value.stop, value.step], name)}
        if kind is torch.device:
            return {"device": None}
        return self.encode_other(value, name)

    def encode_other(self, value: Any, name: str) -> Any:
        """Encode a value that is not plain; subclasses override this."""
        raise CannotKeep(f"{name} is {kind_of(value)}")

    def add(self, tensor: torch.Tensor, name: str) -> str:
        """Add a tensor and return its name in the file."""
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex():
            raise CannotKeep(f"{name} is a tensor of {tensor.layout}, {tensor.dtype}")
        key = f"{len(self.tensors)}.{name}"
        # Copy it: safetensors refuses tensors that share memory.
        copy = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        self.tensors[key] = copy
        return key

    def _encode_array(self, array: np.ndarray, name: str) -> dict:
        """Encode an array of numbers as a tensor, and one of strings as a list."""
        if array.dtype.kind in "biuf" and array.dtype.itemsize <= 8:
            # Keep the memory order of a matrix: it decides how its products round.
            turned = array.ndim > 1 and array.strides[0] < array.strides[-1]
            rows = array.T if turned else array
            native = rows.astype(array.dtype.newbyteorder("="), order="C")
            unsigned = native.dtype.name if native.dtype.name in _SIGNED else None
            if unsigned:
                native = native.view(_SIGNED[unsigned])
            return {
                "array": [self.add(torch.from_numpy(native), name), turned, unsigned]
            }
        if array.ndim == 1 and array.dtype.kind == "U":
            if array.dtype.itemsize // 4 * array.size > _MAX_STRINGS:
                raise CannotKeep(f"{name} is an array of {array.nbytes} bytes of text")
            return {"strings": array.tolist()}
        if array.ndim == 1 and array.dtype.kind == "O":
            return {"objects": [self.encode(item, name) for item in array]}
        raise CannotKeep(f"{name} is an array of {array.dtype}, {array.ndim}-D")


class ValueReader:
    """Decode what a ValueWriter encoded.

    Every tensor can be used only once. Otherwise a small file could use one tensor many
    times and fill the memory.
    """

    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        self.tensors = dict(tensors)
        self.device = torch.device("cpu")  # of the classifier that is being read
        self._depth = 0

    def decode(self, node: Any, name: str) -> Any:
        """Return the value of a node; errors call it `name`."""
        if isinstance(node, _SCALARS):
            return node
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ValueError(f"{name} is nested more than {MAX_DEPTH} levels deep")
        try:
            if isinstance(node, list):
                return [self.decode(item, name) for item in node]
            return self._decode_tagged(node, name)
        finally:
            self._depth -= 1

    def _decode_tagged(self, node: dict, name: str) -> Any:
        """Return the value of a dict whose key names its kind."""
        forms: dict[str, Callable] = {
            "float": self._float,
            "tuple": self._tuple,
            "dict": self._dict,
            "scalar": self._scalar,
            "array": self._array,
            "strings": self._strings,
            "objects": self._objects,
            "tensor": self._tensor,
            "dtype": self._dtype,
            "type": self._type,
            "slice": self._slice,
            "device": self._device,
        }
        for kind, form in forms.items():
            if kind in node:
                return form(node[kind], name)
        return self.decode_other(node, name)

    def decode_other(self, node: dict, name: str) -> Any:
        """Decode a value that is not plain; subclasses override this."""
        raise ValueError(f"{name} is of an unknown kind, {list(node)[:3]}")

    def take(self, key: str) -> torch.Tensor:
        """Return a tensor and remove it, so that nothing else can use it."""
        if not isinstance(key, str) or key not in self.tensors:
            raise ValueError(f"tensor {str(key)[:50]!r} is missing or used twice")
        return self.tensors.pop(key)

    def _float(self, text: str, name: str) -> float:
        """Return one of the floats that JSON does not have."""
        if text not in ("nan", "inf", "-inf"):
            raise ValueError(f"{name} is not a number")
        return float(text)

    def _tuple(self, items: list, name: str) -> tuple:
        """Return a tuple of decoded items."""
        return tuple(self._list(items, name))

    def _dict(self, items: list, name: str) -> dict:
        """Return a dict from pairs of keys and values."""
        return dict(self._list(items, name))

    def _scalar(self, pair: list, name: str) -> np.generic:
        """Return a NumPy scalar from its dtype and its value."""
        dtype, value = pair
        value = self.decode(value, name)
        if not isinstance(value, bool | int | float | str):
            raise ValueError(f"{name} is not a scalar")
        if isinstance(value, str):
            return np.str_(value)
        return self._dtype(dtype, name).type(value)

    def _array(self, form: list, name: str) -> np.ndarray:
        """Return an array of numbers, with its dtype and its order in memory."""
        key, turned, unsigned = form
        array = self.take(key).numpy().copy()
        if unsigned is not None:
            if array.dtype.name != _SIGNED[unsigned]:
                raise ValueError(f"{name} is not an array of {unsigned}")
            array = array.view(unsigned)
        return array.T if turned else array

    def _strings(self, items: list[str], name: str) -> np.ndarray:
        """Return an array of strings."""
        if not isinstance(items, list) or not all(isinstance(s, str) for s in items):
            raise ValueError(f"{name} is not a list of strings")
        if len(items) * max(map(len, items), default=0) > _MAX_STRINGS:
            raise ValueError(f"{name} has strings that are too long for an array")
        return np.array(items, dtype=str)

    def _objects(self, items: list, name: str) -> np.ndarray:
        """Return an array of decoded objects."""
        items = self._list(items, name)
        array = np.empty(len(items), dtype=object)
        array[:] = items
        return array

    def _tensor(self, pair: list, name: str) -> torch.Tensor:
        """Return a tensor, on the device of the classifier if it was not on the CPU."""
        key, on_device = pair
        tensor = self.take(key).clone()
        return tensor.to(self.device) if on_device else tensor

    def _dtype(self, text: str, name: str) -> np.dtype:
        """Return a dtype of numbers or of objects."""
        dtype = np.dtype(text) if isinstance(text, str) else None
        if dtype is None or dtype.kind not in "biufO" or dtype.name != text:
            raise ValueError(f"{name} does not have a valid dtype")
        return dtype

    def _type(self, text: str, name: str) -> type:
        """Return a type of numbers, strings or objects."""
        if text not in _TYPES:
            raise ValueError(f"{name} does not have a valid type")
        return _TYPES[text]

    def _slice(self, items: list, name: str) -> slice:
        """Return a slice of numbers or of names."""
        ends = self._list(items, name)
        if len(ends) != 3 or {type(end) for end in ends} - {int, str, type(None)}:
            raise ValueError(f"{name} is not a slice")
        return slice(*ends)

    def _device(self, _: None, name: str) -> torch.device:
        """Return the device of the classifier that is being read."""
        return self.device

    def _list(self, items: list, name: str) -> list:
        """Return a list of decoded items."""
        if not isinstance(items, list):
            raise ValueError(f"{name} is not a list")
        return self.decode(items, name)
