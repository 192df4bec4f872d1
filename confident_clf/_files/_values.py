# SPDX-License-Identifier: BSD-3-Clause
"""Plain values: numbers, strings, containers, arrays and tensors, there and back.

JSON has numbers, strings and lists. All else is a dict with one key that names its
kind, so ``{"tuple": [1, 2]}`` is (1, 2).
"""

import math

import numpy as np
import torch

MAX_DEPTH = 50
# Characters, so 64 MiB: NumPy gives every string of an array the room of the longest.
_MAX_STRINGS = 2**24
# Not every torch and safetensors has these.
_SIGNED = {"uint16": "int16", "uint32": "int32", "uint64": "int64"}
_SCALARS = (bool, int, float, str, type(None))


class CannotKeep(Exception):
    """A file has no form for a value; the argument says what it is."""


def kind_of(value):
    """Return how to call a value in a message."""
    if isinstance(value, type):
        return value.__qualname__
    return getattr(value, "__qualname__", None) or f"a {type(value).__qualname__}"


class ValueWriter:
    """Encode values; collect tensors beside.

    Attributes
    ----------
    tensors : dict of str to Tensor
        What the encoded values refer to.
    """

    def __init__(self):
        self.tensors = {}

    def encode(self, value, name):
        """Return a value in terms of JSON; `name` says what it is.

        Raises CannotKeep if there is no form for it.
        """
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
        if kind is torch.device:
            return {"device": None}
        return self.encode_other(value, name)

    def encode_other(self, value, name):
        """Return the form of what is no plain value."""
        raise CannotKeep(f"{name} is {kind_of(value)}")

    def add(self, tensor, name):
        """Return the name under which a tensor goes into the file."""
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex():
            raise CannotKeep(f"{name} is a tensor of {tensor.layout}, {tensor.dtype}")
        key = f"{len(self.tensors)}.{name}"
        # A copy, as safetensors refuses tensors that share memory.
        copy = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        self.tensors[key] = copy
        return key

    def _encode_array(self, array, name):
        """Return an array of numbers as a tensor, one of strings as a list."""
        if array.dtype.kind in "biuf" and array.dtype.itemsize <= 8:
            # How a matrix lies in memory decides how its products round.
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
    """Decode what a ValueWriter encoded; each tensor once.

    Parameters
    ----------
    tensors : dict of str to Tensor
        Those of the file. A file that used one twice could fill the memory.
    """

    def __init__(self, tensors):
        self.tensors = dict(tensors)
        self._depth = 0

    def decode(self, node, name):
        """Return the value of a node; `name` says what it is."""
        if isinstance(node, _SCALARS):
            return node
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ValueError(f"{name} is nested more than {MAX_DEPTH} deep")
        try:
            if isinstance(node, list):
                return [self.decode(item, name) for item in node]
            return self._decode_tagged(node, name)
        finally:
            self._depth -= 1

    def _decode_tagged(self, node, name):
        """Return the value of a node that names its kind."""
        forms = {
            "float": self._float,
            "tuple": self._tuple,
            "dict": self._dict,
            "scalar": self._scalar,
            "array": self._array,
            "strings": self._strings,
            "objects": self._objects,
            "tensor": self._tensor,
            "dtype": self._dtype,
            "device": self._device,
        }
        for kind, form in forms.items():
            if kind in node:
                return form(node[kind], name)
        return self.decode_other(node, name)

    def decode_other(self, node, name):
        """Return the value of what is no plain value."""
        raise ValueError(f"{name} is of an unknown kind, {list(node)[:3]}")

    def take(self, key):
        """Return a tensor, which nothing else may take."""
        if not isinstance(key, str) or key not in self.tensors:
            raise ValueError(f"tensor {str(key)[:50]!r} is missing, or used twice")
        return self.tensors.pop(key)

    def _float(self, text, name):
        if text not in ("nan", "inf", "-inf"):
            raise ValueError(f"{name} is no number")
        return float(text)

    def _tuple(self, items, name):
        return tuple(self._list(items, name))

    def _dict(self, items, name):
        return dict(self._list(items, name))

    def _scalar(self, pair, name):
        dtype, value = pair
        value = self.decode(value, name)
        if not isinstance(value, bool | int | float | str):
            raise ValueError(f"{name} is no scalar")
        if isinstance(value, str):
            return np.str_(value)
        return self._dtype(dtype, name).type(value)

    def _array(self, form, name):
        key, turned, unsigned = form
        array = self.take(key).numpy().copy()
        if unsigned is not None:
            if array.dtype.name != _SIGNED[unsigned]:
                raise ValueError(f"{name} is no array of {unsigned}")
            array = array.view(unsigned)
        return array.T if turned else array

    def _strings(self, items, name):
        if not isinstance(items, list) or not all(isinstance(s, str) for s in items):
            raise ValueError(f"{name} is no list of strings")
        if len(items) * max(map(len, items), default=0) > _MAX_STRINGS:
            raise ValueError(f"{name} has strings too long for an array")
        return np.array(items, dtype=str)

    def _objects(self, items, name):
        items = self._list(items, name)
        array = np.empty(len(items), dtype=object)
        array[:] = items
        return array

    def _tensor(self, pair, name):
        key, on_device = pair
        tensor = self.take(key).clone()
        return tensor.to(self.device) if on_device else tensor

    def _dtype(self, text, name):
        dtype = np.dtype(text) if isinstance(text, str) else None
        if dtype is None or dtype.kind not in "biufO" or dtype.name != text:
            raise ValueError(f"{name} has no dtype")
        return dtype

    def _device(self, _, name):
        return self.device

    def _list(self, items, name):
        """Return decoded items, which must be a list."""
        if not isinstance(items, list):
            raise ValueError(f"{name} is no list")
        return self.decode(items, name)
