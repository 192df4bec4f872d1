# SPDX-License-Identifier: BSD-3-Clause
"""The one home of details of torch and Python that are not public, and so may move."""

import dis
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

__all__ = [
    "MODULE_INTERNALS",
    "_BatchNorm",
    "_ConvNd",
    "_ConvTransposeNd",
    "adam_kernel",
    "adamw_kernel",
    "add_to_each",
    "comes_from_raise",
    "has_hooks",
    "mark_non_finite",
    "uncompile",
]

# The kernels that Adam and AdamW call when they are fused.
adam_kernel = torch._fused_adam_
adamw_kernel = torch._fused_adamw_
add_to_each = torch._foreach_add_

# What every module has in its __dict__.
MODULE_INTERNALS = frozenset(vars(nn.Module()))


def mark_non_finite(values: list[Tensor], flag: Tensor, scale: Tensor) -> None:
    """Multiply the tensors by `scale` and set `flag` to 1 if one is not finite.

    One kernel looks at all of them. Mixed-precision training uses it.
    """
    torch._amp_foreach_non_finite_check_and_unscale_(values, flag, scale)


def uncompile(network: nn.Module) -> None:
    """Undo `network.compile()`, for which torch has no method."""
    vars(network).pop("_compiled_call_impl", None)


def has_hooks(module: nn.Module) -> bool:
    """Return whether forward hooks are registered on the module."""
    return bool(module._forward_hooks or module._forward_pre_hooks)


def comes_from_raise(error: BaseException) -> bool:
    """Return whether a `raise` statement raised the error, and not a signal.

    A signal interrupts any bytecode instruction; a statement is RAISE_VARARGS.
    """
    innermost: Any = error.__traceback__
    while innermost.tb_next is not None:
        innermost = innermost.tb_next
    code = innermost.tb_frame.f_code.co_code
    return code[innermost.tb_lasti] == dis.opmap["RAISE_VARARGS"]
