# SPDX-License-Identifier: BSD-3-Clause
"""Samples that are read when they are needed give what arrays in memory give."""

from functools import partial

import h5py
import numpy as np
import pytest
import torch
import zarr
from numpy.testing import assert_array_equal
from PIL import Image
from scipy import sparse
from sklearn.datasets import load_digits
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from confident_clf import ConfidentClassifier, OODDetector, OpenSetClassifier
from confident_clf.utils import _items, _lazy

DIGITS, LABELS = load_digits(return_X_y=True)
DIGITS, LABELS = np.float32(DIGITS[:400] / 16), LABELS[:400]
PIXELS = np.uint8(DIGITS * 255).reshape(-1, 1, 8, 8)
fast = partial(ConfidentClassifier, max_epochs=1, random_state=0)


def assert_same(lazy, X_lazy, whole, X):
    """Check that two fitted classifiers agree to the bit."""
    assert_array_equal(lazy.predict_proba(X_lazy), whole.predict_proba(X))
    assert_array_equal(lazy.ood_score(X_lazy), whole.ood_score(X))


# Sparse rows


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"ood_source": None},
        {"ood_source": "joint", "early_stopping": True},
        {"ood_source": "gan", "ood_source__max_epochs": 1},
        {"ood_source": "features", "method": "mahalanobis"},
        {"ood_source": "explicit", "ood_label": 9, "method": "odin"},
    ],
    ids=lambda params: str(params.get("ood_source", "default")),
)
def test_sparse_rows(params):
    """Check each kind of source: the same bits as from the dense rows."""
    nested = {k: v for k, v in params.items() if "__" in k}
    flat = {k: v for k, v in params.items() if "__" not in k}
    if nested:
        from confident_clf.sources import OriginalGAN

        flat["ood_source"] = OriginalGAN(max_epochs=1)
    rows = sparse.csr_array(DIGITS)
    whole, lazy = fast(**flat).fit(DIGITS, LABELS), fast(**flat).fit(rows, LABELS)
    assert_same(lazy, rows.tocsc(), whole, DIGITS)
    more = slice(0, 50)
    if not nested:
        extra = {"X_ood": DIGITS[more]} if "ood_label" in flat else {}
        for clf in (whole, lazy):
            clf.set_params(early_stopping=False)
        sparse_extra = {name: sparse.coo_array(X) for name, X in extra.items()}
        whole.partial_fit(DIGITS[more], LABELS[more], **extra)
        lazy.partial_fit(rows[more], LABELS[more], **sparse_extra)
        assert_same(lazy, rows, whole, DIGITS)


def test_sparse_images():
    """Check sparse rows of pixels that are images, and their sources."""
    rows = PIXELS.reshape(len(PIXELS), -1)
    make = partial(fast, image_shape=(1, 8, 8), ood_source="noise")
    whole, lazy = make().fit(rows, LABELS), make().fit(sparse.csr_array(rows), LABELS)
    assert_same(lazy, sparse.csr_array(rows), whole, rows)
    assert lazy.sample_ood(3).dtype == np.uint8


def test_sparse_detector_and_search():
    """Check a detector and a search on sparse rows."""
    rows = sparse.csr_array(DIGITS)
    detector = OODDetector(fast(), random_state=0)
    whole = detector.fit(DIGITS, LABELS).decide(DIGITS)
    lazy = detector.fit(rows, LABELS).decide(rows)
    assert_array_equal(lazy.p_value, whole.p_value)
    search = GridSearchCV(fast(ood_source="noise"), {"beta": [0.1, 1]}, cv=2)
    assert_array_equal(
        search.fit(rows, LABELS).cv_results_["mean_test_score"],
        search.fit(DIGITS, LABELS).cv_results_["mean_test_score"],
    )


def test_texts():
    """Check texts of words that no training text has: they are refused."""
    rng = np.random.default_rng(0)
    words = np.array([[f"w{topic}x{i}" for i in range(40)] for topic in range(3)])
    topics = np.repeat(np.arange(3), 60)
    texts = [" ".join(rng.choice(words[topic], 12)) for topic in topics]
    pipe = make_pipeline(TfidfVectorizer(), fast(max_epochs=10))
    pipe.fit(texts, topics)
    assert pipe.score(texts, topics) > 0.95
    detector = OODDetector(pipe, target_tpr=0.9, random_state=0).fit(texts, topics)
    assert (detector.predict(texts) == 1).mean() > 0.8
    assert detector.predict(["no word of these", "nor one of those"]).tolist() == [
        -1,
        -1,
    ]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_sparse_rows_that_are_not_finite(bad):
    """Check that they are refused before any training, as dense ones are."""
    rows = sparse.csr_array(DIGITS)
    rows.data[7] = bad
    with pytest.raises(ValueError, match="Input X contains"):
        fast().fit(rows, LABELS)
    with pytest.raises(ValueError, match="64 features"):
        fast().fit(sparse.csr_array(DIGITS), LABELS).predict(rows[:, :9])


# Arrays on the disk


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """Return a function that stores an array on the disk, where it counts as large."""
    monkeypatch.setattr(_lazy, "LARGE_BYTES", 0)
    monkeypatch.setattr(_lazy, "BLOCK_BYTES", 2**12)  # so that there are many blocks

    def store(X, kind):
        path = tmp_path / kind
        if kind == "memmap":
            mapped = np.memmap(path, X.dtype, "w+", shape=X.shape)
            mapped[:] = X
            return np.memmap(path, X.dtype, "r", shape=X.shape)
        if kind == "h5py":
            return h5py.File(path, "w").create_dataset("X", data=X, chunks=True)
        array = zarr.create_array(
            store=str(path), shape=X.shape, chunks=(7, *X.shape[1:]), dtype=X.dtype
        )
        array[:] = X
        return array

    return store


@pytest.mark.parametrize("kind", ["memmap", "h5py", "zarr"])
@pytest.mark.parametrize("X", [DIGITS, PIXELS], ids=["rows", "images"])
def test_stored_arrays(X, kind, stored, tmp_path):
    """Check classifier, early stopping, OOD rows, checkpoint and detector."""
    on_disk = stored(X, kind)
    make = partial(fast, early_stopping=True, ood_source="noise")
    whole = make(checkpoint=tmp_path / "a").fit(X, LABELS)
    lazy = make(checkpoint=tmp_path / "b").fit(on_disk, LABELS)
    assert_same(lazy, on_disk, whole, X)
    again = make(checkpoint=tmp_path / "b").fit(X, LABELS)  # same data: same fit
    assert_array_equal(again.predict_proba(X), whole.predict_proba(X))
    explicit = OODDetector(fast(ood_source="explicit", ood_label=9), random_state=0)
    whole = explicit.fit(X, LABELS).decide(X)
    lazy = explicit.fit(on_disk, LABELS).decide(on_disk)
    for of_lazy, of_whole in zip(lazy, whole, strict=True):
        assert_array_equal(of_lazy, of_whole)


class Counted:
    """An array on the disk that counts how many rows are read at once."""

    def __init__(self, X):
        self.X, self.shape, self.dtype, self.chunks = X, X.shape, X.dtype, (1,)
        self.ndim, self.most = X.ndim, 0

    def __len__(self):
        return len(self.X)

    def __getitem__(self, rows):
        found = self.X[rows]
        self.most = max(self.most, len(found))
        return found


@pytest.mark.parametrize(
    "params",
    [{}, {"early_stopping": True}, {"ood_source": "noise"}, {"ood_source": "joint"}],
    ids=str,
)
def test_never_read_as_a_whole(params, monkeypatch):
    """Check how many rows a detector and its classifier read at once."""
    monkeypatch.setattr(_lazy, "LARGE_BYTES", 0)
    monkeypatch.setattr(_lazy, "BLOCK_BYTES", 2**12)
    # The rows that are copied for several batches, and those that the noise keeps.
    monkeypatch.setattr("confident_clf._training._batches.CHUNK_BYTES", 2**12)
    monkeypatch.setattr("confident_clf.sources._noise.MAX_ROWS", 50)
    X = Counted(PIXELS)
    detector = OpenSetClassifier(fast(**params), random_state=0).fit(X, LABELS)
    detector.decide(X)
    assert X.most <= 128  # of 400: two batches


def test_many_rows_are_scored_in_parts(monkeypatch, stored):
    """Check that parts give the same, and that a score sees each class."""
    monkeypatch.setattr(_lazy, "MANY_ROWS", 30)
    clf = fast(method="mahalanobis", ood_source=None).fit(DIGITS, LABELS)
    on_disk = stored(DIGITS, "memmap")
    assert_array_equal(clf.ood_score(on_disk), clf.ood_score(DIGITS))
    chosen, labels = _lazy.rows_for_scores(_lazy.lazy_rows(on_disk, "f4"), LABELS)
    assert_array_equal(np.unique(labels), np.arange(10))
    assert 30 <= len(labels) <= 40
    assert np.isin(np.asarray(chosen), DIGITS).all()
    detector = OODDetector(clf.set_params(method="msp"), random_state=0)
    detector.fit(on_disk, LABELS)
    assert_array_equal(detector.decide(on_disk).p_value, detector.p_value(DIGITS))


def test_std_of_columns():
    """Check the standard deviations that parts give, against NumPy's of all rows."""
    X = np.float32(DIGITS * 3 + 1e4)
    X = _lazy.LazyRows(X.__getitem__, X.shape, X.dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_lazy, "BLOCK_BYTES", 2**10)
        std, mean = _lazy.std_of_columns(X)
    np.testing.assert_allclose(mean, np.asarray(X, np.float64).mean(axis=0), rtol=1e-9)
    expected = np.asarray(X, np.float64).std(axis=0)
    np.testing.assert_allclose(std, expected, rtol=1e-6, atol=1e-9)


# Files, images of Pillow, data sets of torch


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a folder of images for each of three digits."""
    folder = tmp_path_factory.mktemp("images")
    for i in np.flatnonzero(LABELS < 3):
        path = folder / str(LABELS[i]) / f"{i:03}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(PIXELS[i, 0]).save(path)
    return folder


@pytest.fixture(scope="module")
def arrays(folder):
    """Return the images of the folder, in its order, as arrays, and their labels."""
    paths = sorted(folder.glob("*/*.png"))
    images = [PIXELS[int(path.stem)] for path in paths]
    return np.stack(images), np.array([int(path.parent.name) for path in paths])


TO_GREY = v2.Compose([v2.Grayscale(), v2.PILToTensor()])


def as_lazy(kind, folder):
    """Return the images of the folder as something that is read lazily."""
    paths = sorted(folder.glob("*/*.png"))
    data = ImageFolder(folder, transform=TO_GREY)
    return {
        "paths": paths,
        "names": np.array([str(path) for path in paths]),
        "pillow": [Image.open(path).copy() for path in paths],
        "folder": data,
        "subset": Subset(data, range(len(data))),
        "loader": DataLoader(data, num_workers=1),
    }[kind]


KINDS = ["paths", "names", "pillow", "folder", "subset", "loader"]


@pytest.mark.parametrize("kind", KINDS)
def test_items(kind, folder, arrays):
    """Check that every kind gives the bits of arrays, in classifier and detector."""
    X, y = arrays
    lazy_X = as_lazy(kind, folder)
    own = {"y": None} if kind in ("folder", "subset", "loader") else {"y": y}
    whole, lazy = fast().fit(X, y), fast().fit(lazy_X, **own)
    assert_same(lazy, lazy_X, whole, X)
    detector = OODDetector(fast(ood_source="noise"), random_state=0)
    expected = detector.fit(X, y).decide(X)
    found = detector.fit(lazy_X, **own).decide(lazy_X)
    assert_array_equal(found.p_value, expected.p_value)


def test_one_file_and_one_image(folder, arrays):
    """Check that one file, or one image, is one sample, brought to the shape of fit."""
    clf = fast().fit(*arrays)
    path = sorted(folder.glob("*/*.png"))[0]
    expected = clf.predict_proba(arrays[0][:1])
    for one in (path, str(path), Image.open(path)):
        assert_array_equal(clf.predict_proba(one), expected)
    large = Image.open(path).resize((40, 30)).convert("RGB")
    assert clf.predict_proba(large).shape == (1, 3)
    assert_array_equal(
        clf.predict_proba(large),
        clf.predict_proba(large.convert("L").resize((8, 8), 2)),
    )


def test_files_of_several_sizes(folder, tmp_path):
    """Check that image_shape brings grey and coloured files of any size together."""
    rng = np.random.default_rng(0)
    paths = []
    for i in range(12):
        size = (8 + i, 9, 3) if i % 2 else (20, 8 + i)
        paths.append(tmp_path / f"{i}.jpg")
        Image.fromarray(rng.integers(0, 255, size, np.uint8)).save(paths[-1])
    with pytest.raises(ValueError, match=r"different shapes.*1\.jpg.*image_shape"):
        fast().fit(paths, np.arange(12) % 2)
    clf = fast(image_shape=(3, 8, 8)).fit(paths, np.arange(12) % 2)
    assert clf.input_shape_ == (3, 8, 8)
    assert clf.predict(paths).shape == (12,)
    assert clf.predict(rng.integers(0, 255, (5, 3, 8, 8), np.uint8)).shape == (5,)


def test_files_in_a_search(folder, arrays):
    """Check that scikit-learn splits a list of paths."""
    paths = sorted(folder.glob("*/*.png"))
    search = GridSearchCV(fast(ood_source=None), {"lr": [1e-3, 1e-2]}, cv=2)
    found = search.fit(paths, arrays[1]).cv_results_["mean_test_score"]
    expected = search.fit(*arrays).cv_results_["mean_test_score"]
    assert_array_equal(found, expected)


def test_a_data_set_in_a_search(folder, arrays):
    """Check that scikit-learn splits a data set, whose labels are given as y."""
    data = ImageFolder(folder, transform=TO_GREY)
    found = cross_val_score(fast(ood_source=None), data, arrays[1], cv=2)
    assert_array_equal(found, cross_val_score(fast(ood_source=None), *arrays, cv=2))


def test_turned_photographs(tmp_path):
    """Check that a photograph is read as its viewer shows it, and 16 bits as 8."""
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    (found,) = _items.ItemReader([tmp_path / "a.png"], None, 0, 1)(np.array([0]))
    assert_array_equal(found[0], np.rot90(pixels, -1))
    deep = pixels.astype(np.uint16) * 256
    Image.fromarray(deep).save(tmp_path / "b.png")
    (found,) = _items.ItemReader([tmp_path / "b.png"], None, 0, 1)(np.array([0]))
    assert_array_equal(found[0], pixels)


def test_tensor_data_set():
    """Check that a data set of tensors is taken as arrays."""
    data = TensorDataset(torch.from_numpy(DIGITS), torch.from_numpy(LABELS))
    lazy, whole = fast().fit(data), fast().fit(DIGITS, LABELS)
    assert_same(lazy, DIGITS, whole, DIGITS)
    assert fast().partial_fit(data, classes=range(10)).predict(DIGITS).shape == (400,)


class Stream(IterableDataset):
    """A data set without length."""

    def __iter__(self):
        return iter([])


class Unlabelled(Dataset):
    """A data set of samples alone."""

    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, row):
        return torch.from_numpy(PIXELS[row])


def test_what_cannot_be_read(folder, tmp_path):
    """Check the messages: what is wrong, where, and what to do."""
    broken = tmp_path / "x.png"
    broken.write_bytes(b"no image")
    paths = [*sorted(folder.glob("*/*.png")), broken]
    y = np.arange(len(paths)) % 2
    with pytest.raises(ValueError, match=r"x\.png cannot be read as an image"):
        fast().fit(paths, y)
    with pytest.raises(ValueError, match=r"gone\.png cannot be read"):
        fast().fit([tmp_path / "gone.png"] * 2, [0, 1])
    with pytest.raises(TypeError, match="Stream without length"):
        fast().fit(Stream())
    with pytest.raises(ValueError, match=r"yields Tensor.*pairs"):
        fast().fit(Unlabelled(8))
    with pytest.raises(ValueError, match="0 samples"):
        fast().fit(Unlabelled(0))
    with pytest.raises(ValueError, match="2 channels"):
        fast(image_shape=(2, 8, 8)).fit(paths, y)
    with pytest.raises(ValueError, match="the target y is None"):
        fast().fit(paths)
    labelled = fast().fit(Unlabelled(20), LABELS[:20])
    assert labelled.predict(Unlabelled(5)).shape == (5,)


def test_a_detector_of_a_search(folder, arrays):
    """Check that searches in a detector choose rows of files as of arrays."""
    paths = sorted(folder.glob("*/*.png"))
    search = GridSearchCV(fast(ood_source="noise"), {"lr": [1e-3, 1e-2]}, cv=2)
    detector = OODDetector(search, random_state=0)
    expected = detector.fit(*arrays).p_value(arrays[0])
    assert_array_equal(detector.fit(paths, arrays[1]).p_value(paths), expected)


def test_one_file_is_opened_twice(folder, arrays, monkeypatch):
    """Check how often a file is read: for its shape, and for its pixels."""
    clf, opened = fast(ood_source=None).fit(*arrays), []
    read = _items._as_array
    monkeypatch.setattr(
        _items, "_as_array", lambda *args: opened.append(args) or read(*args)
    )
    clf.predict(sorted(folder.glob("*/*.png"))[0])
    assert len(opened) == 2
