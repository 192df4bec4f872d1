# SPDX-License-Identifier: BSD-3-Clause
"""Tests of ``load`` with damaged and hostile files.

Whatever a file contains, `load` returns an estimator or raises ValueError. It needs
limited memory and executes nothing from the file.
"""

import copy
import json
import os
import pickle
import random
import resource
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load as parse_tensors
from safetensors.torch import save as serialize

from confident_clf import OpenSetClassifier, load, loads
from confident_clf._files import _container

DATA = (Path(__file__).parents[1] / "data" / "format_1.safetensors").read_bytes()
KEY = "confident_clf"
# Loading a file of 22 kB may take no more memory than this.
MAX_MEMORY = 2**29


@contextmanager
def limited_memory():
    """Let allocations fail if they go far beyond the memory in use."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * 4096
    resource.setrlimit(resource.RLIMIT_AS, (in_use + MAX_MEMORY, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def load_open(path, **options):
    """Load a file that is open."""
    with open(path, "rb") as file:
        return load(file, **options)


def load_bytes(path, **options):
    """Load the bytes of a file."""
    return loads(path.read_bytes(), **options)


@pytest.fixture
def outcome(tmp_path):
    """Return a function that loads bytes: it returns the error message or "loaded".

    It takes turns between a path, an open file and the bytes alone.
    """
    path = tmp_path / "it.safetensors"
    ways = cycle([load, load_open, load_bytes])

    def of(data):
        path.write_bytes(data)
        try:
            with limited_memory():
                loaded = next(ways)(path, device="cpu")
        except ValueError as error:
            assert not isinstance(error.__cause__, MemoryError)
            assert "allocate" not in str(error.__cause__)
            return str(error)
        assert isinstance(loaded, OpenSetClassifier)
        return "loaded"

    return of


def opened():
    """Return the header and the tensors of the file."""
    size = int.from_bytes(DATA[:8], "little")
    metadata = json.loads(DATA[8 : 8 + size])["__metadata__"]
    return json.loads(metadata[KEY]), parse_tensors(DATA)


def sealed(header, tensors):
    """Return the bytes of a file with a valid checksum, which a forger can make too."""
    text = header if isinstance(header, str) else json.dumps(header)
    checksum = _container._checksum(text, tensors)
    return serialize(tensors, {KEY: text, "sha256": checksum})


def damaged(rng):
    """Return the file after an accident."""
    data = bytearray(DATA)
    start, length = rng.randrange(len(data)), rng.choice([1, 2, 8, 100, 5000])
    kind = rng.choice(["cut", "flip", "noise", "insert", "remove", "append", "length"])
    if kind == "cut":
        del data[start:]
    elif kind == "flip":
        data[start] ^= 1 << rng.randrange(8)
    elif kind == "noise":
        data[start : start + length] = rng.randbytes(length)
    elif kind == "insert":
        data[start:start] = rng.randbytes(length)
    elif kind == "remove":
        del data[start : start + length]
    elif kind == "append":
        data += rng.randbytes(length)
    else:
        data[:8] = rng.randbytes(rng.choice([1, 2, 4, 8])).ljust(8, b"\0")
    return bytes(data)


HOSTILE = [
    *(None, True, -1, 0, 1, 3, 2**31, 2**62, 10**30, 0.5, 1e308, "", "auto", "é\0"),
    *("os.system", "__class__", "predict", "cuda", [], {}, [[]], ["a"] * 1000),
    *({"object": "Pipeline"}, {"object": "system", "params": {}, "state": {}}),
    *({"same": 0}, {"same": 3}, {"given": True}, {"array": ["0.a", False, None]}),
    *({"tuple": [10**6] * 4}, {"float": "nan"}, {"strings": ["a" * 9999] * 99}),
    *({"scalar": ["int8", 300]}, {"scalar": ["S9999999", "a"]}, {"dtype": "O"}),
    {"network": "VGG", "keywords": {"dict": [["hidden", 10**9]]}},
    {"network": "MLP", "keywords": {"dict": [["hidden", {"tuple": [10**6] * 9}]]}},
]


def places(node):
    """Yield every container in a header with every key or index in it."""
    for key in node if isinstance(node, dict) else range(len(node)):
        yield node, key
        if isinstance(node[key], dict | list):
            yield from places(node[key])


def forged_header(rng):
    """Return a file with one to three parts of its header replaced."""
    header, tensors = opened()
    for _ in range(rng.choice([1, 1, 2, 3])):
        node, key = rng.choice(list(places(header)))
        kind = rng.choice(["value", "value", "copy", "delete", "rename"])
        if kind == "value":
            node[key] = copy.deepcopy(rng.choice(HOSTILE))
        elif kind == "copy":
            other, other_key = rng.choice(list(places(header)))
            node[key] = copy.deepcopy(other[other_key])
        elif kind == "delete":
            del node[key]
        elif isinstance(node, dict):
            node[rng.choice(["predict", "__class__", "x_", "_a", ""])] = node.pop(key)
    return sealed(header, tensors)


def forged_tensors(rng):
    """Return a file with one of its tensors changed."""
    header, tensors = opened()
    name = rng.choice(sorted(tensors))
    tensor = tensors[name]
    changes = {
        "drop": lambda: tensors.pop(name),
        "add": lambda: tensors.update(more=tensor.clone()),
        "empty": lambda: tensors.update({name: tensor[:0]}),
        "flat": lambda: tensors.update({name: tensor.reshape(-1)}),
        "nested": lambda: tensors.update({name: tensor[None, None]}),
        "double": lambda: tensors.update({name: torch.cat([tensor, tensor])}),
        "float": lambda: tensors.update({name: tensor.to(torch.float16)}),
        "int": lambda: tensors.update(
            {name: torch.ones_like(tensor, dtype=torch.int8)}
        ),
        "nan": lambda: tensors.update({name: tensor * float("nan")}),
        "huge": lambda: tensors.update({name: (tensor.double() + 1) * 1e18}),
    }
    changes[rng.choice(sorted(changes))]()
    return sealed(header, tensors)


@pytest.mark.parametrize(
    ("kind", "n", "most_loaded"),
    [
        (damaged, 800, 0),
        (forged_header, 100, 60),
        (forged_tensors, 60, 30),
        pytest.param(forged_header, 800, 500, marks=pytest.mark.slow),
        pytest.param(forged_tensors, 400, 200, marks=pytest.mark.slow),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_damaged_and_hostile_files(kind, n, most_loaded, outcome):
    """Check many files: a ValueError, or an estimator if the file is still valid."""
    rng = random.Random(0)
    outcomes = [outcome(kind(rng)) for _ in range(n)]
    messages = [message for message in outcomes if message != "loaded"]
    assert all("cannot be loaded: " in message for message in messages)
    assert n - len(messages) <= most_loaded
    assert len(set(messages)) > 10


def test_an_untouched_file_loads(outcome):
    """Check that the file loads, so the other tests fail only for their changes."""
    assert outcome(DATA) == "loaded"
    assert outcome(sealed(*opened())) == "loaded"


def classifier(header):
    """Return the node of a header that holds the fitted ConfidentClassifier."""
    found = [
        node[key]
        for node, key in places(header)
        if isinstance(node[key], dict)
        and node[key].get("object") == "ConfidentClassifier"
        and node[key]["state"]
    ]
    return found[0]


def with_network(keywords):
    """Return a change of the header: other parameters of the classifier's network."""

    def change(header):
        node = {"network": "MLP", "keywords": {"dict": keywords}}
        classifier(header)["state"]["net"]["factory"] = {"kept": node}

    return change


def with_param(name, node):
    """Return a change of the header: another parameter of the classifier."""
    return lambda header: classifier(header)["params"].update({name: node})


def with_state(key, value):
    """Return a change of the header: another learned attribute of the classifier."""
    return lambda header: classifier(header)["state"].update({key: value})


def with_learnt(name, value):
    """Return a change of the header: one more attribute of the open-set classifier."""
    return lambda header: header["estimator"]["state"].update({name: value})


def with_net(key, value):
    """Return a change of the header: another property of the net."""
    return lambda header: classifier(header)["state"]["net"].update({key: value})


DEEP = {"tuple": []}
for _ in range(100):
    DEEP = {"tuple": [DEEP]}
MANY = [{"object": "KNN", "params": {}, "state": {}}] * 2000

BOMBS = {
    "wide network": (
        with_network([["hidden", {"tuple": [10**6, 10**6]}]]),
        "module does not fit the file",
    ),
    "deep network": (
        with_network([["hidden", {"tuple": [1] * 10**5}]]),
        "more than 1000 numbers",
    ),
    "network of no package": (
        with_net("factory", {"kept": {"network": "Popen"}}),
        "KeyError",
    ),
    "large images": (
        with_state("input_shape_", {"tuple": [1, 2**40, 2**40]}),
        "sides that are not in",
    ),
    "a folder of checkpoints": (
        with_param("checkpoint", {"tuple": []}),
        "names a folder",
    ),
    "a range of too few numbers": (with_state("pixels", [0.0] * 5), "TypeError"),
    "a range of no numbers": (with_state("pixels", ["a"] * 6), "could not convert"),
    "large rows": (
        with_state("input_shape_", {"tuple": [2**24]}),
        "does not fit the shape of a sample",
    ),
    "large strings": (
        with_state("classes_", {"strings": ["a"] * 50_000 + ["a" * 50_000]}),
        "strings that are too long",
    ),
    "many outputs": (with_net("n_outputs", 2**40), "outputs does not fit classes_"),
    "deep nesting": (with_learnt("x_", DEEP), "nested more than 50 levels deep"),
    "many objects": (with_learnt("x_", MANY), "more than 1000 objects"),
    "a method": (
        with_learnt("predict", 1),
        "OpenSetClassifier does not learn 'predict'",
    ),
    "a class": (with_learnt("__class__", 1), "does not learn '__class__'"),
    "itself": (with_learnt("x_", {"same": 0}), "x contains itself"),
    "unknown class": (
        with_learnt("x_", {"object": "Popen", "params": {}, "state": {}}),
        "KeyError",
    ),
    "unknown parameter": (
        lambda header: header["estimator"]["params"].update(shell=1),
        "OpenSetClassifier has no parameter 'shell'",
    ),
    "bad parameter": (
        lambda header: header["estimator"]["params"].update(target_tpr=2),
        "'target_tpr' parameter",
    ),
    "newer format": (
        lambda header: header.update(format=2),
        "it has format 2, and this version of confident_clf reads format 1",
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_a_header_may_not_ask_for(name, outcome):
    """Check that each limit holds, and that the error names it."""
    change, message = BOMBS[name]
    header, tensors = opened()
    change(header)
    assert message in outcome(sealed(header, tensors))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "is not valid JSON"),
        ("1" * 100_000, "is not valid JSON"),
        ('{"format": NaN}', "is not valid JSON: JSON does not have NaN"),
        ("[]", "does not name a format"),
        ("[" + "{}," * 10**6 + "{}]", "does not name a format"),
        ("{" * 3 * 2**20, "header has"),
    ],
    ids=["deep", "long number", "nan", "list", "many", "oversized"],
)
def test_headers_that_are_no_headers(text, message, outcome):
    """Check that headers are refused if JSON parsers choke on them."""
    if message == "header has":
        text = text + "}" * 2**20
    assert message in outcome(sealed(text, {}))


def test_a_tensor_used_twice(outcome):
    """Check that a small file cannot fill the memory by using one tensor often."""
    header, tensors = opened()
    node = header["estimator"]["state"]["classes_"]
    tensors["big"] = torch.zeros(2**20)
    node = {"array": ["big", False, None]}
    header["estimator"]["state"]["x_"] = [node] * 1000
    assert "'big' is missing or used twice" in outcome(sealed(header, tensors))
    header["estimator"]["state"].pop("x_")
    assert "'big' does not belong to anything" in outcome(sealed(header, tensors))


def test_too_many_tensors(outcome):
    """Check that too many tensors are refused before any is created."""
    header, tensors = opened()
    tensors |= {str(i): torch.zeros(0) for i in range(10_001)}
    assert "tensors, more than 10000" in outcome(sealed(header, tensors))


def test_an_estimator_that_is_not_fitted(outcome):
    """Check that what load returns can predict."""
    inner = {"object": "LogisticRegression", "params": {}, "state": {}}
    node = {"object": "OODDetector", "params": {"estimator": inner}, "state": {}}
    header = {"format": 1, "versions": {}, "given": [], "estimator": node}
    assert "is not fitted yet" in outcome(sealed(header, {}))
    header["estimator"] = inner
    assert "does not contain an estimator that save writes" in outcome(
        sealed(header, {})
    )
    node["state"] = {"threshold_": 0.5}
    header["estimator"] = node
    assert "OODDetector lacks calibration_scores_" in outcome(sealed(header, {}))


def test_one_bit(outcome):
    """Check that the checksum finds a single wrong bit in the weights."""
    data = bytearray(DATA)
    data[-5] ^= 1
    assert "it was damaged after it was written" in outcome(bytes(data))


class Bomb:
    """Executes something when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("exploded",)


def test_pickles_are_no_files(outcome, tmp_path, monkeypatch):
    """Check that load refuses pickles, also those of torch, and executes nothing."""
    monkeypatch.chdir(tmp_path)
    torch.save({"a": Bomb()}, "it.pt")
    for data in (pickle.dumps(Bomb()), Path("it.pt").read_bytes()):
        assert "cannot be loaded" in outcome(data)
    assert not os.path.exists("exploded")


def test_what_is_no_file(tmp_path):
    """Check folders, pipes, files that are too large and files that do not exist."""
    with pytest.raises(ValueError, match="is not a regular file"):
        load(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="is not a regular file"):
        load(tmp_path / "pipe")
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(2**40)
    with pytest.raises(ValueError, match="has 1099511627776 bytes, more than max_size"):
        load(tmp_path / "sparse")
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nothing")
