"""How much of each modality the shared latent variable holds: linear probes and clusters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import torch
from pydantic import PositiveInt
from torch import Tensor

from mmtoolkit.base.seeds import seed_for
from mmtoolkit.components import Modality, Network, Run, Scores
from mmtoolkit.components.entries import Entry, EntryEvaluator, described, in_order, uninferred, unseen
from mmtoolkit.components.evaluator import seen_by_model
from mmtoolkit.core.posterior import point_of
from mmtoolkit.evaluators.classes import has_classes
from mmtoolkit.evaluators.complete import some_rows
from mmtoolkit.evaluators.hiding import count_parts
from mmtoolkit.evaluators.probes import Rows, accuracy_of_probe, import_probes, nmi_of_clusters, r2_of_probe
from mmtoolkit.evaluators.progress import metered_batches

_ROWS_AT_ONCE = 500
_FEWEST_ROWS = 2
_MOST_PARTS = 128
_MOST_CLUSTERS = 100


class ProbeEntry(Entry):
    """The modalities to predict from z, and the modalities that z is inferred from."""

    target: tuple[str, ...]
    """The modalities to predict from z; the model need not see them."""
    given: tuple[str, ...]
    """The modalities that z is inferred from."""

    def check(self, names: Sequence[str]) -> None:
        """Raise a `ValueError` also if nothing is given."""
        super().check(names)
        if not self.given:
            raise ValueError(f"an entry has no given; name modalities to infer z from, such as {names[0]}")

    def cannot(self, model: Network) -> str:
        """Why z cannot be inferred from the given, or a target predicted by a line; empty if both can."""
        faults = (_unprobed(model.modalities[name], name) for name in self.target if name in model.modalities)
        return unseen(self.given, model) or uninferred(self.given, model) or next(filter(None, faults), "")


def _unprobed(modality: Modality, name: str) -> str:
    """Why no line predicts a modality; empty if one can."""
    nothing = torch.zeros(0, *modality.event_shape())
    if modality.part_numbers(nothing) is None:
        return f"values of {name} are neither classes nor quantities"
    if (parts := count_parts(modality)) > _MOST_PARTS:
        return f"a value of {name} has {parts:,} numbers, and probes predict at most {_MOST_PARTS}"
    return ""


class Latent(EntryEvaluator[ProbeEntry]):
    """Predicts modalities from the shared part of z by a linear probe, and compares clusters of z with classes.

    Probes learn from the training split and are scored on another: a logistic regression for classes, with its
    accuracy, a ridge regression for quantities, with R² (Alain & Bengio 2016). For a modality of classes there is also
    the normalised mutual information with clusters of z by k-means. z is the posterior's point. The targets need not be
    modelled. The default entries are every such modality from each single unit that the model infers z from, and from
    all of them. It needs scikit-learn, `pip install 'mmtoolkit[sklearn]'`.
    """

    kind: Literal["latent"] = "latent"

    entries: tuple[ProbeEntry, ...] | None = None
    """The probes to train, each {target: [...], given: [...]}; by default those that the model can give."""
    rows: PositiveInt = 5000
    """The number of rows to learn from, and of rows to score; drawn at random if a split has more."""
    clusters: bool = True
    """Whether to compare clusters of z with classes."""

    def check_model(self, model: Network) -> None:
        """Raise a `UserError` if the model does not support an entry, or scikit-learn is missing."""
        super().check_model(model)
        import_probes("linear_model")

    def evaluate(self, run: Run, split: str) -> Scores:
        """One result for each target, given and metric.

        {target, given, metric, better, value, stderr, examples, baseline, rows}. `rows` is the number of training rows
        that the probe learned from.
        """
        default, notes = ([], []) if self.entries is not None else _default_entries(run)
        entries, left_out = self.chosen(default, run.model)
        notes += left_out
        targets: dict[tuple[str, ...], dict[str, None]] = {}
        for entry in entries:
            targets.setdefault(in_order(entry.given, tuple(run.modalities)), {}).update(dict.fromkeys(entry.target))
        results = []
        for given, names in targets.items():
            for name in list(names):
                if fault := _unprobed(run.modalities[name], name):  # the model knows no modality that it does not see
                    notes.append(f"left out: {Entry(target=(name,), given=given)}: {fault}")
                    del names[name]
            rows = [self._rows(run, which, names, given) for which in ("train", split)]
            learned, scored = (self._read(run, *of, given) for of in zip(("train", split), rows, strict=True))
            for name in in_order(names, tuple(run.modalities)):
                probe = ProbeEntry(target=(name,), given=given)
                for result in self._results(run, name, learned[name], scored[name], f"{probe}", notes):
                    results.append(described(probe, **result, rows=len(learned[name].z)))
        return Scores(results, notes=[*notes, *self._bound_notes(run, split)])

    def _bound_notes(self, run: Run, split: str) -> list[str]:
        counts = {of: len(run.present[of]) for of in ("train", split)}
        listed = [f"{count:,} of {of}" for of, count in counts.items() if count > self.rows]
        if not listed:
            return []
        return [f"at most {self.rows:,} rows of {' and '.join(listed)} were used, drawn at random; raise rows for more"]

    def _rows(self, run: Run, split: str, names: Iterable[str], given: tuple[str, ...]) -> dict[str, Tensor]:
        """The rows that tell of each target: those that have it and from which z is inferred; (n,), ascending."""
        informed = run.model.told(seen_by_model(run, split), given)
        rows = {}
        for name in names:
            both = (informed & run.present[split][:, tuple(run.modalities).index(name)]).nonzero().squeeze(1)
            rows[name] = some_rows(both, self.rows, "probe rows", split, run.generator.initial_seed())
        return rows

    def _read(self, run: Run, split: str, rows: Mapping[str, Tensor], given: tuple[str, ...]) -> dict[str, Rows]:
        """The z given these modalities, and each target, of its rows."""
        every = torch.cat([torch.zeros(0, dtype=torch.int64), *rows.values()]).unique()
        parts = every.split(_ROWS_AT_ONCE) if len(every) else ()
        z: list[Tensor] = [torch.zeros(0, run.model.latent_dim, dtype=torch.float64)[:, run.model.shared]]
        numbers: dict[str, list[Tensor]] = {name: [] for name in rows}
        known: dict[str, list[Tensor]] = {name: [] for name in rows}
        for part, batch in zip(parts, metered_batches(run, split, self.kind, parts), strict=True):
            z.append(point_of(run.model.infer(batch, given))[..., run.model.shared].double().cpu())
            for name, of in rows.items():
                present = batch.rows(name)
                wanted = torch.isin(part[present], of).nonzero().squeeze(1)
                value = batch.value(name)
                value = value.index_select(0, wanted.to(value.device))
                of_parts = run.modalities[name].part_numbers(value)
                assert of_parts is not None, "`_unprobed` asked"
                numbers[name].append(of_parts.cpu())
                known[name].append(run.modalities[name].known_parts(value).cpu())
        points = torch.cat(z)
        answer = {}
        for name, of in rows.items():
            none = torch.zeros(0, count_parts(run.modalities[name]))
            of_name = torch.cat([none.double(), *numbers[name]]), torch.cat([none.bool(), *known[name]])
            answer[name] = Rows(points[torch.searchsorted(every, of)], *of_name)
        return answer

    def _results(
        self, run: Run, name: str, learned: Rows, scored: Rows, entry: str, notes: list[str]
    ) -> Iterable[dict[str, Any]]:
        """The scores of one target by metric; a value of None where there is nothing to learn or to score."""
        classes = has_classes(run, name)
        metric = {"metric": "accuracy" if classes else "r2", "better": "high"}
        fault = ""
        if len(learned.z) < _FEWEST_ROWS:
            fault = f"{('no', 'one')[len(learned.z)]} training row has both, and a probe needs {_FEWEST_ROWS}"
        elif not (learned.z.isfinite().all() and scored.z.isfinite().all()):
            fault = "z is not finite in some row, since training diverged"
        if fault or not len(scored.z):
            notes += [f"{entry}: {fault}"] if fault else []
            return [{**metric, "value": None, "stderr": None, "examples": len(scored.z), "baseline": None}]
        probe = accuracy_of_probe if classes else r2_of_probe
        results = [{**metric, **probe(learned, scored)}]
        if classes and self.clusters and learned.numbers.shape[1] == 1:
            count = len(learned.numbers.unique())
            if 2 <= count <= min(_MOST_CLUSTERS, len(learned.z)):
                seed = seed_for("clusters", run.generator.initial_seed())
                results.append({"metric": "nmi", "better": "high", **nmi_of_clusters(learned, scored, seed)})
            else:
                notes.append(f"{entry}: no clusters: it has {count:,} classes; there can be 2 to {_MOST_CLUSTERS}")
        return results


def _default_entries(run: Run) -> tuple[list[ProbeEntry], list[str]]:
    """Every modality that a line can predict from each unit and from all inputs, and a note for each other one."""
    faults = {name: _unprobed(modality, name) for name, modality in run.modalities.items()}
    targets = tuple(name for name, fault in faults.items() if not fault)
    givens = [*run.model.members.values(), run.model.inputs]
    notes = [f"left out: {fault}" for fault in faults.values() if fault]
    return [ProbeEntry(target=(name,), given=given) for name in targets for given in givens], notes
