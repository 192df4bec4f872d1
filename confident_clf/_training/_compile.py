# SPDX-License-Identifier: BSD-3-Clause
"""Compile networks while they are trained."""

import warnings
from contextlib import contextmanager

import torch
from torch import nn

from confident_clf._networks._batch_norm import batch_norms
from confident_clf.utils._torch import uncompile

# These record CUDA graphs.
_MODES_OF_GRAPHS = ("reduce-overhead", "max-autotune")


def resolve_compile(compile_: bool | dict) -> dict | None:
    """Return the options of torch.compile, or None: do not compile.

    Raises ValueError if they ask for CUDA graphs.
    """
    if not isinstance(compile_, dict):
        return {} if compile_ else None
    if (
        compile_.get("mode") in _MODES_OF_GRAPHS
        or compile_.get("backend") == "cudagraphs"
        or (compile_.get("options") or {}).get("triton.cudagraphs")
    ):
        # From the first backward pass on, torch lets the next call overwrite what all
        # graphs have returned. A joint step has several, and needs all until its end.
        raise ValueError(
            f"compile={compile_} asks for CUDA graphs, which overwrite the output of a "
            "network while a step of several networks still needs it. Use "
            "compile=True or {'mode': 'max-autotune-no-cudagraphs'}."
        )
    return compile_


def check_compiler(options: dict | None, device: str | torch.device) -> None:
    """Raise ValueError if nothing can be compiled here; compile a sum to find out."""
    if options is None:
        return
    try:
        torch.compile(lambda x: x + x, **options)(torch.ones(8, device=device))
    except Exception as error:  # the compiler's own, which differ by version
        first_line = str(error).strip().split("\n")[0]
        raise ValueError(
            f"compile={options or True} cannot be used here: {first_line} "
            "torch.compile takes a C++ compiler, such as g++, on the CPU, and Triton "
            "on a GPU. Install that, or set compile=False."
        ) from error


@contextmanager
def compiled(net):
    """Let calls of the networks of a net run compiled code in the block.

    The networks themselves, such as the names of their weights, stay as they are. A
    classifier whose layers training gets at, by hooks or in BatchNorm, would be
    compiled anew for every batch, so it is left alone.
    """
    options, classifier, source = net.dynamo, net.module_, net.source and net.source_
    networks: list[nn.Module] = []
    if options is not None:
        needs_hooks = source is not None and source.makes_features
        if source is None or not (batch_norms(classifier) or needs_hooks):
            networks.append(classifier)
        networks += [] if source is None else _networks_of(source)
    if networks and torch.device(net.device).type == "cuda":
        # torch 2.11 compiles code for gradients with the channels last, and then cuDNN
        # gives those of transposed convolutions in the usual layout: an error.
        lay_out_as_usual(networks, net.optimizers_in_order())
    try:
        with warnings.catch_warnings():
            if networks:  # the compiler reads the gradient of samples that have none
                warnings.filterwarnings("ignore", message=r"The \.grad attribute of a")
            for network in networks:
                network.compile(**(options or {}))
            yield networks
    finally:
        for network in networks:
            uncompile(network)


def lay_out_as_usual(networks: list[nn.Module], optimizers) -> None:
    """Lay out weights, and what optimizers keep for them, with the channels first."""
    for network in networks:
        network.to(memory_format=torch.contiguous_format)
    for optimizer in optimizers:
        for kept in optimizer.state.values():
            for name, value in kept.items():
                if isinstance(value, torch.Tensor) and value.ndim == 4:
                    kept[name] = value.contiguous()


def _networks_of(source) -> list[nn.Module]:
    """Return the networks of a source and of the sources inside it."""
    parts = list(source.parts().values())
    return [
        child
        for part in parts
        for child in part.children()
        # A list of modules cannot be called.
        if child not in parts and not isinstance(child, nn.ModuleList)
    ]
