# SPDX-License-Identifier: BSD-3-Clause
"""Save fitted estimators to files that are safe to load."""

import os
from typing import Any

import torch
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from confident_clf._files._container import (
    FORMAT,
    library_versions,
    parse,
    read,
    write,
)
from confident_clf._files._objects import ESTIMATORS, STEPS, Reader, Writer
from confident_clf._files._values import CannotKeep, kind_of
from confident_clf._version import __version__
from confident_clf.utils._guard import pinned

_KEPT = ", ".join(step.__name__ for step in STEPS)


@pinned
def save(estimator, path):
    """Write a fitted estimator to a file that is safe to load.

    The file has the safetensors format. Its header holds parameters, classes and
    versions as JSON; everything else is a tensor. It is written under a temporary name
    and then renamed, so there is never half a file.

    Parameters
    ----------
    estimator : ConfidentClassifier, ConfidentClassifierCV, OODDetector, \
            OpenSetClassifier or Pipeline
        The fitted estimator. Pipelines and detectors may also contain these estimators
        of scikit-learn: the scalers MaxAbsScaler, MinMaxScaler, Normalizer,
        PowerTransformer, QuantileTransformer, RobustScaler and StandardScaler;
        GaussianMixture, LogisticRegression, PCA, SimpleImputer, VarianceThreshold and
        FrozenEstimator.
    path : str or path-like
        The file to write. An existing file is replaced.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If `estimator` is not fitted.
    TypeError
        If `estimator` has another class.
    ValueError
        If a file cannot hold something that predictions need, such as a step of another
        class, or if the header would get too large.

    See Also
    --------
    load : Reads the file.

    Notes
    -----
    A file cannot hold some parameters, such as your own `module`, `callbacks` or a
    function for `augment`. :func:`load` asks you for them. The file does hold what they
    learned: the ``state_dict()`` of your own networks, and the numbers, strings, arrays
    and tensors of your own scores and sources.

    The states of the optimizers, metadata routing requests and the batches in the
    history are not saved.

    Some scores and sources keep training samples, and the file then contains them: rows
    for "noise" and "explicit", features for "knn". Do not publish the file if you may
    not publish the samples.

    Examples
    --------
    >>> import os, tempfile
    >>> from sklearn.datasets import make_blobs
    >>> from confident_clf import ConfidentClassifier, load, save
    >>> X, y = make_blobs(100, centers=[[-3, 0], [3, 0]], random_state=0)
    >>> clf = ConfidentClassifier(max_epochs=2, random_state=0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "blobs.safetensors")
    ...     save(clf, path)
    ...     loaded = load(path)
    >>> bool((loaded.ood_score(X) == clf.ood_score(X)).all())
    True
    """
    if type(estimator) not in (*ESTIMATORS, Pipeline):
        raise TypeError(
            "save takes a ConfidentClassifier, ConfidentClassifierCV, OODDetector, "
            f"OpenSetClassifier or Pipeline; got {kind_of(estimator)}. Use joblib.dump "
            "for other estimators, but remember that loading a joblib file executes "
            "the code in it."
        )
    check_is_fitted(estimator)
    writer = Writer()
    try:
        node = writer.encode(estimator, "")
    except CannotKeep as error:
        raise ValueError(
            f"The estimator cannot be saved: {error}. save can write numbers, strings, "
            "arrays, the objects of confident_clf, and these classes of scikit-learn: "
            f"{_KEPT}. Replace it, save the other estimators separately, or use "
            "joblib.dump. Loading a joblib file executes the code in it."
        ) from error
    header = {
        "format": FORMAT,
        "versions": library_versions(__version__),
        "given": writer.given,
        "estimator": node,
    }
    write(path, header, writer.tensors)


@pinned
def load(path, *, device=None, max_size=2**32, **given):
    """Load an estimator that :func:`save` wrote; code in the file is never executed.

    Parameters
    ----------
    path : str or path-like
        The file to read.
    device : str, torch.device or None, default=None
        The device of the networks. It becomes the parameter `device` of every
        classifier in the file. None means that the parameter stays as it was saved:
        "auto" uses a GPU if there is one.
    max_size : int, default=2**32
        Refuse files of more than this many bytes. Loading needs a few times the size of
        the file in memory.
    **given : dict
        Parameters that the file cannot hold, by their names in `get_params`:
        ``module=MyNetwork``, or ``estimator__module=MyNetwork`` for the classifier in a
        detector. Parameters that only training uses, such as `callbacks`, may be None.

    Returns
    -------
    estimator
        The fitted estimator. On the same device and with the same versions of the
        libraries, its predictions are the same to the bit. If you continue training,
        the optimizers start anew.

    Raises
    ------
    ValueError
        If the file is damaged, hostile, larger than `max_size`, written by a newer
        version or not written by `save`. If `given` lacks a parameter, or has one that
        the file does not ask for or that does not fit the file. If the device does not
        exist.
    OSError
        If the file does not exist or cannot be read.

    See Also
    --------
    save : Writes the file.

    Notes
    -----
    Nothing in the file is imported or called by name: classes are looked up in a fixed
    table of classes from this package and from scikit-learn. A network is built only if
    the file has exactly its tensors. Your own code in `given` is executed, with the
    shapes that the file names.

    Examples
    --------
    >>> import os, tempfile
    >>> from sklearn.datasets import make_blobs
    >>> from confident_clf import ConfidentClassifier, load, save
    >>> from confident_clf.modules import MLP
    >>> def narrow(input_shape, n_classes):
    ...     return MLP(input_shape, n_classes, hidden=(8,))
    >>> X, y = make_blobs(100, centers=[[-3, 0], [3, 0]], random_state=0)
    >>> clf = ConfidentClassifier(narrow, max_epochs=2, random_state=0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "blobs.safetensors")
    ...     save(clf, path)
    ...     loaded = load(path, module=narrow)
    >>> bool((loaded.predict_proba(X) == clf.predict_proba(X)).all())
    True
    """
    data = read(path, max_size)
    try:
        return estimator_from(data, device, given)
    except Exception as error:
        # A hostile file can make torch or scikit-learn fail in any way: blame the file.
        why = str(error)[:1000].rstrip(".")
        if not isinstance(error, ValueError):
            why = f"its estimator cannot be built ({type(error).__name__}: {why})"
        raise ValueError(f"{os.fspath(path)!r} cannot be loaded: {why}.") from error


def estimator_from(
    data: bytes, device: str | torch.device | None, given: dict[str, Any]
) -> BaseEstimator:
    """Return the fitted estimator in the bytes of a file.

    Any kind of exception can be raised if `save` did not write the file.
    """
    header, tensors = parse(data)
    asked = header["given"]
    missing = [name for name in asked if name not in given]
    if missing:
        raise ValueError(
            f"it needs {', '.join(map(str, missing))}, which a file cannot hold. Call "
            f"load(path, {', '.join(f'{name}=...' for name in missing)}) with the "
            "values that were used in fit; parameters that only training uses may be "
            "None"
        )
    unasked = sorted(set(given) - set(asked))
    if unasked:
        needs = ", ".join(map(str, asked)) or "no parameters"
        raise ValueError(f"it does not ask for {', '.join(unasked)}; it needs {needs}")
    reader = Reader(tensors, given, device)
    estimator = reader.decode(header["estimator"], "")
    if reader.tensors:
        raise ValueError(
            f"tensor {min(reader.tensors)[:50]!r} does not belong to anything"
        )
    if type(estimator) not in (*ESTIMATORS, Pipeline):
        raise ValueError("it does not contain an estimator that save writes")
    check_is_fitted(estimator)
    return estimator
