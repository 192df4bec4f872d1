# SPDX-License-Identifier: BSD-3-Clause
"""An exported estimator as an ONNX model."""

import json
import warnings
from typing import Any

import torch
from torch.export import Dim

from confident_clf._export._modules import EstimatorModule
from confident_clf._version import __version__

# The oldest that the exporter of torch writes without converting.
OPSET = 18


def check_onnx() -> None:
    """Raise ImportError if a library that writes ONNX is missing."""
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"to_onnx needs the package {error.name}, which is not installed. Install "
            "it by: pip install 'confident_clf[onnx]'"
        ) from error


def onnx_model(module: EstimatorModule) -> bytes:
    """Return a module as the bytes of an ONNX model for batches of any size.

    Raise ValueError if the network cannot be one.
    """
    import onnx

    x = torch.zeros(2, *module.input_shape, dtype=module.input_dtype)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, about its own code
            outputs = list(module(x))
            program: Any = torch.onnx.export(
                module,
                (x,),
                input_names=["X"],
                output_names=outputs,
                opset_version=OPSET,
                dynamic_shapes=({0: Dim("n")},),
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # the exporter's own, which differ by version
        raise ValueError(
            f"module={type(module.network).__name__} cannot be written as ONNX by "
            f"torch {torch.__version__}: {_last_line(error)}. Its forward may not "
            "ask for values or for the number of samples, as in `if x.sum() > 0`: "
            "write torch.where. Or use to_torch, which takes any network."
        ) from error
    model = program.model_proto
    about = {
        "classes": json.dumps(module.classes, default=str),
        "label": "label" if module.labels_are_numbers else "position in classes",
        "confident_clf": __version__,
    }
    onnx.helper.set_model_props(model, about)
    return model.SerializeToString()


def _last_line(error: BaseException) -> str:
    """Return what the innermost cause of an error says first."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
