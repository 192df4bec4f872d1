# SPDX-License-Identifier: BSD-3-Clause
"""Public image sets that torchvision does not read, straight from their archives."""

import tarfile
import zipfile
from os import PathLike
from pathlib import Path, PurePosixPath

import numpy as np
from sklearn.datasets import get_data_home
from sklearn.utils import Bunch

from confident_clf.datasets._downloads import File, check_subset, have_files
from confident_clf.datasets._image_files import read_images

# The MD5 sums are those that pytorch-ood and others have for these files.
TINY_IMAGENET = File(
    "tiny-imagenet-200.zip",
    "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
    "90528d7ca1a48142e341f4ef8d21d0de",
)
LSUN = File(
    "LSUN_resize.tar.gz",
    "https://www.dropbox.com/s/moqh2wh8696c3yl/LSUN_resize.tar.gz?dl=1",
    "278b7b31c8cb7e804a1465a8ce03a2dc",
)


def fetch_tiny_imagenet(
    *,
    subset: str = "train",
    data_home: str | PathLike | None = None,
    download_if_missing: bool = True,
) -> Bunch:
    """Fetch Tiny ImageNet: small photographs of 200 classes.

    100,000 images to train on, 10,000 to validate on and 10,000 to test on, 64x64
    pixels in colour; a download of 248 MB.

    Parameters
    ----------
    subset : {"train", "val", "test"}, default="train"
        The images to return. The labels of "test" were never published.
    data_home : str or path-like, default=None
        The folder of the file, as for :func:`fetch_cifar10`.
    download_if_missing : bool, default=True
        Whether to download the file if it is not there, as for :func:`fetch_cifar10`.

    Returns
    -------
    Bunch
        ``data`` has the images, uint8 of shape (n, 3, 64, 64), ``target`` the numbers
        of their classes (not for "test"), ``target_names`` the names of the classes in
        words, sorted by their numbers in WordNet, and ``DESCR`` says where they come
        from.

    See Also
    --------
    fetch_lsun : Scenes, the other set of photographs that is often unknown.

    Notes
    -----
    The file comes from Stanford's course CS231n, without encryption. Its MD5 sum is
    compared with the one that other libraries have. It is read without being unpacked.

    Examples
    --------
    >>> from confident_clf.datasets import fetch_tiny_imagenet
    >>> val = fetch_tiny_imagenet(subset="val")  # doctest: +SKIP
    >>> val.data.shape  # doctest: +SKIP
    (10000, 3, 64, 64)
    """
    check_subset(subset, ("train", "val", "test"))
    path = _archive("Tiny ImageNet", TINY_IMAGENET, data_home, download_if_missing)
    with zipfile.ZipFile(path) as archive:
        start = f"tiny-imagenet-200/{subset}/"
        names = sorted(
            name
            for name in archive.namelist()
            if name.startswith(start) and name.endswith(".JPEG")
        )
        bunch = Bunch(data=read_images(names, archive.open))
        classes = sorted(_lines(archive, "wnids.txt"))
        words = dict(line.split("\t", 1) for line in _lines(archive, "words.txt"))
        if subset != "test":
            labels = _labels(archive, subset, names)
            bunch.target = np.searchsorted(classes, labels)
    bunch.target_names = np.array([words[name] for name in classes])
    bunch.DESCR = (
        f"Tiny ImageNet, {subset}: {len(names)} images.\n{TINY_IMAGENET.url}, from "
        "ImageNet (Deng et al., 2009)"
    )
    return bunch


def fetch_lsun(
    *, data_home: str | PathLike | None = None, download_if_missing: bool = True
) -> Bunch:
    """Fetch LSUN (resize): scenes, a common set of unknown images.

    The 10,000 test images of LSUN in 32x32 pixels in colour, as the authors of ODIN
    made them. They have no labels.

    Parameters
    ----------
    data_home : str or path-like, default=None
        The folder of the file, as for :func:`fetch_cifar10`.
    download_if_missing : bool, default=True
        Whether to download the file if it is not there, as for :func:`fetch_cifar10`.

    Returns
    -------
    Bunch
        ``data`` has the images, uint8 of shape (10000, 3, 32, 32), and ``DESCR`` says
        where they come from.

    See Also
    --------
    fetch_tiny_imagenet : Photographs of many classes.

    Notes
    -----
    These are not the original files, which are databases in the format LMDB. Tack et
    al. (CSI, 2020) point out that the images have traces of how they were made smaller,
    which a detector may recognise instead of the scenes. So compare with other sets
    too. The file is read without being unpacked, after its MD5 sum was
    compared with the one that other libraries have.

    Examples
    --------
    >>> from confident_clf.datasets import fetch_lsun
    >>> scenes = fetch_lsun()  # doctest: +SKIP
    >>> scenes.data.shape  # doctest: +SKIP
    (10000, 3, 32, 32)
    """
    path = _archive("LSUN (resize)", LSUN, data_home, download_if_missing)
    with tarfile.open(path) as archive:
        members = {m.name: m for m in archive if m.isfile() and _is_image(m.name)}
        names = list(members)  # as they lie in the archive, which is read in order
        data = read_images(names, lambda name: archive.extractfile(members[name]))
    about = f"LSUN (resize): {len(data)} images.\n{LSUN.url}, from LSUN (Yu et al., "
    return Bunch(data=data, DESCR=about + "2015), made by Liang et al. (ODIN, 2018)")


def _archive(title, file: File, data_home, download_if_missing) -> Path:
    """Return the path of an archive, after it is there."""
    root = get_data_home(data_home)
    have_files(title, [file], root, download_if_missing)
    return Path(root, file.name)


def _is_image(name: str) -> bool:
    """Return whether a file of an archive is an image, and not a hidden file."""
    path = PurePosixPath(name)
    return path.suffix in (".png", ".jpg") and not path.name.startswith(".")


def _lines(archive, name: str) -> list[str]:
    """Return the lines of a text file of Tiny ImageNet."""
    return archive.read(f"tiny-imagenet-200/{name}").decode().splitlines()


def _labels(archive, subset: str, names: list[str]) -> list[str]:
    """Return the WordNet number of each image's class."""
    if subset == "train":  # tiny-imagenet-200/train/n01443537/images/0.JPEG
        return [PurePosixPath(name).parts[2] for name in names]
    lines = (line.split("\t") for line in _lines(archive, "val/val_annotations.txt"))
    of_files = {file: label for file, label, *_ in lines}
    return [of_files[PurePosixPath(name).name] for name in names]
