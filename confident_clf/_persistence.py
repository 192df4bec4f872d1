# SPDX-License-Identifier: BSD-3-Clause
"""Fitted estimators as files that are safe to load."""

import os

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

_KEPT = ", ".join(step.__name__ for step in STEPS)


def save(estimator, path):
    """Write a fitted estimator to a file that is safe to load.

    The file is in the safetensors format: parameters, classes and versions as JSON in
    its header, all else as tensors. It is written under another name and then renamed.

    Parameters
    ----------
    estimator : ConfidentClassifier, ConfidentClassifierCV, OODDetector, \
            OpenSetClassifier or Pipeline
        Fitted. In pipelines and detectors the other estimators may be scikit-learn's
        scalers (MaxAbsScaler, MinMaxScaler, Normalizer, PowerTransformer,
        QuantileTransformer, RobustScaler, StandardScaler), GaussianMixture,
        LogisticRegression, PCA, SimpleImputer, VarianceThreshold and FrozenEstimator.
    path : str or path-like
        The file to write; one that is there is replaced.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If `estimator` is not fitted.
    TypeError
        If `estimator` is of another class.
    ValueError
        If something that predictions need cannot be kept, such as a step of another
        class.

    See Also
    --------
    load : Reads the file.

    Notes
    -----
    Parameters for which there is no form, such as an own `module`, `callbacks` or a
    function for `augment`, are marked as given by the user: :func:`load` asks for them.
    Own networks keep their ``state_dict()``, own scores and sources their numbers,
    strings, arrays and tensors.

    Not in the file are the optimizers' states, routing requests and, in the history,
    single batches. What a score or source keeps of the training samples is: rows of
    "noise" and "explicit", features of "knn". Do not publish the file if you may not
    publish these.

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
            "for others, and remember that loading its files executes what is in them."
        )
    check_is_fitted(estimator)
    writer = Writer()
    try:
        node = writer.encode(estimator, "")
    except CannotKeep as error:
        raise ValueError(
            f"save cannot keep that {error}. It keeps numbers, strings, arrays, what "
            f"is in confident_clf, and of scikit-learn {_KEPT}. Replace it, save what "
            "it works on apart, or use joblib.dump, whose files execute what is in "
            "them."
        ) from error
    header = {
        "format": FORMAT,
        "versions": library_versions(__version__),
        "given": writer.given,
        "estimator": node,
    }
    write(path, header, writer.tensors)


def load(path, *, device=None, max_size=2**32, **given):
    """Read an estimator that :func:`save` wrote, without executing what is in the file.

    Parameters
    ----------
    path : str or path-like
        The file.
    device : str, torch.device or None, default=None
        Where the networks shall be, which becomes the parameter `device` of every
        classifier in the file. None: what that was, so "auto" is the GPU where there is
        one.
    max_size : int, default=2**32
        The most bytes that a file may have. Loading takes a few times its size.
    **given : dict
        Parameters that the file cannot keep, by their names in `get_params`:
        ``module=MyNetwork``, or ``estimator__module=MyNetwork`` for the classifier in a
        detector. What is only for training, such as `callbacks`, may be None.

    Returns
    -------
    estimator
        As it was when it was saved. Its predictions are the same to the bit on the same
        device, with the same versions of the libraries. Training that goes on starts
        with new optimizers.

    Raises
    ------
    ValueError
        If the file is damaged, hostile, of a newer version, larger than `max_size` or
        none that `save` wrote; if `given` lacks a parameter, has one that is not asked
        for, or one that does not fit the file; if the device is not there.
    OSError
        If the file does not exist or cannot be read.

    See Also
    --------
    save : Writes the file.

    Notes
    -----
    Nothing in the file is imported or called by name: its classes are looked up in a
    fixed table of this package's and of scikit-learn's. Networks are built only if the
    tensors in the file are those they have. What `given` holds is executed, with the
    shapes that the file names: it is yours.

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
        # Whatever a hostile file makes fail, in torch or scikit-learn, is its fault.
        why = str(error)[:1000].rstrip(".")
        if not isinstance(error, ValueError):
            why = f"what it describes cannot be made ({type(error).__name__}: {why})"
        raise ValueError(f"{os.fspath(path)!r} cannot be loaded: {why}.") from error


def estimator_from(data, device, given):
    """Return the estimator that the bytes of a file describe.

    Parameters
    ----------
    data : bytes
        The file.
    device : str, torch.device or None
        As in `load`.
    given : dict
        As in `load`.

    Returns
    -------
    estimator
        Fitted.

    Raises
    ------
    Exception
        Of many kinds, if the file is not what `save` writes.
    """
    header, tensors = parse(data)
    asked = header["given"]
    missing = [name for name in asked if name not in given]
    if missing:
        raise ValueError(
            f"it needs {', '.join(map(str, missing))}, which no file can keep: pass "
            f"load(path, {', '.join(f'{name}=...' for name in missing)}), what was "
            "used in fit; None will do for what is for training only"
        )
    unasked = sorted(set(given) - set(asked))
    if unasked:
        raise ValueError(f"{', '.join(unasked)} is not asked for; it needs {asked}")
    reader = Reader(tensors, given, device)
    estimator = reader.decode(header["estimator"], "")
    if reader.tensors:
        raise ValueError(f"tensor {min(reader.tensors)[:50]!r} belongs to nothing")
    if type(estimator) not in (*ESTIMATORS, Pipeline):
        raise ValueError("it holds no estimator that save writes")
    check_is_fitted(estimator)
    return estimator
