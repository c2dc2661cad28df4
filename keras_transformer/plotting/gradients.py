"""A picture of vanishing gradients: how much of the last step's loss reaches the steps before it.

The norms come from `training.gradients_through_time`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from keras_transformer.errors import InputError
from keras_transformer.plotting.style import (
    BLACK,
    BLUE,
    GREEN,
    PINK,
    SKY_BLUE,
    VERMILION,
    new_figure,
)

# The dashes and marks tell the lines apart in grey print.
_STYLES = (
    {"color": BLUE, "linestyle": "-", "marker": "o"},
    {"color": VERMILION, "linestyle": "--", "marker": "s"},
    {"color": GREEN, "linestyle": "-.", "marker": "^"},
    {"color": VERMILION, "linestyle": ":", "marker": "D"},
    {"color": GREEN, "linestyle": (0, (5, 1, 1, 1, 1, 1)), "marker": "v"},
    {"color": BLACK, "linestyle": "-", "marker": "*"},
    {"color": PINK, "linestyle": "--", "marker": "P"},
    {"color": SKY_BLUE, "linestyle": "-.", "marker": "X"},
)
_MARKS = 8  # on a line


def plot_gradients_through_time(norms: Mapping[str, Any]) -> Figure:
    """Draws how the gradient of the last step's loss fades with the distance in time.

    A line is the median over the batch of the norms, relative to the norm at the last step; half
    of the batch lies in the band around it. A straight line down is a gradient that vanishes
    exponentially.

    Args:
        norms: by the name of an architecture, `(batch, seq)` each, the last step last. A line ends
          where the norms are 0, which a logarithmic axis has no place for.

    Returns:
        The figure.

    Raises:
        InputError: when there is nothing to draw, more than eight lines, or norms of another shape.
    """
    if not 0 < len(norms) <= len(_STYLES):
        raise InputError(f"norms of {len(norms)} architectures: give those of 1 to {len(_STYLES)}")
    figure = new_figure(7.5, 4.5)
    axes = figure.add_subplot()
    for (name, values), style in zip(norms.items(), _STYLES, strict=False):
        values = _relative(name, values)
        distances = np.arange(values.shape[1])
        quartiles = np.quantile(values, (0.25, 0.5, 0.75), axis=0, method="nearest")
        low, middle, high = np.where(quartiles > 0, quartiles, np.nan)
        axes.fill_between(distances, low, high, color=style["color"], alpha=0.15, linewidth=0)
        every = max(1, len(distances) // _MARKS)
        axes.plot(distances, middle, label=name, markevery=every, markersize=5, **style)
    axes.set_yscale("log")
    axes.set(
        xlabel="Distance from the last step", ylabel="Norm of the gradient, relative to that step's"
    )
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    # Beside the axes: lines may lie anywhere within.
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right center", frameon=False)
    return figure


def _relative(name: str, values: Any) -> np.ndarray:
    """Norms by distance; the last step comes first and has 1."""
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or not values.size:
        raise InputError(f"norms of {name} of shape {values.shape}: give them as (batch, seq)")
    values = values[:, ::-1]
    if not (values[:, 0] > 0).all():
        raise InputError(
            f"norms of {name}: some are 0 at the last step: take a loss that depends on its state"
        )
    return values / values[:, :1]
