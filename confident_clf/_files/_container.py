# SPDX-License-Identifier: BSD-3-Clause
"""One safetensors file: a JSON header and tensors, and a checksum of both.

All that is read is checked against the size of the file before it is used: lengths by
safetensors, the rest here. So a file takes no more memory than a few times its size.
"""

import json
import os
import stat
import sys
from hashlib import sha256
from uuid import uuid4

import numpy
import safetensors
import sklearn
import skorch
import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_tensors
from safetensors.torch import save as serialize

FORMAT = 1
_KEY = "confident_clf"
# What a header of 4 MiB can make of memory, however hostile, is about 100 MiB.
MAX_HEADER = 2**22
MAX_TENSORS = 10_000


def library_versions(own_version):
    """Return the versions of what wrote a file, by name.

    Parameters
    ----------
    own_version : str
        That of this package.

    Returns
    -------
    dict of str to str
        With "python".
    """
    libraries = (numpy, safetensors, sklearn, skorch, torch)
    return {
        "confident_clf": own_version,
        "python": ".".join(map(str, sys.version_info[:3])),
        **{library.__name__: str(library.__version__) for library in libraries},
    }


def write(path, header, tensors):
    """Write a file under another name, then give it its own.

    Parameters
    ----------
    path : str or path-like
        The file; one that is there is replaced, whole or not at all.
    header : dict
        Of what JSON knows.
    tensors : dict of str to Tensor
        On the CPU, contiguous, no two of which share memory.

    Raises
    ------
    ValueError
        If the header or the number of tensors is more than `parse` takes.
    """
    text = json.dumps(header, allow_nan=False, separators=(",", ":"))
    _check_size(len(text), len(tensors))
    metadata = {_KEY: text, "sha256": _checksum(text, tensors)}
    data = serialize(tensors, metadata)
    _check_size(int.from_bytes(data[:8], "little"), len(tensors))
    folder, name = os.path.split(os.path.abspath(path))
    unfinished = os.path.join(folder, f".{name}.{uuid4().hex}.tmp")
    try:
        with open(unfinished, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, os.path.join(folder, name))
    finally:
        if os.path.exists(unfinished):
            os.remove(unfinished)


def _check_size(size, n_tensors):
    """Raise ValueError if the header is more than `parse` takes."""
    if size > MAX_HEADER or n_tensors > MAX_TENSORS:
        raise ValueError(
            f"A file has room for {MAX_HEADER} bytes of parameters and {MAX_TENSORS} "
            f"tensors; the estimator takes {size} and {n_tensors}. Look for long lists "
            "or strings among its parameters, classes and feature names, or use joblib."
        )


def read(path, max_size):
    """Return the bytes of a file.

    Parameters
    ----------
    path : str or path-like
        The file.
    max_size : int
        The most bytes to read.

    Returns
    -------
    bytes
        All of it.

    Raises
    ------
    ValueError
        If it is no regular file, or larger.
    OSError
        If it cannot be read.
    """
    # Opening a pipe would wait for who writes to it.
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ValueError(f"{os.fspath(path)!r} is no regular file. Pass one.")
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > max_size:
            raise ValueError(
                f"{os.fspath(path)!r} has {size} bytes, more than max_size={max_size}. "
                "If you trust where it comes from, pass a larger max_size."
            )
        return file.read(size)


def parse(data):
    """Return header and tensors of a file that `write` wrote.

    Parameters
    ----------
    data : bytes
        The file.

    Returns
    -------
    header : dict
        As given to `write`.
    tensors : dict of str to Tensor
        On the CPU.

    Raises
    ------
    ValueError
        If it is damaged, or no such file.
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
        raise ValueError("its header names no format")
    if header["format"] != FORMAT:
        raise ValueError(
            f"it has format {header['format']}, and this version of confident_clf "
            f"reads format {FORMAT}. Use the version that wrote it, or a newer one: "
            f"{str(header.get('versions'))[:300]}"
        )
    if metadata.get("sha256") != _checksum(metadata[_KEY], tensors):
        raise ValueError("it was damaged since it was written: its checksum is wrong")
    return header, tensors


def _outer_header(data):
    """Return the names of the tensors and the metadata of a safetensors file."""
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > len(data) - 8:
        raise ValueError("it is no safetensors file, or cut short")
    if size > MAX_HEADER:
        raise ValueError(f"its header has {size} bytes, more than {MAX_HEADER}")
    outer = _json(data[8 : 8 + size])
    metadata = outer.pop("__metadata__", None) if isinstance(outer, dict) else None
    if not isinstance(metadata, dict) or not isinstance(metadata.get(_KEY), str):
        raise ValueError("it was not written by confident_clf.save")
    return list(outer), metadata


def _json(text):
    """Return what a JSON text says, or raise ValueError."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its header is no JSON: {error}") from error


def _refuse_constant(name):
    """Refuse NaN and Infinity, which JSON has not."""
    raise ValueError(f"{name} is no JSON")


def _checksum(text, tensors):
    """Return the SHA-256 of a header and of names, types, shapes and data of tensors.

    It is against damage, not against forgers: they compute it too.
    """
    digest = sha256(text.encode("ascii", "replace"))
    for name, tensor in sorted(tensors.items()):
        digest.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(memoryview(tensor.reshape(-1).view(torch.uint8).numpy()))
    return digest.hexdigest()
