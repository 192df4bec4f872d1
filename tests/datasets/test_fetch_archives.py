# SPDX-License-Identifier: BSD-3-Clause
"""Tests of Tiny ImageNet and LSUN, on small archives of the same structure."""

import io
import tarfile
import zipfile

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from confident_clf.datasets import _fetch_archives, fetch_lsun, fetch_tiny_imagenet

GREY = [10, 60, 110, 160, 210, 250]


def encoded(value, size, form, mode="RGB"):
    """Return the bytes of an image file of one grey."""
    file = io.BytesIO()
    colour = value if mode == "L" else (value, value, value)
    Image.new(mode, (size, size), colour).save(file, form)
    return file.getvalue()


@pytest.fixture
def tiny(tmp_path, monkeypatch, md5_of):
    """The archive of a Tiny ImageNet of two classes, one image of it grey."""
    path = tmp_path / "tiny-imagenet-200.zip"
    jpeg = [encoded(v, 64, "JPEG", "L" if v == 60 else "RGB") for v in GREY]
    box = "\t0\t0\t62\t62\n"
    files = {
        "wnids.txt": b"n02\nn01\n",
        "words.txt": b"n01\tgoldfish, Carassius auratus\nn02\tfrog\nn03\tnewt\n",
        "train/n02/images/n02_0.JPEG": jpeg[0],
        "train/n01/images/n01_0.JPEG": jpeg[1],
        "train/n01/images/n01_1.JPEG": jpeg[2],
        "train/n01/n01_boxes.txt": b"n01_0.JPEG\t0\t0\t62\t62\n",
        "val/val_annotations.txt": f"val_1.JPEG\tn01{box}val_0.JPEG\tn02{box}".encode(),
        "val/images/val_0.JPEG": jpeg[3],
        "val/images/val_1.JPEG": jpeg[4],
        "test/images/test_0.JPEG": jpeg[5],
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(f"tiny-imagenet-200/{name}", content)
    small = _fetch_archives.TINY_IMAGENET._replace(md5=md5_of(path))
    monkeypatch.setattr(_fetch_archives, "TINY_IMAGENET", small)
    return tmp_path


@pytest.fixture
def lsun(tmp_path, monkeypatch, md5_of):
    """The archive of an LSUN of three images, with a hidden file."""
    path = tmp_path / "LSUN_resize.tar.gz"
    names = [f"LSUN_resize/LSUN_resize/{i}.png" for i in (0, 1, 10)]
    files = {name: encoded(v, 32, "PNG") for name, v in zip(names, GREY, strict=False)}
    files["LSUN_resize/LSUN_resize/._1.png"] = b"left by a Mac"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    small = _fetch_archives.LSUN._replace(md5=md5_of(path))
    monkeypatch.setattr(_fetch_archives, "LSUN", small)
    return tmp_path


@pytest.mark.parametrize(
    ("subset", "grey", "names"),
    [
        ("train", [60, 110, 10], ["goldfish, Carassius auratus"] * 2 + ["frog"]),
        ("val", [160, 210], ["frog", "goldfish, Carassius auratus"]),
        ("test", [250], None),
    ],
)
def test_tiny_imagenet(tiny, offline, subset, grey, names):
    """Check images and names of classes; the test images have no labels."""
    bunch = fetch_tiny_imagenet(
        subset=subset, data_home=tiny, download_if_missing=False
    )
    assert bunch.data.shape == (len(grey), 3, 64, 64)
    assert bunch.data.dtype == np.uint8
    assert np.abs(bunch.data - np.reshape(grey, (-1, 1, 1, 1)).astype(int)).max() <= 2
    if names is None:
        assert "target" not in bunch
    else:
        assert_array_equal(bunch.target_names[bunch.target], names)


def test_lsun(lsun, offline):
    """Check the images, without the hidden file."""
    bunch = fetch_lsun(data_home=lsun, download_if_missing=False)
    expected = np.reshape(GREY[:3], (3, 1, 1, 1)) * np.ones((3, 32, 32))
    assert_array_equal(bunch.data, expected)
    assert sorted(bunch) == ["DESCR", "data"]


def test_download(tiny, server, monkeypatch, capsys):
    """Check that a file comes from its address, and not again."""
    folder, address = server
    (tiny / "tiny-imagenet-200.zip").rename(folder / "file.zip")
    here = _fetch_archives.TINY_IMAGENET._replace(url=f"{address}/file.zip")
    monkeypatch.setattr(_fetch_archives, "TINY_IMAGENET", here)
    assert len(fetch_tiny_imagenet(subset="val", data_home=tiny).data) == 2
    assert "100%" in capsys.readouterr().err
    (folder / "file.zip").unlink()
    assert len(fetch_tiny_imagenet(subset="val", data_home=tiny).data) == 2
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("fetch", "name"),
    [
        (fetch_tiny_imagenet, "tiny-imagenet-200.zip"),
        (fetch_lsun, "LSUN_resize.tar.gz"),
    ],
)
def test_offline(tmp_path, offline, fetch, name):
    """Check the error without a file, and with another file of that name."""
    with pytest.raises(OSError, match=f"download failed.*\n.*/{name} from http"):
        fetch(data_home=tmp_path)
    (tmp_path / name).write_bytes(b"another file")
    with pytest.raises(OSError, match="the file there has another MD5 sum"):
        fetch(data_home=tmp_path, download_if_missing=False)


def test_unknown_subset(tmp_path):
    """Check that a subset that there is not is refused by name."""
    with pytest.raises(ValueError, match="subset='valid' must be one of train, val"):
        fetch_tiny_imagenet(subset="valid", data_home=tmp_path)
