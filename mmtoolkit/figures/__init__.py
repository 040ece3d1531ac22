"""The pictures of a run: learning curves, samples, and what each modality tells of the others."""

from mmtoolkit.figures.curves import learning_curves
from mmtoolkit.figures.directions import direction, rows_with
from mmtoolkit.figures.files import safe_name, save_figure
from mmtoolkit.figures.lines import COLUMNS
from mmtoolkit.figures.of_run import draw_figures
from mmtoolkit.figures.samples import samples, samples_given

__all__ = [
    "COLUMNS",
    "direction",
    "draw_figures",
    "learning_curves",
    "rows_with",
    "safe_name",
    "samples",
    "samples_given",
    "save_figure",
]
