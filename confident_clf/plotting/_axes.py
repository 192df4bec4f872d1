# SPDX-License-Identifier: BSD-3-Clause
"""What all displays share: matplotlib when it is needed, axes, colors and titles."""

from typing import Any

# Okabe and Ito's colours, which the colour-blind can tell apart, on white and on black.
# In grey, the kinds of line, markers and hatches tell.
BLUE, ORANGE, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
GREY = "0.5"
_COLORS = [BLUE, ORANGE, GREEN, PURPLE, "#56b4e9", "#e69f00"]
_LINES = ["-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3))]
LINE_STYLES = [
    {"color": color, "linestyle": line}
    for color, line in zip(_COLORS, _LINES, strict=True)
]
MARKERS = ["o", "s", "^", "D", "v", "P"]


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


class Display:
    """What every display keeps of the last drawing."""

    ax_: Any
    figure_: Any


def axes_for(display: Display, ax: Any, **figure: Any) -> Any:
    """Return the axes to draw on, new ones if `ax` is None; keep them in a display.

    `figure` are keyword arguments of a new figure.
    """
    plt = import_pyplot(f"{type(display).__name__}.plot")
    display.ax_ = plt.subplots(**figure)[1] if ax is None else ax
    display.figure_ = display.ax_.figure
    return display.ax_


def named(name: str | None, text: str) -> str:
    """Return a text with a name before it, if there is one."""
    return text if name is None else f"{name}: {text}"


def next_style(ax) -> dict:
    """Return color and kind of the next curve on axes that may have some already."""
    n_curves = len(ax.get_legend_handles_labels()[0])
    return LINE_STYLES[n_curves % len(LINE_STYLES)]


def ink(ax):
    """Return the color of the text of axes, which their background does not hide."""
    return ax.xaxis.label.get_color()
