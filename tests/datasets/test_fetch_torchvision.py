# SPDX-License-Identifier: BSD-3-Clause
"""Tests of the sets that torchvision reads, on small files in their real formats.

The MD5 sums that torchvision knows are replaced by those of the small files, so that
checking them is a part of every test.
"""

import gzip
import io
import pickle
import struct
import tarfile

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image
from scipy.io import savemat
from torchvision.datasets import CIFAR10, CIFAR100, DTD, MNIST, SVHN, FashionMNIST

from confident_clf.datasets import (
    _fetch_torchvision,
    fetch_cifar10,
    fetch_cifar100,
    fetch_fashion_mnist,
    fetch_mnist,
    fetch_svhn,
    fetch_textures,
)

# torchvision unpacks archives after it has checked their MD5 sums.
pytestmark = pytest.mark.filterwarnings("ignore:Python 3.14 will:DeprecationWarning")


def random_pixels(*shape, seed=0):
    """Return random pixels."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def write_tar(path, files):
    """Write a tar.gz of a dict from names to contents."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


@pytest.fixture
def cifar(tmp_path, monkeypatch, md5_of):
    """A function that writes the archive of a CIFAR set, and returns its images."""

    def write(dataset, key):
        files, images = {}, {}
        names = [name for name, _ in dataset.train_list + dataset.test_list]
        for i, name in enumerate(names):
            images[name] = random_pixels(2, 3, 32, 32, seed=i)
            rows = images[name].reshape(2, -1)
            batch = {"data": rows, key: [i, 9 - i]}
            files[name] = pickle.dumps(batch, protocol=2)
        classes = [f"class {i}" for i in range(10)]
        files[dataset.meta["filename"]] = pickle.dumps({dataset.meta["key"]: classes})
        path = tmp_path / dataset.filename
        folder = dataset.base_folder
        write_tar(path, {f"{folder}/{name}": files[name] for name in files})
        sums = {}
        for name, content in files.items():
            (tmp_path / "one").write_bytes(content)
            sums[name] = md5_of(tmp_path / "one")
        for part in ("train_list", "test_list"):
            names = [[name, sums[name]] for name, _ in getattr(dataset, part)]
            monkeypatch.setattr(dataset, part, names)
        meta = {**dataset.meta, "md5": sums[dataset.meta["filename"]]}
        monkeypatch.setattr(dataset, "meta", meta)
        monkeypatch.setattr(dataset, "tgz_md5", md5_of(path))
        return images

    return write


@pytest.mark.parametrize(
    ("fetch", "dataset", "key"),
    [(fetch_cifar10, CIFAR10, "labels"), (fetch_cifar100, CIFAR100, "fine_labels")],
)
def test_cifar(tmp_path, offline, cifar, fetch, dataset, key):
    """Check images and labels against the batches that were written."""
    images = cifar(dataset, key)
    test = fetch(subset="test", data_home=tmp_path, download_if_missing=False)
    train = fetch(data_home=tmp_path)
    *train_names, test_name = images
    assert_array_equal(test.data, images[test_name])
    assert_array_equal(train.data, np.concatenate([images[n] for n in train_names]))
    assert train.data.dtype == np.uint8
    assert train.data.flags.c_contiguous
    labels = [[i, 9 - i] for i in range(len(images))]
    assert_array_equal(train.target, np.concatenate(labels[:-1]))
    assert_array_equal(test.target, labels[-1])
    assert_array_equal(test.target_names, [f"class {i}" for i in range(10)])
    assert "cs.toronto.edu" in test.DESCR


def test_wrong_checksum(tmp_path, offline, cifar, monkeypatch):
    """Check that no pickle is opened if the archive has another MD5 sum."""
    cifar(CIFAR10, "labels")
    monkeypatch.setattr(CIFAR10, "tgz_md5", "0" * 32)
    monkeypatch.setattr(pickle, "load", None)
    for download in (False, True):
        with pytest.raises(OSError, match=r"the file there has another MD5"):
            fetch_cifar10(data_home=tmp_path, download_if_missing=download)
    assert not (tmp_path / CIFAR10.base_folder).exists()


def test_changed_after_unpacking(tmp_path, offline, cifar):
    """Check that a batch that changed on the disk is unpacked again."""
    cifar(CIFAR10, "labels")
    before = fetch_cifar10(data_home=tmp_path)
    (tmp_path / CIFAR10.base_folder / "data_batch_2").write_bytes(b"not a pickle")
    assert_array_equal(fetch_cifar10(data_home=tmp_path).data, before.data)


def test_download(tmp_path, server, cifar, monkeypatch, capsys):
    """Check a download from a server: kept, with a bar, refused if it was changed."""
    cifar(CIFAR10, "labels")
    folder, address = server
    (tmp_path / CIFAR10.filename).rename(folder / CIFAR10.filename)
    monkeypatch.setattr(CIFAR10, "url", f"{address}/{CIFAR10.filename}")
    home = tmp_path / "home"
    with pytest.raises(OSError, match="download_if_missing=False"):
        fetch_cifar10(data_home=home, download_if_missing=False)
    assert fetch_cifar10(data_home=home).data.shape == (10, 3, 32, 32)
    assert "100%" in capsys.readouterr().err
    assert (home / CIFAR10.filename).exists()
    (folder / CIFAR10.filename).write_bytes(b"changed on the way")
    with pytest.raises(OSError, match="the download failed"):
        fetch_cifar10(data_home=tmp_path / "other")


@pytest.mark.parametrize("download_if_missing", [True, False])
@pytest.mark.parametrize(
    ("fetch", "name", "url"),
    [
        (fetch_cifar10, "cifar-10-python.tar.gz", "cs.toronto.edu"),
        (fetch_cifar100, "cifar-100-python.tar.gz", "cs.toronto.edu"),
        (fetch_svhn, "train_32x32.mat", "ufldl.stanford.edu"),
        (fetch_mnist, "MNIST/raw/t10k-labels-idx1-ubyte.gz", "mnist"),
        (fetch_fashion_mnist, "FashionMNIST/raw/train-images-idx3-ubyte.gz", "fashion"),
        (fetch_textures, "dtd/dtd-r1.0.1.tar.gz", "robots.ox.ac.uk"),
    ],
)
def test_offline(tmp_path, offline, fetch, name, url, download_if_missing):
    """Check that the error says which file to put where, and where it is from."""
    reason = "download failed" if download_if_missing else "download_if_missing=False"
    with pytest.raises(OSError, match=reason) as error:
        fetch(data_home=tmp_path, download_if_missing=download_if_missing)
    assert f"{tmp_path}/{name} from http" in str(error.value)
    assert url in str(error.value)


def test_data_home_of_scikit_learn(tmp_path, offline, monkeypatch):
    """Check that None is the folder that scikit-learn uses."""
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "mine"))
    with pytest.raises(OSError, match=f"{tmp_path}/mine/cifar-10"):
        fetch_cifar10(download_if_missing=False)


@pytest.mark.parametrize(
    ("fetch", "dataset"), [(fetch_mnist, MNIST), (fetch_fashion_mnist, FashionMNIST)]
)
def test_mnist(tmp_path, offline, monkeypatch, md5_of, fetch, dataset):
    """Check images and labels against the IDX files that were written."""
    folder = tmp_path / dataset.__name__ / "raw"
    folder.mkdir(parents=True)
    images = {"train": random_pixels(5, 28, 28), "t10k": random_pixels(3, 28, 28)}
    for name, pixels in images.items():
        n = len(pixels)
        content = struct.pack(">IIII", 0x803, n, 28, 28) + pixels.tobytes()
        with gzip.open(folder / f"{name}-images-idx3-ubyte.gz", "wb") as file:
            file.write(content)
        with gzip.open(folder / f"{name}-labels-idx1-ubyte.gz", "wb") as file:
            file.write(struct.pack(">II", 0x801, n) + bytes(range(9, 9 - n, -1)))
    sums = [(name, md5_of(folder / name)) for name, _ in dataset.resources]
    monkeypatch.setattr(dataset, "resources", sums)
    train = fetch(data_home=tmp_path, download_if_missing=False)
    test = fetch(subset="test", data_home=tmp_path)
    assert_array_equal(train.data, images["train"][:, None])
    assert_array_equal(test.data, images["t10k"][:, None])
    assert_array_equal(train.target, [9, 8, 7, 6, 5])
    assert_array_equal(test.target, [9, 8, 7])
    last = "9" if dataset is MNIST else "Ankle boot"
    assert test.target_names[test.target[0]] == last


@pytest.mark.parametrize("subset", ["train", "test", "extra"])
def test_svhn(tmp_path, offline, monkeypatch, md5_of, subset):
    """Check images against the MATLAB file, and that label 10 is the digit 0."""
    pixels = random_pixels(32, 32, 3, 4)  # MATLAB's order: the images come last
    path = tmp_path / f"{subset}_32x32.mat"
    savemat(path, {"X": pixels, "y": np.array([[1], [10], [9], [10]], np.uint8)})
    url, name, _ = SVHN.split_list[subset]
    monkeypatch.setitem(SVHN.split_list, subset, [url, name, md5_of(path)])
    svhn = fetch_svhn(subset=subset, data_home=tmp_path, download_if_missing=False)
    for i in range(4):
        assert_array_equal(svhn.data[i], np.moveaxis(pixels[..., i], 2, 0))
    assert svhn.data.flags.c_contiguous
    assert_array_equal(svhn.target, [1, 0, 9, 0])
    assert svhn.target_names[svhn.target[2]] == "9"


def test_textures(tmp_path, offline, monkeypatch, md5_of):
    """Check photographs of different sizes, and the lists of the partitions."""
    files = {}
    for i, name in enumerate(["woven/woven_1.jpg", "dotted/dotted_2.jpg"]):
        file = io.BytesIO()
        Image.new("RGB", (40 + 9 * i, 30), (200 * i, 0, 90)).save(file, "JPEG")
        files[f"dtd/images/{name}"] = file.getvalue()
    both = b"woven/woven_1.jpg\ndotted/dotted_2.jpg\n"
    files |= {"dtd/labels/test1.txt": both, "dtd/labels/test2.txt": both[:18]}
    path = tmp_path / "dtd" / "dtd-r1.0.1.tar.gz"
    write_tar(path, files)
    small = _fetch_torchvision.TEXTURES._replace(md5=md5_of(path))
    monkeypatch.setattr(_fetch_torchvision, "TEXTURES", small)
    monkeypatch.setattr(DTD, "_MD5", small.md5)
    bunch = fetch_textures(subset="test", size=(8, 6), data_home=tmp_path)
    assert bunch.data.shape == (2, 3, 8, 6)
    assert_array_equal(bunch.target_names[bunch.target], ["woven", "dotted"])
    colours = bunch.data.mean(axis=(2, 3))
    assert np.abs(colours - [[0, 0, 90], [200, 0, 90]]).max() < 5
    second = fetch_textures(subset="test", partition=2, data_home=tmp_path)
    assert second.data.shape == (1, 3, 32, 32)


def test_textures_are_those_of_torchvision():
    """Check address and MD5 sum against torchvision's."""
    assert _fetch_torchvision.TEXTURES[1:] == (DTD._URL, DTD._MD5)


@pytest.mark.parametrize(
    "fetch",
    [fetch_cifar10, fetch_cifar100, fetch_svhn, fetch_mnist, fetch_fashion_mnist],
)
def test_unknown_subset(tmp_path, fetch):
    """Check that a subset that there is not is refused by name."""
    with pytest.raises(ValueError, match=r"subset='val' must be one of train, test"):
        fetch(subset="val", data_home=tmp_path)
