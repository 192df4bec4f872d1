# SPDX-License-Identifier: BSD-3-Clause
"""Tests of ``load`` on files that are damaged or hostile.

Whatever is in a file, `load` returns an estimator or raises ValueError, in memory that
is bounded, and executes nothing from it.
"""

import copy
import json
import os
import random
import resource
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load as parse_tensors
from safetensors.torch import save as serialize

from confident_clf import OpenSetClassifier, load
from confident_clf._files import _container
from confident_clf._persistence import estimator_from

PATH = Path(__file__).parent / "data" / "format_1.safetensors"
DATA = PATH.read_bytes()
KEY = "confident_clf"
MIB = 2**20


def opened():
    """Return the header and the tensors of the file."""
    size = int.from_bytes(DATA[:8], "little")
    metadata = json.loads(DATA[8 : 8 + size])["__metadata__"]
    return json.loads(metadata[KEY]), parse_tensors(DATA)


def sealed(header, tensors):
    """Return the bytes of a file with a right checksum: forgers know how to do that."""
    text = header if isinstance(header, str) else json.dumps(header)
    checksum = _container._checksum(text, tensors)
    return serialize(tensors, {KEY: text, "sha256": checksum})


def outcome(data):
    """Return the message of the error, or "loaded"; any other error is raised."""
    path = Path("/dev/shm" if os.path.isdir("/dev/shm") else ".")
    del path
    try:
        estimator_from(data, "cpu", {})
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "loaded"
