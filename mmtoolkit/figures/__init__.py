"""Pictures of a run: learning curves, samples, and predictions of each modality from others."""

from mmtoolkit.figures.curves import learning_curves
from mmtoolkit.figures.directions import direction, rows_with
from mmtoolkit.figures.files import save_figure, save_pictures
from mmtoolkit.figures.lines import COLUMNS
from mmtoolkit.figures.samples import samples

__all__ = [
    "COLUMNS",
    "direction",
    "learning_curves",
    "rows_with",
    "samples",
    "save_figure",
    "save_pictures",
]
