# SPDX-License-Identifier: BSD-3-Clause
"""What all displays share: matplotlib when it is needed, axes, colors and titles."""

# The colour-blind can tell these two apart. In grey, markers and hatches tell.
BLUE, ORANGE = "#0072b2", "#d55e00"


def import_pyplot(caller: str):
    """Return ``matplotlib.pyplot``; raise ImportError that says how to install it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{caller} needs matplotlib, which is not installed or does not load "
            f"({error}). Run: pip install 'confident_clf[plot]'"
        ) from error
    return plt


def axes_for(display: object, ax):
    """Return the axes to draw on, new ones if `ax` is None; keep them in a display."""
    plt = import_pyplot(f"{type(display).__name__}.plot")
    display.ax_ = plt.subplots()[1] if ax is None else ax
    display.figure_ = display.ax_.figure
    return display.ax_


def named(name: str | None, text: str) -> str:
    """Return a text with a name before it, if there is one."""
    return text if name is None else f"{name}: {text}"
