"""Random forests of the other columns, as a baseline for missing cells that learns how columns act together."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mmtoolkit.base.meter import Meter
from mmtoolkit.base.seeds import seed_for
from mmtoolkit.components import Modality, Run
from mmtoolkit.components.evaluator import seen_by_model
from mmtoolkit.core.batch import Batch
from mmtoolkit.evaluators.classes import has_classes
from mmtoolkit.evaluators.complete import some_rows
from mmtoolkit.evaluators.scikit_learn import import_sklearn

if TYPE_CHECKING:
    from types import ModuleType

_TREES = 100
_MOST_FEATURES = 128  # of one modality
_MOST_CLASSES = 100  # each node of each tree holds a number for each class
_ROWS_AT_ONCE = 500


def import_forests() -> ModuleType:
    """The module of scikit-learn that has random forests.

    Raises:
        UserError: scikit-learn is not installed.
    """
    return import_sklearn("ensemble", "evaluate, imputation: baselines: forest", "remove forest")


class Forests:
    """A random forest for each column, which predicts its hidden cells from all other columns (Breiman 2001).

    A column is a modality with one number or one class a row. Its forest learns from the training rows that know it.
    The features of another modality are those of `Modality.condition`, or the number of the class if there are more
    than 128 classes, and a flag, 1 if it is missing; then its training mean or mode stands there. Modalities with more
    than 128 features a value, such as pictures and long texts, are not read.

    Args:
        run: has the training rows.
        names: the modalities whose hidden cells are to be predicted.
        most: the number of training rows to learn from; drawn at random if there are more.

    Raises:
        UserError: scikit-learn is not installed.
    """

    def __init__(self, run: Run, names: Collection[str], most: int) -> None:
        self.run, self.ensemble = run, import_forests()
        self.modalities: Mapping[str, Modality] = run.model.modalities
        self.notes: list[str] = []
        """What is not read and what is not predicted, each with the reason."""
        present = seen_by_model(run, "train")
        self._seed = run.generator.initial_seed()
        self._rows = some_rows(torch.arange(len(present)), most, "forest rows", self._seed)
        self._present = present[self._rows]
        self._inputs = [name for name, modality in self.modalities.items() if _width(modality) <= _MOST_FEATURES]
        unread = self.modalities.keys() - self._inputs
        self._note("not read by the forest", unread, f"a value has more than {_MOST_FEATURES} numbers")
        widths = [_width(self.modalities[name]) + 1 for name in self._inputs]
        self._owners = np.repeat(self._inputs, widths)  # (F,), the modality of each feature
        single = {name for name in names if self.modalities[name].event_shape() == ()}
        self._note("not predicted by the forest", {*names} - single, "a value is not one number or one class")
        lonely = {name for name in single if not {*self._inputs} - {name}}
        self._note("not predicted by the forest", lonely, "there is no other column to read")
        features: list[NDArray[np.float32]] = []
        self._values: dict[str, list[Tensor]] = {name: [] for name in self.modalities if name in single - lonely}
        for batch in run.batches("train", self._rows.split(_ROWS_AT_ONCE)):
            features.append(self._read_features(batch))
            for name, values in self._values.items():
                values.append(batch.value(name).cpu())
        self._features = np.concatenate(features)  # (N, F)
        for name in [name for name in self._values if self._count_classes(name) > _MOST_CLASSES]:
            self._note("not predicted by the forest", [name], f"it has more than {_MOST_CLASSES} classes")
            del self._values[name]
        self._questions: dict[str, list[NDArray[np.float32]]] = {name: [] for name in self._values}
        self._truths: dict[str, list[Tensor]] = {name: [] for name in self._values}
        self._hidden: dict[str, list[Tensor]] = {name: [] for name in self._values}

    def _note(self, what: str, names: Collection[str], reason: str) -> None:
        if names:
            self.notes.append(f"{what}: {', '.join(name for name in self.modalities if name in names)}: {reason}")

    def _count_classes(self, name: str) -> int:
        """The number of classes that the training rows have; 0 if the values are numbers."""
        if not has_classes(self.run, name):
            return 0
        return len(torch.cat([torch.empty(0), *self._values[name]]).unique())

    def _read_features(self, batch: Batch) -> NDArray[np.float32]:
        """The features of a batch: (B, F)."""
        blocks = []
        for name in self._inputs:
            modality, rows = self.modalities[name], batch.rows(name)
            stand_in = _features(modality, self.run.baselines[name][None])
            block = torch.cat([stand_in, torch.ones(1, 1)], 1).repeat(batch.size, 1)
            if len(rows):
                own = _features(modality, batch.value(name))
                block[rows] = torch.cat([own, torch.zeros(len(rows), 1)], 1)
            blocks.append(block)
        return torch.cat([torch.empty(batch.size, 0), *blocks], 1).numpy()

    def add(self, batch: Batch, targets: Tensor, truths: Mapping[str, Tensor], itself: Tensor | None = None) -> None:
        """Add rows with hidden cells.

        Args:
            batch: B rows, without what is hidden.
            targets: (B, M) bool, the hidden cells, on the host.
            truths: name -> (n,), the values of its hidden cells, in the order of the rows.
            itself: (B,) int64, the rows' numbers if they are training rows: no forest learns from what is hidden.
        """
        features = self._read_features(batch)
        for name in self._questions.keys() & truths.keys():
            rows = targets[:, batch.names.index(name)]
            self._questions[name].append(features[rows.numpy()])
            self._truths[name].append(truths[name])
            if itself is not None:
                self._hidden[name].append(itself[rows])

    def predictions(self) -> Iterator[tuple[str, Tensor, Tensor]]:
        """For each column its name, the forest's predictions of its hidden cells (n,), and their values (n,).

        One forest is in memory at a time. The training mean or mode stands for a column that no training row knows.
        """
        asked = [name for name in self.modalities if self._truths.get(name)]
        meter = Meter(self.run.say, "imputation, forests", len(asked), "columns")
        for name in asked:
            truth, questions = torch.cat(self._truths[name]), np.concatenate(self._questions[name])
            present = self._present[:, list(self.modalities).index(name)]
            usable = present & ~torch.isin(self._rows, torch.cat([torch.empty(0).long(), *self._hidden[name]]))
            if usable.any():
                values = torch.cat(self._values[name])[usable[present]]
                point = self._predict(name, self._features[usable.numpy()], values, questions)
            else:
                point = self.run.baselines[name].expand(len(truth))
            yield name, point.to(truth.device), truth
            meter.advance()

    def _predict(
        self, name: str, features: NDArray[np.float32], values: Tensor, questions: NDArray[np.float32]
    ) -> Tensor:
        """Fit the forest of a column to rows (N, F) with values (N,), and predict for rows (n, F): (n,).

        A split chooses among the root of the number of features for a class, among a third for a number.
        """
        others = self._owners != name
        options: dict[str, Any] = {"n_estimators": _TREES, "n_jobs": 1}
        options["random_state"] = seed_for("forest", name, self._seed) % 2**32
        if has_classes(self.run, name):
            classes: Tensor
            classes, places = values.unique(return_inverse=True)
            forest = self.ensemble.RandomForestClassifier(**options, max_features="sqrt")
            forest.fit(features[:, others], places.numpy())
            return classes.index_select(0, torch.from_numpy(forest.predict(questions[:, others])))
        forest = self.ensemble.RandomForestRegressor(**options, max_features=1 / 3)
        forest.fit(features[:, others], values.double().numpy())
        return torch.from_numpy(forest.predict(questions[:, others]))


def _width(modality: Modality) -> int:
    """The number of features that a forest reads of a modality, without the flag."""
    wide = modality.condition_size > _MOST_FEATURES and modality.event_shape() == ()
    return 1 if wide else modality.condition_size


def _features(modality: Modality, x: Tensor) -> Tensor:
    """The features of values x (N, *event): (N, `_width`), float32, on the host."""
    features = modality.condition(x) if modality.condition_size == _width(modality) else x.unsqueeze(1)
    return features.float().cpu()
