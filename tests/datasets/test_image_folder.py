# SPDX-License-Identifier: BSD-3-Clause
"""Tests of folders of images."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from torchvision.datasets import ImageFolder
from torchvision.transforms.v2 import functional

from confident_clf import ConfidentClassifier
from confident_clf.datasets import load_image_folder


def random_image(seed, height=6, width=9):
    """Return random pixels in colour."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    """A folder with two classes, one with a folder inside, and with other files."""
    for i, name in enumerate(["cat/2.png", "cat/10.PNG", "dog/a/1.png", "dog/2.bmp"]):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random_image(i)).save(tmp_path / name)
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    (tmp_path / "readme.txt").write_text("not a class")
    return tmp_path


def test_as_torchvision(folder):
    """Check images, labels, names and order against torchvision's ImageFolder."""
    bunch = load_image_folder(folder)
    other = ImageFolder(folder)
    assert bunch.data.dtype == np.uint8
    assert bunch.data.flags.c_contiguous
    pixels = np.stack([np.asarray(image) for image, _ in other])
    assert_array_equal(bunch.data, pixels.transpose(0, 3, 1, 2))
    assert_array_equal(bunch.target, other.targets)
    assert_array_equal(bunch.target_names, other.classes)
    assert_array_equal(bunch.filenames, [path for path, _ in other.samples])


def test_pair(folder):
    """Check that the pair has the arrays of the Bunch, and fits a classifier."""
    X, y = load_image_folder(str(folder), return_X_y=True, size=8)
    bunch = load_image_folder(folder, size=8)
    assert_array_equal(X, bunch.data)
    assert_array_equal(y, bunch.target)
    clf = ConfidentClassifier(max_epochs=1, ood_source=None, random_state=0).fit(X, y)
    assert clf.input_shape_ == (3, 8, 8)


@pytest.mark.parametrize("size", [4, (5, 7), (20, 12)])
def test_size(folder, size):
    """Check that images are resized as torchvision resizes tensors, antialiased."""
    data = load_image_folder(folder, size=size).data
    height, width = (size, size) if isinstance(size, int) else size
    original = torch.from_numpy(load_image_folder(folder).data)
    resized = functional.resize(original, [height, width], antialias=True)
    assert_allclose(data.astype(int), resized.numpy().astype(int), atol=2)


def test_different_sizes(folder):
    """Check that the error names two files of different size, and the remedy."""
    Image.fromarray(random_image(9, height=7)).save(folder / "dog" / "9.png")
    with pytest.raises(
        ValueError, match=r"10\.PNG has 6 x 9 .*9\.png has 7 x 9.*size="
    ):
        load_image_folder(folder)
    assert load_image_folder(folder, size=4).data.shape == (5, 3, 4, 4)


def test_modes(folder, tmp_path_factory):
    """Check that grey files have one channel, unless a file has colours."""
    assert load_image_folder(folder, mode="L").data.shape == (4, 1, 6, 9)
    grey = tmp_path_factory.mktemp("grey")
    pixels = random_image(0)[..., 0]
    for name in ("a", "b"):
        (grey / name).mkdir()
        Image.fromarray(pixels).save(grey / name / "1.png")
    Image.fromarray(pixels).convert("LA").save(grey / "a" / "2.png")
    assert_array_equal(load_image_folder(grey).data, [pixels[None]] * 3)
    rgb = load_image_folder(grey, mode="RGB").data
    assert_array_equal(rgb, np.broadcast_to(pixels, (3, 3, 6, 9)))
    Image.fromarray(random_image(1)).save(grey / "b" / "2.png")
    assert load_image_folder(grey).data.shape == (4, 3, 6, 9)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_as_the_camera_says(tmp_path, orientation):
    """Check each orientation of EXIF against turning and flipping the pixels."""
    pixels = random_image(0)
    stored = {  # what a camera stores, so that it is shown as `pixels`
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.swapaxes(0, 1),
        6: np.rot90(pixels),
        7: pixels[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(pixels, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "a").mkdir()
    image = Image.fromarray(np.ascontiguousarray(stored))
    image.save(tmp_path / "a" / "1.png", exif=exif)
    assert_array_equal(load_image_folder(tmp_path).data[0], pixels.transpose(2, 0, 1))


def test_transparency_is_dropped(folder):
    """Check that the colours of images with an alpha channel or palette stay."""
    red = Image.new("RGB", (9, 6), (255, 0, 0))
    red.putalpha(7)
    red.save(folder / "cat" / "0.png")
    palette = Image.new("P", (9, 6), 1)
    palette.putpalette([0, 0, 0, 0, 255, 0])
    palette.save(folder / "cat" / "1.png", transparency=bytes([255, 7]))
    data = load_image_folder(folder).data
    assert_array_equal(data[0], np.broadcast_to([[[255]], [[0]], [[0]]], (3, 6, 9)))
    assert_array_equal(data[1], np.broadcast_to([[[0]], [[255]], [[0]]], (3, 6, 9)))


@pytest.mark.parametrize("kind", ["text", "empty", "cut off"])
def test_broken_file(folder, kind):
    """Check that the error names a file that is not a whole image."""
    whole = (folder / "dog" / "2.bmp").read_bytes()
    content = {"text": b"hello", "empty": b"", "cut off": whole[:80]}[kind]
    (folder / "dog" / "3.bmp").write_bytes(content)
    with pytest.raises(ValueError, match=r"3\.bmp cannot be read as an image"):
        load_image_folder(folder)
    with pytest.raises(ValueError, match=r"3\.bmp cannot be read as an image"):
        load_image_folder(folder, mode="RGB")


def test_sixteen_bits(folder):
    """Check that images which Pillow would clip are refused by name."""
    deep = np.arange(54, dtype=np.uint16).reshape(6, 9) * 1000
    Image.fromarray(deep).save(folder / "cat" / "deep.png")
    with pytest.raises(ValueError, match=r"deep\.png has more than 8 bits"):
        load_image_folder(folder)


def test_extensions(folder):
    """Check that only files with the extensions are read."""
    bunch = load_image_folder(folder, extensions=(".png",))
    assert [name.rsplit(".")[-1] for name in bunch.filenames] == ["PNG", "png", "png"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, r"size=0 must be"),
        ({"size": (4, 5, 6)}, r"size=\(4, 5, 6\) must be"),
        ({"size": (4, 2.5)}, r"size=\(4, 2.5\) must be"),
        ({"mode": "rgb"}, r"mode='rgb' must be"),
    ],
)
def test_options_that_cannot_be(folder, options, message):
    """Check that sizes and modes that do not exist are refused."""
    with pytest.raises(ValueError, match=message):
        load_image_folder(folder, **options)


def test_folder_without_images(tmp_path):
    """Check the errors for folders without classes, and classes without images."""
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_image_folder(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="class folder"):
        load_image_folder(tmp_path)
    (tmp_path / "cat").mkdir()
    with pytest.raises(FileNotFoundError, match="cat"):
        load_image_folder(tmp_path)
