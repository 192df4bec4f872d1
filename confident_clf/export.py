# SPDX-License-Identifier: BSD-3-Clause
"""Take a fitted estimator to where it is used: as a torch module, or as ONNX."""

from os import PathLike

from sklearn.base import BaseEstimator
from torch import nn

from confident_clf._export._modules import estimator_module
from confident_clf._export._onnx import check_onnx, onnx_model
from confident_clf._files._streams import check_target, write
from confident_clf.utils._guard import pinned

__all__ = ["to_onnx", "to_torch"]


@pinned
def to_torch(estimator: BaseEstimator) -> nn.Module:
    """Return a fitted estimator as a torch module, from samples to decisions.

    The module has a copy of the network, on the CPU and in evaluation mode, and does
    all that the estimator does with a sample: it scales pixels of uint8 images to
    [0, 1], turns rows into images where `image_shape` says so, and computes score and
    decision in float64. It does not check samples. If a value is NaN or infinite, the
    score is infinite, so a detector does not accept the sample.

    Parameters
    ----------
    estimator : estimator
        A fitted :class:`~confident_clf.ConfidentClassifier`, an
        :class:`~confident_clf.OODDetector` or :class:`~confident_clf.OpenSetClassifier`
        of one, or a pipeline, search or ``FrozenEstimator`` of these. Steps of a
        pipeline before the classifier may be StandardScaler, MinMaxScaler, RobustScaler
        and MaxAbsScaler.

    Returns
    -------
    torch.nn.Module
        It maps a tensor of samples to a dict of tensors: "label", the class, as an
        integer; "probabilities"; "ood_score"; and for detectors "accepted", bool, and
        "p_value". If the labels are not integers, "label" is the position in the
        module's `classes`, and -1 where an open-set classifier says unknown.

    Raises
    ------
    TypeError
        If a part cannot be exported: "odin", which needs gradients, outlier detectors
        of scikit-learn, scores that are not part of the library, other steps.
    ValueError
        If the classifier takes samples of any shape, or its score is not fitted.

    See Also
    --------
    to_onnx : Write it to a file that needs neither torch nor this library.

    Examples
    --------
    >>> import torch
    >>> from sklearn.datasets import load_iris
    >>> from confident_clf import ConfidentClassifier, OODDetector
    >>> from confident_clf.export import to_torch
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = ConfidentClassifier(max_epochs=5, random_state=0)
    >>> detector = OODDetector(clf, random_state=0).fit(X, y)
    >>> found = to_torch(detector)(torch.tensor(X))
    >>> list(found)
    ['label', 'probabilities', 'ood_score', 'accepted', 'p_value']
    >>> bool((found["accepted"].numpy() == (detector.predict(X) == 1)).all())
    True
    """
    return estimator_module(estimator)


@pinned
def to_onnx(estimator: BaseEstimator, path: str | PathLike) -> None:
    """Write a fitted estimator to an ONNX file, from samples to decisions.

    The file has one input, "X", and the outputs of :func:`to_torch` by their names, for
    batches of any size, at opset 18. The metadata of the model have `classes`, as JSON.
    The type of "X" is float32, uint8 if the classifier was fitted on uint8 images, or
    float64 if there are scalers. It needs ``pip install 'confident_clf[onnx]'``.

    Parameters
    ----------
    estimator : estimator
        As in :func:`to_torch`.
    path : str, path-like or binary file
        Where to write. A file on the disk is never half written.

    Raises
    ------
    ImportError
        If onnx or onnxscript is not installed.
    TypeError
        As in :func:`to_torch`; if `path` is neither a path nor a binary file.
    ValueError
        As in :func:`to_torch`; if torch cannot write the network as ONNX. In all cases
        nothing is written.

    See Also
    --------
    confident_clf.save : Write all of the estimator to a file, to load it again.

    Examples
    --------
    >>> import io
    >>> import onnxruntime
    >>> from sklearn.datasets import load_iris
    >>> from confident_clf import ConfidentClassifier
    >>> from confident_clf.export import to_onnx
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = ConfidentClassifier(max_epochs=5, random_state=0).fit(X, y)
    >>> file = io.BytesIO()
    >>> to_onnx(clf, file)
    >>> session = onnxruntime.InferenceSession(file.getvalue())
    >>> [output.name for output in session.get_outputs()]
    ['label', 'probabilities', 'ood_score']
    >>> label, probabilities, score = session.run(None, {"X": X.astype("float32")})
    >>> label.shape, probabilities.shape, score.dtype
    ((150,), (150, 3), dtype('float64'))
    """
    check_target(path, "write")
    check_onnx()
    write(path, onnx_model(estimator_module(estimator)))
