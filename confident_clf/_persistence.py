# SPDX-License-Identifier: BSD-3-Clause
"""Save fitted estimators to files that are safe to load."""

from typing import Any

import torch
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from confident_clf._files._classes import ESTIMATORS, STEPS
from confident_clf._files._container import (
    FORMAT,
    library_versions,
    parse,
    to_bytes,
)
from confident_clf._files._objects import Reader, Writer, name_of
from confident_clf._files._streams import Target, check_target, describe, read, write
from confident_clf._files._values import CannotKeep
from confident_clf._version import __version__
from confident_clf.utils._guard import pinned

_KEPT = ", ".join(step.__name__ for step in STEPS)


@pinned
def save(estimator: BaseEstimator, path: Target) -> None:
    """Write a fitted estimator to a file that is safe to load.

    The file has the safetensors format. Its header holds parameters, classes and
    versions as JSON; everything else is a tensor. It is written under a temporary name
    and then renamed, so there is never half a file. :func:`dumps` returns its bytes.

    Parameters
    ----------
    estimator : ConfidentClassifier, ConfidentClassifierCV, OODDetector, \
            OpenSetClassifier or Pipeline
        The fitted estimator. Pipelines and detectors may also contain these estimators
        of scikit-learn: the scalers MaxAbsScaler, MinMaxScaler, Normalizer,
        PowerTransformer, QuantileTransformer, RobustScaler and StandardScaler; for
        tables ColumnTransformer, FunctionTransformer, OneHotEncoder and OrdinalEncoder;
        for text CountVectorizer, TfidfTransformer and TfidfVectorizer; GaussianMixture,
        LogisticRegression, MissingIndicator, PCA, SimpleImputer, TruncatedSVD,
        VarianceThreshold and FrozenEstimator.
    path : str, path-like or binary file
        The file to write. An existing file is replaced. To a binary file that is open
        for writing, such as an :class:`io.BytesIO`, the same bytes are written where
        it stands; it is not closed.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If `estimator` is not fitted.
    TypeError
        If `estimator` has another class, or `path` is not a path or binary file.
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

    Steps for tables and text are kept only as far as a file can describe them:
    FunctionTransformer with functions of NumPy such as ``numpy.log1p``, text without
    functions of your own, columns as names, numbers, slices, masks or a
    ``make_column_selector`` of dtypes. Columns that another function chose are kept as
    it chose them. ``n_jobs`` of a ColumnTransformer is not kept.

    The states of the optimizers, metadata routing requests and the batches in the
    history are not saved.

    Some scores and sources keep training samples, and the file then contains them: rows
    for "noise" and "explicit", features for "knn", and the rows that the `partial_fit`
    of a detector calibrates with. Do not publish the file if you may not publish the
    samples.

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
    check_target(path, "write")
    write(path, _encode(estimator))


@pinned
def dumps(estimator: BaseEstimator) -> bytes:
    """Return the bytes of a file that :func:`save` would write.

    Use it where the bytes go into a database or over a network.

    Parameters
    ----------
    estimator : ConfidentClassifier, ConfidentClassifierCV, OODDetector, \
            OpenSetClassifier or Pipeline
        The fitted estimator, as in :func:`save`.

    Returns
    -------
    bytes
        What :func:`loads` reads, and :func:`load` from a file.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If `estimator` is not fitted.
    TypeError
        If `estimator` has another class.
    ValueError
        As in :func:`save`.

    See Also
    --------
    loads : Reads the bytes.
    save : Writes a file.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from confident_clf import ConfidentClassifier, dumps, loads
    >>> X, y = make_blobs(100, centers=[[-3, 0], [3, 0]], random_state=0)
    >>> clf = ConfidentClassifier(max_epochs=2, random_state=0).fit(X, y)
    >>> loaded = loads(dumps(clf))
    >>> bool((loaded.ood_score(X) == clf.ood_score(X)).all())
    True
    """
    return _encode(estimator)


def _encode(estimator: BaseEstimator) -> bytes:
    """Return the bytes of a fitted estimator."""
    if type(estimator) not in (*ESTIMATORS, Pipeline):
        raise TypeError(
            "save and dumps take a ConfidentClassifier, ConfidentClassifierCV, "
            "OODDetector, OpenSetClassifier or Pipeline; got "
            f"{name_of(estimator)}. Use joblib.dump for other estimators, but remember "
            "that loading a joblib file executes the code in it."
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
    return to_bytes(header, writer.tensors)


@pinned
def load(
    path: Target,
    *,
    device: str | torch.device | None = None,
    max_size: int = 2**32,
    **given: Any,
) -> Any:
    """Load an estimator that :func:`save` wrote; code in the file is never executed.

    Parameters
    ----------
    path : str, path-like or binary file
        The file to read. A binary file that is open for reading, such as an
        :class:`io.BytesIO`, is read from where it stands to its end.
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
    TypeError
        If `path` is neither a path nor a binary file.
    OSError
        If the file does not exist or cannot be read.

    See Also
    --------
    save : Writes the file.

    Notes
    -----
    Nothing in the file is imported or called by name: classes are looked up in a fixed
    table of classes from this package and from scikit-learn. A network is built only if
    the file has exactly its tensors, and an encoder or vectorizer only if its numbers
    fit together. Your own code in `given` is executed, with the
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
    check_target(path, "read")
    return _decode(read(path, max_size), describe(path), "load(path", device, given)


@pinned
def loads(
    data: bytes, *, device: str | torch.device | None = None, **given: Any
) -> Any:
    """Load an estimator from bytes; code in them is never executed.

    Parameters
    ----------
    data : bytes-like
        What :func:`dumps` returned, or the content of a file of :func:`save`.
    device : str, torch.device or None, default=None
        The device of the networks, as in :func:`load`.
    **given : dict
        Parameters that the bytes cannot hold, as in :func:`load`.

    Returns
    -------
    estimator
        The fitted estimator, as from :func:`load`.

    Raises
    ------
    TypeError
        If `data` are not bytes.
    ValueError
        As in :func:`load`: also if the bytes are damaged or hostile.

    See Also
    --------
    dumps : Returns the bytes.
    load : Reads a file.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from confident_clf import ConfidentClassifier, dumps, loads
    >>> X, y = make_blobs(100, centers=[[-3, 0], [3, 0]], random_state=0)
    >>> clf = ConfidentClassifier(max_epochs=2, random_state=0).fit(X, y)
    >>> loads(dumps(clf)).predict(X[:2]).tolist() == clf.predict(X[:2]).tolist()
    True
    """
    if not isinstance(data, bytes | bytearray | memoryview):
        raise TypeError(
            f"loads takes bytes; got {type(data).__name__}. Use load for files."
        )
    return _decode(bytes(data), "the data", "loads(data", device, given)


def _decode(data: bytes, name: str, call: str, device, given: dict) -> BaseEstimator:
    """Return the estimator in the bytes of a file, which an error calls `name`."""
    try:
        return _estimator_from(data, call, device, given)
    except Exception as error:
        # A hostile file can make torch or scikit-learn fail in any way: blame the file.
        why = str(error)[:1000].rstrip(".")
        if not isinstance(error, ValueError):
            why = f"its estimator cannot be built ({type(error).__name__}: {why})"
        raise ValueError(f"{name} cannot be loaded: {why}.") from error


def _estimator_from(
    data: bytes, call: str, device: str | torch.device | None, given: dict[str, Any]
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
            f"{call}, {', '.join(f'{name}=...' for name in missing)}) with the "
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
