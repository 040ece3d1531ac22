"""The transformer that embeds rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import OneToOneFeatureMixin
from sklearn.utils.validation import check_is_fitted

from mmtoolkit.base.errors import warn
from mmtoolkit.runs.trained import TrainedRun
from mmtoolkit.schema.schema import Schema
from mmtoolkit.sklearn.estimator import RunEstimator
from mmtoolkit.sklearn.named import is_frame
from mmtoolkit.using.embedding import embedding_columns
from mmtoolkit.using.frames import embed_frame


class Embedder(RunEstimator):
    """Turn each row into the mean of q(z | all that the row has), the posterior of the model's latent variables.

    Rows may lack cells. In a model with private latent variables these are the part of z that all modalities share.

    Args:
        log_variance: whether to return the log of the variance of each latent variable too, after the means.
        schema: as in `Imputer`.
        run: as in `Imputer`.
        model: as in `Imputer`.
        latent_dim: as in `Imputer`.
        steps: as in `Imputer`.
        evaluate: as in `Imputer`.
        folder: as in `Imputer`.
        plugin_files: as in `Imputer`.
        device: as in `Imputer`.
        random_state: as in `Imputer`.
        verbose: as in `Imputer`.

    Attributes:
        run_ (TrainedRun): as in `Imputer`.
        schema_ (Schema): as in `Imputer`.
        n_features_in_ (int): as in `Imputer`.
        feature_names_in_ (numpy.ndarray): as in `Imputer`.
    """

    def __init__(
        self,
        log_variance: bool = False,
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
        self.log_variance = log_variance
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

    def transform(self, X: Any) -> Any:
        """Embed the rows of a table with the columns of `fit`.

        A `DataWarning` names all that changes results: cells that cannot be read, rows that get the prior.

        Args:
            X: as in `fit`.

        Returns:
            A frame of the kind of X with the columns of `get_feature_names_out`, or for an array (N, D) float32.

        Raises:
            ValueError: X does not have the columns of `fit`.
        """
        table, user_frame = self._user_frame(X)
        embedded, notes = embed_frame(self.run_, user_frame, ())
        warn(notes, frames=2)
        names = self._names_out()
        if is_frame(table):
            return self._as_asked(embedded[names])
        return np.stack([embedded[name] for name in names], axis=1)

    def get_feature_names_out(self, input_features: Any = None) -> Any:
        """mean_0, mean_1, …, and logvar_0, … with `log_variance`.

        Args:
            input_features: only checked: the names of the columns of `fit`, or None.

        Raises:
            ValueError: these are not the columns of `fit`.
        """
        check_is_fitted(self)
        OneToOneFeatureMixin.get_feature_names_out(self, input_features)
        return np.asarray(self._names_out(), dtype=object)

    def _names_out(self) -> list[str]:
        names = embedding_columns(self.run_.model)
        return names if self.log_variance else names[: len(names) // 2]

    def __sklearn_tags__(self) -> Any:
        """As of all, but the answer is float32, whatever the type of the cells."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
