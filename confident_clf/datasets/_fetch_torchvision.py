# SPDX-License-Identifier: BSD-3-Clause
"""Public image sets that torchvision reads, as arrays."""

from contextlib import suppress
from os import PathLike

import numpy as np
from sklearn.datasets import get_data_home
from sklearn.utils import Bunch

from confident_clf.datasets._downloads import File, check_subset, have_files
from confident_clf.datasets._image_files import read_images

TRAIN_TEST = ("train", "test")
DIGITS = [str(digit) for digit in range(10)]
TEXTURES = File(
    "dtd/dtd-r1.0.1.tar.gz",
    "https://www.robots.ox.ac.uk/~vgg/data/dtd/download/dtd-r1.0.1.tar.gz",
    "fff73e5086ae6bdbea199a49dfb8a4c1",
)


def fetch_cifar10(
    *,
    subset: str = "train",
    data_home: str | PathLike | None = None,
    download_if_missing: bool = True,
) -> Bunch:
    """Fetch CIFAR-10: small photographs of ten classes.

    50,000 images to train on and 10,000 to test on, 32x32 pixels in colour; a download
    of 170 MB.

    Parameters
    ----------
    subset : {"train", "test"}, default="train"
        The images to return.
    data_home : str or path-like, default=None
        The folder of the files. None is scikit-learn's
        (:func:`sklearn.datasets.get_data_home`). A folder that torchvision has filled
        (its ``root``) is read as it is.
    download_if_missing : bool, default=True
        Whether to download files that are not there. Otherwise, and without a network,
        an OSError says which file to put where.

    Returns
    -------
    Bunch
        ``data`` has the images, uint8 of shape (n, 3, 32, 32), ``target`` the numbers
        of their classes, ``target_names`` the names of the classes, and ``DESCR`` says
        where they come from.

    See Also
    --------
    fetch_cifar100 : Photographs of a hundred other classes.
    fetch_svhn : House numbers, unknown to a classifier of CIFAR-10.

    Notes
    -----
    :class:`torchvision.datasets.CIFAR10` reads the files, which are pickles from the
    original host. A pickle can run code, so they are opened only if they have the MD5
    sums that torchvision knows.

    Examples
    --------
    >>> from confident_clf.datasets import fetch_cifar10
    >>> train = fetch_cifar10(subset="train")  # doctest: +SKIP
    >>> train.data.shape  # doctest: +SKIP
    (50000, 3, 32, 32)
    """
    from torchvision.datasets import CIFAR10

    return _cifar("CIFAR-10", CIFAR10, subset, data_home, download_if_missing)


def fetch_cifar100(
    *,
    subset: str = "train",
    data_home: str | PathLike | None = None,
    download_if_missing: bool = True,
) -> Bunch:
    """Fetch CIFAR-100: small photographs of a hundred classes.

    50,000 images to train on and 10,000 to test on, 32x32 pixels in colour; a download
    of 169 MB.

    Parameters
    ----------
    subset : {"train", "test"}, default="train"
        The images to return.
    data_home : str or path-like, default=None
        The folder of the files, as for :func:`fetch_cifar10`.
    download_if_missing : bool, default=True
        Whether to download files that are not there, as for :func:`fetch_cifar10`.

    Returns
    -------
    Bunch
        As from :func:`fetch_cifar10`. The classes are the fine ones.

    See Also
    --------
    fetch_cifar10 : Ten classes. Its notes on pickles are true here too.

    Examples
    --------
    >>> from confident_clf.datasets import fetch_cifar100
    >>> test = fetch_cifar100(subset="test")  # doctest: +SKIP
    >>> test.data.shape  # doctest: +SKIP
    (10000, 3, 32, 32)
    """
    from torchvision.datasets import CIFAR100

    return _cifar("CIFAR-100", CIFAR100, subset, data_home, download_if_missing)


def fetch_svhn(
    *,
    subset: str = "train",
    data_home: str | PathLike | None = None,
    download_if_missing: bool = True,
) -> Bunch:
    """Fetch SVHN: digits of house numbers in street views.

    73,257 images to train on, 26,032 to test on and 531,131 more, 32x32 pixels in
    colour; downloads of 182, 64 and 1,330 MB.

    Parameters
    ----------
    subset : {"train", "test", "extra"}, default="train"
        The images to return.
    data_home : str or path-like, default=None
        The folder of the files, as for :func:`fetch_cifar10`.
    download_if_missing : bool, default=True
        Whether to download files that are not there, as for :func:`fetch_cifar10`.

    Returns
    -------
    Bunch
        As from :func:`fetch_cifar10`. The target is the digit: 0 is the digit 0.

    See Also
    --------
    fetch_cifar10 : Photographs, unknown to a classifier of SVHN.

    Examples
    --------
    >>> from confident_clf.datasets import fetch_svhn
    >>> test = fetch_svhn(subset="test")  # doctest: +SKIP
    >>> test.data.shape  # doctest: +SKIP
    (26032, 3, 32, 32)
    """
    from torchvision.datasets import SVHN

    check_subset(subset, ("train", "test", "extra"))
    url, name, md5 = SVHN.split_list[subset]
    files = [File(name, url, md5)]
    svhn = _read("SVHN", SVHN, files, data_home, download_if_missing, split=subset)
    about = "Netzer et al. (2011): http://ufldl.stanford.edu/housenumbers/"
    return _bunch("SVHN", subset, svhn.data, svhn.labels, DIGITS, about)


def fetch_mnist(
    *,
    subset: str = "train",
    data_home: str | PathLike | None = None,
    download_if_missing: bool = True,
) -> Bunch:
    """Fetch MNIST: handwritten digits.

    60,000 images to train on and 10,000 to test on, 28x28 pixels in grey; a download
    of 12 MB.

    Parameters
    ----------
    subset : {"train", "test"}, default="train"
        The images to return.
    data_home : str or path-like, default=None
        The folder of the files, as for :func:`fetch_cifar10`.
    download_if_missing : bool, default=True
        Whether to download files that are not there, as for :func:`fetch_cifar10`.

    Returns
    -------
    Bunch
        As from :func:`fetch_cifar10`, with one channel.

    See Also
    --------
    fetch_fashion_mnist : Clothes, unknown to a classifier of digits.

    Examples
    --------
    >>> from confident_clf.datasets import fetch_mnist
    >>> test = fetch_mnist(subset="test")  # doctest: +SKIP
    >>> test.data.shape  # doctest: +SKIP
    (10000, 1, 28, 28)
    """
    from torchvision.datasets import MNIST

    data, target = _mnist("MNIST", MNIST, subset, data_home, download_if_missing)
    about = "LeCun, Cortes and Burges: http://yann.lecun.com/exdb/mnist/"
    return _bunch("MNIST", subset, data, target, DIGITS, about)


def fetch_fashion_mnist(
    *,
    subset: str = "train",
    data_home: str | PathLike | None = None,
    download_if_missing: bool = True,
) -> Bunch:
    """Fetch Fashion-MNIST: clothes in the format of MNIST.

    60,000 images to train on and 10,000 to test on, 28x28 pixels in grey; a download
    of 31 MB.

    Parameters
    ----------
    subset : {"train", "test"}, default="train"
        The images to return.
    data_home : str or path-like, default=None
        The folder of the files, as for :func:`fetch_cifar10`.
    download_if_missing : bool, default=True
        Whether to download files that are not there, as for :func:`fetch_cifar10`.

    Returns
    -------
    Bunch
        As from :func:`fetch_cifar10`, with one channel.

    See Also
    --------
    fetch_mnist : Handwritten digits.

    Examples
    --------
    >>> from confident_clf.datasets import fetch_fashion_mnist
    >>> test = fetch_fashion_mnist(subset="test")  # doctest: +SKIP
    >>> test.data.shape  # doctest: +SKIP
    (10000, 1, 28, 28)
    """
    from torchvision.datasets import FashionMNIST

    title = "Fashion-MNIST"
    data, target = _mnist(title, FashionMNIST, subset, data_home, download_if_missing)
    about = "Xiao et al. (2017): https://github.com/zalandoresearch/fashion-mnist"
    return _bunch(title, subset, data, target, FashionMNIST.classes, about)


def fetch_textures(
    *,
    subset: str = "train",
    size: int | tuple[int, int] = 32,
    partition: int = 1,
    data_home: str | PathLike | None = None,
    download_if_missing: bool = True,
) -> Bunch:
    """Fetch the Describable Textures (DTD), a common set of unknown images.

    1,880 photographs of 47 kinds of texture in each subset, of many sizes and in
    colour; a download of about 600 MB.

    Parameters
    ----------
    subset : {"train", "val", "test"}, default="train"
        The images to return.
    size : int or (int, int), default=32
        Height and width that the images are resized to, smoothly and without keeping
        their proportions; an int is both.
    partition : int from 1 to 10, default=1
        Which of the ten ways to divide the images into subsets.
    data_home : str or path-like, default=None
        The folder of the files, as for :func:`fetch_cifar10`.
    download_if_missing : bool, default=True
        Whether to download files that are not there, as for :func:`fetch_cifar10`.

    Returns
    -------
    Bunch
        As from :func:`fetch_cifar10`.

    See Also
    --------
    load_image_folder : Your own photographs.

    Examples
    --------
    >>> from confident_clf.datasets import fetch_textures
    >>> test = fetch_textures(subset="test", size=32)  # doctest: +SKIP
    >>> test.data.shape  # doctest: +SKIP
    (1880, 3, 32, 32)
    """
    from torchvision.datasets import DTD

    check_subset(subset, ("train", "val", "test"))
    dtd = _read(
        "Textures",
        DTD,
        [TEXTURES],
        data_home,
        download_if_missing,
        split=subset,
        partition=partition,
    )
    # The paths, so that the images are read into one array. Indexing would open them.
    names, target = dtd._image_files, dtd._labels
    data = read_images(names, lambda name: open(name, "rb"), size)
    about = "Cimpoi et al. (2014): https://www.robots.ox.ac.uk/~vgg/data/dtd/"
    return _bunch("Textures", subset, data, target, dtd.classes, about)


def _cifar(title, dataset, subset, data_home, download_if_missing) -> Bunch:
    """Return one of the two CIFAR sets."""
    check_subset(subset, TRAIN_TEST)
    files = [File(dataset.filename, dataset.url, dataset.tgz_md5)]
    train = subset == "train"
    cifar = _read(title, dataset, files, data_home, download_if_missing, train=train)
    data = cifar.data.transpose(0, 3, 1, 2)
    about = "Krizhevsky (2009): https://www.cs.toronto.edu/~kriz/cifar.html"
    return _bunch(title, subset, data, cifar.targets, cifar.classes, about)


def _mnist(title, dataset, subset, data_home, download_if_missing) -> tuple:
    """Return images and labels of a set in the format of MNIST."""
    check_subset(subset, TRAIN_TEST)
    folder, mirror = f"{dataset.__name__}/raw", dataset.mirrors[0]
    files = [
        File(f"{folder}/{name}", mirror + name, md5) for name, md5 in dataset.resources
    ]
    train = subset == "train"
    mnist = _read(title, dataset, files, data_home, download_if_missing, train=train)
    return mnist.data.numpy()[:, None], mnist.targets.numpy()


def _read(title, dataset, files, data_home, download_if_missing, **options):
    """Return a data set of torchvision's, after its files are there."""
    root = get_data_home(data_home)
    with suppress(RuntimeError):  # not there, or not unpacked
        return dataset(root, **options)
    have_files(title, files, root, download_if_missing)
    return dataset(root, download=True, **options)  # finds the files, and unpacks them


def _bunch(title, subset, data, target, names, about: str) -> Bunch:
    """Return images and labels in the form that all sets have."""
    return Bunch(
        data=np.ascontiguousarray(data),
        target=np.asarray(target),
        target_names=np.array(names),
        DESCR=f"{title}, {subset}: {len(data)} images.\n{about}",
    )
