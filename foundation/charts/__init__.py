"""Charts drawn on the server as SVG (see `foundation.charts.plot` for the rules all drawings keep).

Every function takes plain numbers and names and returns a `Drawing`, which templates print as it is; where there is
nothing to draw the drawing is a sentence. `forest`, `series` and `heat` return the drawing for wide screens and the
one for phones together.
"""

from foundation.charts.curves import Bin, Curve, Reliability, calibration, pr, roc
from foundation.charts.distributions import Shares, Weight, categories, histogram, importance, psi_bars
from foundation.charts.grids import correlation, heat
from foundation.charts.groups import Slice, forest
from foundation.charts.plot import Drawing, Plot, nothing, percent, plain
from foundation.charts.printing import for_print
from foundation.charts.sheets import has_picture, sheet
from foundation.charts.time import Event, Limit, series, spark

__all__ = [
    "Bin",
    "Curve",
    "Drawing",
    "Event",
    "Limit",
    "Plot",
    "Reliability",
    "Shares",
    "Slice",
    "Weight",
    "calibration",
    "categories",
    "correlation",
    "for_print",
    "forest",
    "has_picture",
    "heat",
    "histogram",
    "importance",
    "nothing",
    "percent",
    "plain",
    "pr",
    "psi_bars",
    "roc",
    "series",
    "sheet",
    "spark",
]
