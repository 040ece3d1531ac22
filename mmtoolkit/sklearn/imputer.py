"""The transformer that fills holes."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from sklearn.base import OneToOneFeatureMixin
from sklearn.utils import check_scalar

from mmtoolkit.base.errors import warn
from mmtoolkit.runs.trained import TrainedRun
from mmtoolkit.schema.schema import Schema
from mmtoolkit.sklearn.estimator import RunEstimator, columns_of
from mmtoolkit.sklearn.left_out import fill_left_out
from mmtoolkit.sklearn.named import like
from mmtoolkit.using.fill import Predicted
from mmtoolkit.using.frames import impute_frame


class Imputer(OneToOneFeatureMixin, RunEstimator):  # type: ignore[misc]
    """Fill the missing cells of a table from the cells that each row has, by a multimodal generative model.

    A missing cell gets the point prediction from q(z | all that its row has), as `TrainedRun.impute` computes it: from
    the mean, and for the columns of a record, as in a first schema, pooled over some draws of z. `random_state` and the
    place of the row in the table fix these draws. Present cells stay as they are. Columns may hold numbers, classes,
    dates, texts or pictures.

    `fit` trains a model: by default that of a first schema, which it proposes for the table as `mmt init` does. It
    trains in a temporary folder and in no other place, and the estimator keeps the run in memory.

    Args:
        samples: how many draws of z to pool into each prediction; by default as the model does.
        schema: names modalities, model and training: a path, a name in the catalogue, a mapping or a `Schema`. Its data
            is the table of `fit`; its own source gives only the signs for missing cells and `on_bad_cell`.
        run: a run folder, the name of a model of the catalogue or a `TrainedRun`. `fit` then trains nothing.
        model: the kind of the model, or a mapping with its options; by default that of the schema.
        latent_dim: the size of z; by default that of the schema.
        steps: the most steps that training takes; by default as the schema says.
        evaluate: whether `fit` also computes the scores that the schema names. They are in `run_.results`.
        folder: where to write the run folder, with its report; by default it is temporary.
        plugin_files: the `--plugin` files with components of the schema or the run.
        device: where to train and to predict: auto, cpu or cuda.
        random_state: fixes training, and draws of z: an int, a `RandomState`, or None for NumPy's global one.
        verbose: 1 prints what `fit` does.

    Attributes:
        run_ (TrainedRun): the trained run, which can embed, sample, score and more. Its folder is temporary.
        schema_ (Schema): the schema of the run.
        n_features_in_ (int): how many columns the table of `fit` has.
        feature_names_in_ (numpy.ndarray): their names, if all of them are texts.
    """

    def __init__(
        self,
        samples: int = 0,
        *,
        schema: Schema | Path | str | Mapping[str, Any] | None = None,
        run: TrainedRun | Path | str | None = None,
        model: str | Mapping[str, Any] | None = None,
        latent_dim: int | None = None,
        steps: int | None = None,
        evaluate: bool = False,
        folder: Path | str | None = None,
        plugin_files: Sequence[Path | str] = (),
        device: str = "auto",
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.samples = samples
        self.schema = schema
        self.run = run
        self.model = model
        self.latent_dim = latent_dim
        self.steps = steps
        self.evaluate = evaluate
        self.folder = folder
        self.plugin_files = plugin_files
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train a model on a table, or take the run that is given.

        Args:
            X: a pandas or polars frame, or a NumPy array. Missing cells are NaN, None or null.
            y: ignored.

        Raises:
            ValueError: a parameter or the table does not fit, or the table lacks a column of the run.
            UserError: the schema, the run or the cells of the table have faults.
        """
        super().fit(X, y)
        if lacking := [column for column in columns_of(self.schema_) if column not in self._columns]:
            raise ValueError(
                f"X has no column {lacking[0]!r}, which the run reads. Add it: where its cells are missing, they are "
                "filled."
            )
        return self

    def transform(self, X: Any) -> Any:
        """Fill the missing cells of a table with the columns of `fit`.

        A column with a single value in `fit` gets this value, and a column that equalled another gets that one's cell.
        A `DataWarning` names all that changes results: cells that cannot be read, cells that stay missing and why.

        Args:
            X: as in `fit`.

        Returns:
            A table of the kind of X, with its columns and their types.

        Raises:
            ValueError: X does not have the columns of `fit`.
        """
        table, user_frame = self._user_frame(X)
        filled, summary = impute_frame(self.run_, user_frame, Predicted(self.samples, self._seed), None)
        filled, notes = fill_left_out(filled, self._unread(), self._constants, self._copies)
        warn([*summary.notes, *notes], frames=2)
        return self._as_asked(like(table, filled, self._columns))

    def _unread(self) -> list[str]:
        """The columns that the schema leaves out."""
        read = columns_of(self.schema_)
        return [column for column in self._columns if column not in read]

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_scalar(self.samples, "samples", numbers.Integral, min_val=0)
