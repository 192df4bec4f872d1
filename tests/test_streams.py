# SPDX-License-Identifier: BSD-3-Clause
"""Bytes and open files: ``dumps``, ``loads``, ``save`` and ``load``."""

import gzip
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline as SklearnPipeline
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from confident_clf import ConfidentClassifier, OODDetector, dumps, load, loads, save

X, Y = make_blobs(40, centers=2, random_state=0)
CLF = ConfidentClassifier(max_epochs=1, hidden=4, random_state=0).fit(X, Y)
DATA = dumps(CLF)


class Pipeline(SklearnPipeline):
    """A pipeline of another library."""


class ConfidentSubclass(ConfidentClassifier):
    """A subclass of the user's."""


def test_one_format(tmp_path):
    """Check that a path, an open file and dumps are read by each other."""
    save(CLF, tmp_path / "a")
    buffer = io.BytesIO()
    save(CLF, buffer)
    (tmp_path / "b").write_bytes(DATA)
    assert type(DATA) is bytes
    assert not buffer.closed
    for loaded in (
        load(tmp_path / "b"),
        load(io.BytesIO((tmp_path / "a").read_bytes())),
        loads(buffer.getvalue()),
    ):
        np.testing.assert_array_equal(loaded.ood_score(X), CLF.ood_score(X))


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_loads(kind):
    """Check that all kinds of bytes give the classifier back, to the bit."""
    loaded = loads(kind(DATA))
    np.testing.assert_array_equal(loaded.ood_score(X), CLF.ood_score(X))
    np.testing.assert_array_equal(loaded.predict_proba(X), CLF.predict_proba(X))


class Slow(io.RawIOBase):
    """A file without a buffer that takes and gives 1000 bytes at a time."""

    def __init__(self):
        self.inner = io.BytesIO()

    def readable(self):
        return True

    def writable(self):
        return True

    def write(self, data):
        return self.inner.write(bytes(data)[:1000])

    def read(self, size=-1):
        return self.inner.read(min(size, 1000))

    def seek(self, place):
        return self.inner.seek(place)


@pytest.mark.parametrize(
    "opened",
    [
        lambda folder: io.BytesIO(),
        lambda folder: open(folder / "it", "w+b"),
        lambda folder: open(folder / "it", "w+b", buffering=0),
        lambda folder: Slow(),
    ],
    ids=["memory", "file", "no buffer", "parts"],
)
def test_open_files(opened, tmp_path):
    """Check that files are written and read where they stand, and stay open."""
    with opened(tmp_path) as file:
        file.write(b"before")
        save(CLF, file)
        file.seek(6)
        loaded = load(file)
        assert not file.closed
        file.seek(0)
        assert file.read(6) == b"before"
    np.testing.assert_array_equal(loaded.ood_score(X), CLF.ood_score(X))


def test_files_in_archives(tmp_path):
    """Check compressed files and members of a zip archive, which have no path."""
    with gzip.open(tmp_path / "it.gz", "wb") as file:
        save(CLF, file)
    with gzip.open(tmp_path / "it.gz", "rb") as file:
        assert load(file).classes_.tolist() == [0, 1]
    with zipfile.ZipFile(tmp_path / "it.zip", "w") as archive:
        with archive.open("model", "w") as file:
            save(CLF, file)
    with zipfile.ZipFile(tmp_path / "it.zip") as archive:
        with archive.open("model") as file:
            assert load(file).classes_.tolist() == [0, 1]


@pytest.mark.parametrize("length", [250, 255])
def test_long_names(length, tmp_path):
    """Check names as long as file systems take, and that nothing else is left."""
    path = tmp_path / ("é" * 20 + "m" * (length - 40))
    save(CLF, path)
    save(CLF, str(path))
    assert os.listdir(tmp_path) == [path.name]
    assert load(path).classes_.tolist() == [0, 1]


def test_a_name_that_is_too_long(tmp_path):
    """Check that a name that the file system refuses leaves nothing behind."""
    with pytest.raises(OSError, match="name too long"):
        save(CLF, tmp_path / ("m" * 256))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("function", [load, lambda target: save(CLF, target)])
@pytest.mark.parametrize(
    ("target", "message"),
    [
        (io.StringIO(), "open for text.*'[rw]b'"),
        (None, "got NoneType"),
        (3, "got int"),
        (DATA, "got bytes"),
    ],
    ids=["text", "None", "descriptor", "bytes"],
)
def test_not_a_file(function, target, message):
    """Check that what is neither a path nor a binary file is refused by name."""
    with pytest.raises(TypeError, match=message):
        function(target)


@pytest.mark.parametrize(
    ("data", "message"), [("a path", "got str"), (Path("x"), "got .*Path")]
)
def test_loads_takes_bytes(data, message):
    """Check that a path is not taken for bytes."""
    with pytest.raises(TypeError, match=f"{message}.*load for files"):
        loads(data)


@pytest.mark.parametrize(
    ("estimator", "error", "message"),
    [
        (ConfidentClassifier(), NotFittedError, "not fitted"),
        (
            Pipeline([("clf", CLF)]),
            TypeError,
            r"got a .*test_streams\.Pipeline, which is not the Pipeline of sklearn",
        ),
        (
            OODDetector(FrozenEstimator(Pipeline([("clf", CLF)])), target_tpr=0.5).fit(
                X, Y
            ),
            ValueError,
            r"estimator is a .*test_streams\.Pipeline, which is not the Pipeline of",
        ),
        (ConfidentSubclass(max_epochs=1).fit(X, Y), TypeError, "ConfidentSubclass"),
        (StandardScaler().fit(X), TypeError, "got a StandardScaler.*joblib"),
        (type("Fake", (), {})(), TypeError, "got a Fake"),
    ],
    ids=["not fitted", "pipeline", "inside", "subclass", "scaler", "object"],
)
def test_dumps_refuses(estimator, error, message):
    """Check that what save refuses, dumps and open files refuse, by its full name."""
    buffer = io.BytesIO()
    for function in (dumps, lambda it: save(it, buffer)):
        with pytest.raises(error, match=message):
            function(estimator)
    assert buffer.getvalue() == b""


def test_given_parameters():
    """Check that the error of loads names how to pass what bytes cannot hold."""

    def module(input_shape, n_classes):
        from confident_clf.modules import MLP

        return MLP(input_shape, n_classes, hidden=(3,))

    clf = ConfidentClassifier(module, max_epochs=1, random_state=0).fit(X, Y)
    with pytest.raises(
        ValueError, match=r"the data cannot.*loads\(data, module=\.\.\."
    ):
        loads(dumps(clf))
    with pytest.raises(ValueError, match=r"the BytesIO cannot.*load\(path, module="):
        load(io.BytesIO(dumps(clf)))
    loaded = loads(dumps(clf), module=module)
    np.testing.assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X))
    with pytest.raises(ValueError, match="does not ask for modul"):
        loads(DATA, modul=3)
    assert loads(DATA, device="cpu").device == "cpu"


def test_max_size_of_an_open_file():
    """Check that no more is read of an open file than one byte over the limit."""
    buffer = io.BytesIO(DATA + b"x" * 10**7)
    with pytest.raises(ValueError, match=f"more than max_size={len(DATA)} bytes"):
        load(buffer, max_size=len(DATA))
    assert buffer.tell() == len(DATA) + 1
    assert load(io.BytesIO(DATA), max_size=len(DATA)).classes_.tolist() == [0, 1]


def test_a_pipeline_round_trip():
    """Check a pipeline in a detector, and bytes that are loaded and dumped again."""
    pipe = make_pipeline(StandardScaler(), ConfidentClassifier(max_epochs=1))
    detector = OODDetector(pipe, target_tpr=0.5, random_state=0).fit(X, Y)
    once = loads(dumps(detector))
    np.testing.assert_array_equal(once.p_value(X), detector.p_value(X))
    assert len(dumps(once)) == len(dumps(detector))
    np.testing.assert_array_equal(loads(dumps(once)).p_value(X), detector.p_value(X))
