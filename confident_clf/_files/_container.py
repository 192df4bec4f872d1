# SPDX-License-Identifier: BSD-3-Clause
"""From header and tensors to the bytes of a safetensors file, and back.

A file has a JSON header, tensors, and a checksum of both.

Everything in a file is checked against its size before it is used. safetensors checks
the lengths, this module the rest. So reading a file needs at most a few times its size
in memory.
"""

import json
import sys
from hashlib import sha256
from typing import Any

import numpy
import safetensors
import sklearn
import skorch
import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_tensors
from safetensors.torch import save as serialize
from torch import Tensor

FORMAT = 1
_KEY = "confident_clf"
# Even a hostile header of 4 MiB can fill only about 100 MiB of memory.
MAX_HEADER = 2**22
MAX_TENSORS = 10_000


def library_versions(own_version: str) -> dict[str, str]:
    """Return the versions of Python, this package and the libraries it uses, by name.

    They go into every file, so that an error can name the version that wrote it.
    """
    libraries = (numpy, safetensors, sklearn, skorch, torch)
    return {
        "confident_clf": own_version,
        "python": ".".join(map(str, sys.version_info[:3])),
        **{library.__name__: str(library.__version__) for library in libraries},
    }


def to_bytes(header: dict, tensors: dict[str, Tensor]) -> bytes:
    """Return the bytes of a file.

    Tensors must be contiguous, on the CPU, and must not share memory.
    """
    text = json.dumps(header, allow_nan=False, separators=(",", ":"))
    _check_size(len(text), len(tensors))
    metadata = {_KEY: text, "sha256": _checksum(text, tensors)}
    data = serialize(tensors, metadata)
    _check_size(int.from_bytes(data[:8], "little"), len(tensors))
    return data


def _check_size(size: int, n_tensors: int) -> None:
    """Raise ValueError if `parse` would refuse this header or this many tensors."""
    if size > MAX_HEADER or n_tensors > MAX_TENSORS:
        raise ValueError(
            f"A file has room for {MAX_HEADER} bytes of parameters and {MAX_TENSORS} "
            f"tensors, but this estimator needs {size} bytes and {n_tensors} tensors. "
            "Look for long lists or strings among its parameters, classes and feature "
            "names, or use joblib."
        )


def parse(data: bytes) -> tuple[dict, dict[str, Tensor]]:
    """Return the header and the tensors of a file that `write` wrote.

    Raises ValueError if the file is damaged or was written by something else. What is
    inside the header is not checked here: whoever decodes it must not trust it.
    """
    names, metadata = _outer_header(data)
    if len(names) > MAX_TENSORS:
        raise ValueError(f"it has {len(names)} tensors, more than {MAX_TENSORS}")
    try:
        tensors = parse_tensors(data)
    except (SafetensorError, KeyError, RuntimeError, TypeError) as error:
        raise ValueError(f"its tensors are damaged: {error}") from error
    header = _json(metadata[_KEY])
    if not isinstance(header, dict) or type(header.get("format")) is not int:
        raise ValueError("its header does not name a format")
    if header["format"] != FORMAT:
        raise ValueError(
            f"it has format {header['format']}, and this version of confident_clf "
            f"reads format {FORMAT}. Use the version that wrote it or a newer one; it "
            f"was written with {str(header.get('versions'))[:300]}"
        )
    if metadata.get("sha256") != _checksum(metadata[_KEY], tensors):
        raise ValueError("it was damaged after it was written: its checksum is wrong")
    return header, tensors


def _outer_header(data: bytes) -> tuple[list[str], dict]:
    """Return the names of the tensors and the metadata of a safetensors file."""
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > len(data) - 8:
        raise ValueError("it is not a safetensors file, or it is cut off")
    if size > MAX_HEADER:
        raise ValueError(f"its header has {size} bytes, more than {MAX_HEADER}")
    outer = _json(data[8 : 8 + size])
    metadata = outer.pop("__metadata__", None) if isinstance(outer, dict) else None
    if not isinstance(metadata, dict) or not isinstance(metadata.get(_KEY), str):
        raise ValueError("it was not written by confident_clf.save")
    return list(outer), metadata


def _json(text: str | bytes) -> Any:
    """Return the value of a JSON text, or raise ValueError."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its header is not valid JSON: {error}") from error


def _refuse_constant(name: str) -> None:
    """Refuse NaN and Infinity: Python reads them, but JSON does not have them."""
    raise ValueError(f"JSON does not have {name}")


def _checksum(text: str, tensors: dict[str, Tensor]) -> str:
    """Return the SHA-256 of the header and of each tensor's name, type, shape and data.

    It finds damage, not forgery: a forger can compute it too.
    """
    digest = sha256(text.encode("ascii", "replace"))
    for name, tensor in sorted(tensors.items()):
        digest.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
