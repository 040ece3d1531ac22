"""What `Imputer` and `Embedder` share: parameters, training, and the state of a fitted estimator."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_random_state, check_scalar
from sklearn.utils._set_output import _get_output_config
from sklearn.utils.validation import check_is_fitted, validate_data

from mmtoolkit.base.locations import caching_in
from mmtoolkit.components import Listener, TrainingStart
from mmtoolkit.components.plugins import load_plugins
from mmtoolkit.runs.loading import load
from mmtoolkit.runs.run import run as train_run
from mmtoolkit.runs.trained import TrainedRun
from mmtoolkit.schema.schema import Schema
from mmtoolkit.sklearn.kept_run import KeptRun
from mmtoolkit.sklearn.named import as_frame_of, is_frame, with_names
from mmtoolkit.sklearn.training import Changes, Plan, plan_first, read_given
from mmtoolkit.using.user_table import UserFrame

_MOST_SEEDS = 1 << 31


class RunEstimator(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """An estimator that trains a run, or uses one. Its parameters are those of `Imputer`, which describes them."""

    schema: Any
    run: Any
    model: Any
    latent_dim: int | None
    steps: int | None
    evaluate: bool
    folder: Any
    plugin_files: Any
    device: str
    random_state: Any
    verbose: int

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train a model on a table, or take the run that is given.

        Args:
            X: a pandas or polars frame, or a NumPy array. Missing cells are NaN, None or null.
            y: ignored.

        Raises:
            ValueError: a parameter or the table does not fit.
            UserError: the schema, the run or the cells of the table have faults.
        """
        self._check_parameters()
        seed = int(check_random_state(self.random_state).randint(_MOST_SEEDS))
        table = self._validated(X, reset=True)
        self._seed = seed
        self._constants: dict[str, Any] = {}
        self._copies: dict[str, str] = {}
        if self.run is None:
            self._train(table, seed)
        else:
            run = self.run if isinstance(self.run, TrainedRun) else load(self.run, self._plugin_files, self.device)
            self._kept = KeptRun.of(run.own_folder, self._plugin_files, self.device)
            self._columns = _names_of(table, self.schema_, "run")
        return self

    @property
    def run_(self) -> TrainedRun:
        """The trained run. It can embed, sample, score and more."""
        check_is_fitted(self)
        run: TrainedRun = self._kept.run
        return run

    @property
    def schema_(self) -> Schema:
        """The schema of the run."""
        return self.run_.schema

    def __sklearn_is_fitted__(self) -> bool:
        """Whether `fit` has a run."""
        return "_kept" in vars(self)

    def __sklearn_tags__(self) -> Any:
        """Cells may be missing, texts and classes; arrays are dense."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.string = tags.input_tags.categorical = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    @property
    def _plugin_files(self) -> tuple[str, ...]:
        return tuple(map(str, self.plugin_files))

    @property
    def _say(self) -> Callable[[str], None]:
        return print if self.verbose else _silent

    def _check_parameters(self) -> None:
        """Raise if a parameter does not fit."""
        if self.schema is not None and self.run is not None:
            raise ValueError("The parameters 'schema' and 'run' are both set. A run has its schema: set one of them.")
        for name in ("steps", "latent_dim"):
            if getattr(self, name) is not None:
                check_scalar(getattr(self, name), name, numbers.Integral, min_val=1)
        check_scalar(self.verbose, "verbose", numbers.Integral, min_val=0)
        changed = [name for name in ("model", "latent_dim", "steps", "folder") if getattr(self, name) is not None]
        if self.run is not None and changed:
            raise ValueError(
                f"The parameter {changed[0]!r} is set, but with 'run' nothing is trained. Leave out one of the two."
            )

    def _validated(self, X: Any, reset: bool) -> Any:
        """The table that the user gives, checked: a frame as it is, all else as an array."""
        least = 2 if reset and self.run is None else 1
        if not is_frame(X):
            return validate_data(
                self, X, reset=reset, dtype=None, ensure_all_finite="allow-nan", ensure_min_samples=least
            )
        validate_data(self, X, reset=reset, skip_check_array=True)
        for count, what, most in ((len(X), "sample", least), (X.shape[1], "feature", 1)):
            if count < most:
                raise ValueError(
                    f"Found a frame with {count} {what}(s) while a minimum of {most} is required by "
                    f"{type(self).__name__}."
                )
        return X

    def _train(self, table: Any, seed: int) -> None:
        plugins = load_plugins(self._plugin_files)
        changes = Changes(self.model, self.latent_dim, self.steps, self.evaluate, seed)
        with _work_folder(self.folder) as (folder, cache), caching_in(cache):
            if self.schema is None:
                self._columns = _names_of(table)
                plan = plan_first(with_names(table, self._columns), plugins, changes, self._say)
            else:
                schema = read_given(self.schema, plugins)
                self._columns = _names_of(table, schema, "schema")
                plan = Plan(changes.made_in(schema, with_names(table, self._columns), plugins), {}, {})
            self._constants, self._copies = dict(plan.constants), dict(plan.copies)
            listener = _Lines() if self.verbose else None
            train_run(
                plan.schema,
                folder,
                plugins=plugins,
                device=self.device,
                watcher=listener,
                say=self._say,
                figures=self.folder is not None,
            )
            self._kept = KeptRun.of(folder, self._plugin_files, self.device)

    def _user_frame(self, X: Any) -> tuple[Any, UserFrame]:
        """The table of `transform`, checked, and the same as the run reads it: by the names of its columns in `fit`."""
        check_is_fitted(self)
        table = self._validated(X, reset=False)
        return table, UserFrame.for_run(self.run_, {}, data=with_names(table, self._columns))

    def _as_asked(self, table: Any) -> Any:
        """A frame as one of the library that `set_output` asks for, with the types of its columns."""
        return as_frame_of(_get_output_config("transform", self)["dense"], table)


@contextmanager
def _work_folder(given: Path | str | None) -> Iterator[tuple[Path, Path]]:
    """The folder of a run, temporary unless it is given, and one for prepared data, which is removed."""
    with TemporaryDirectory(prefix="mmtoolkit-", ignore_cleanup_errors=True) as temporary:
        yield Path(temporary) / "run" if given is None else Path(given), Path(temporary) / "cache"


def columns_of(schema: Schema) -> list[str]:
    """The columns that a schema reads, in its order."""
    pairs = schema.modalities.items()
    return list(dict.fromkeys(column for name, modality in pairs for column in modality.source_columns(name)))


def _names_of(table: Any, schema: Schema | None = None, given: str = "") -> list[str]:
    """The names of a table's columns. Those of an array are x0, x1, …, or the columns of a schema, in its order."""
    if is_frame(table):
        return list(map(str, table.columns))
    width = table.shape[1]
    if schema is None:
        return [f"x{place}" for place in range(width)]
    names = columns_of(schema)
    if len(names) != width:
        raise ValueError(
            f"X is an array of {width} features, and the {given} reads {len(names)} columns: {', '.join(names)}. "
            "Give these columns in this order, or a frame with their names."
        )
    return names


def _silent(line: str) -> None:
    """Show nothing."""


class _Lines(Listener):
    """Prints a line an epoch."""

    def begin(self, start: TrainingStart) -> None:
        """Keep what validation measures."""
        self.measure = start.validation

    def epoch(self, line: Mapping[str, Any]) -> None:
        """Print its loss and what validation measured."""
        validation = "" if line["validation"] is None else f", {self.measure} {line['validation']:.4g}"
        print(f"epoch {line['epoch']}: loss {line['loss']:.4g}{validation}")
