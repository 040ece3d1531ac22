"""The base class of evaluators that compare the features of generated values with those of real ones."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from pydantic import PositiveInt, model_validator
from torch import Tensor

from mmtoolkit.components import Modality, Network, Run, Scores
from mmtoolkit.components.entries import Entry, EntryEvaluator, described, scored_rows
from mmtoolkit.core.batch import Batch
from mmtoolkit.evaluators.complete import complete_rows, some_rows
from mmtoolkit.evaluators.judges import check_label, skills, trained_judges
from mmtoolkit.evaluators.progress import metered_batches

_ROWS_AT_ONCE = 250


class GeneratedEntry(Entry):
    """The modalities to generate, and the modalities that z is inferred from."""

    target: tuple[str, ...]
    """The modalities to generate."""
    given: tuple[str, ...] = ()
    """The modalities that z is inferred from. By default none: z is drawn from the prior."""

    def cannot(self, model: Network) -> str:
        """Why a model cannot generate it; empty if it can."""
        if not self.given and model.prior is None:
            return "the model has no p(z) to draw from; name what is given"
        return super().cannot(model)


class GeneratedValues(EntryEvaluator[GeneratedEntry]):
    """The base class of evaluators that compare the features of generated values with those of real ones.

    For each scored row, z is drawn once from q(z | given), or from the prior, and the target is decoded. You write
    `compare`; write `features_of` and `feature_name` too if the features are your own, such as a network's that you
    load.
    """

    features: Literal["judge", "values"] = "judge"
    """What is compared: `judge`, what the last layer of a classifier reads, which is trained to tell the classes of
    `label` from the modality; or `values`, the numbers of the values themselves, such as pixels."""
    label: str | None = None
    """The modality whose classes the judges tell, usually with `modelled: false`; needed for `features: judge`."""
    rows: PositiveInt = 2000
    """The number of rows to score; drawn at random if the split has more."""
    predict: Literal["point", "sample"] = "point"
    """Whether a generated value is the likelihood's point (its mean or mode), or a sample."""

    @model_validator(mode="after")
    def _judges_need_a_label(self) -> GeneratedValues:
        if self.features == "judge" and self.label is None and type(self).features_of is GeneratedValues.features_of:
            raise ValueError(
                "features: judge needs a label, the modality whose classes judges tell; name one as label, or set "
                "features: values"
            )
        return self

    def check(self, names: Sequence[str]) -> None:
        """Raise a `ValueError` if the label or an entry names no modality, or the label is to be judged by itself."""
        super().check(names)
        if self.label is not None and self.label not in names:
            raise ValueError(f"label: there is no modality {self.label!r}; the modalities are {', '.join(names)}")
        for entry in self.entries or ():
            if self.features == "judge" and self.label in entry.target:
                raise ValueError(
                    f"entries name {self.label!r} as target, and it is the label, which no judge tells; take it out, "
                    "or set features: values"
                )

    def check_modalities(self, modalities: Mapping[str, Modality]) -> None:
        """Raise a `UserError` if the label has no classes."""
        if self.label is not None:
            check_label(self.kind, modalities, self.label)

    @abstractmethod
    def compare(self, real: Tensor, generated: Tensor) -> list[dict[str, Any]]:
        """The scores of generated features: {metric, better, value, stderr} each.

        Args:
            real: (N, F) float64, on the host.
            generated: (M, F). Row i follows from the same row of the data as that of `real`, if N = M.
        """

    def too_few(self, rows: int) -> str:
        """Why so many rows cannot be compared; empty if they can. Default: one cannot."""
        return "" if rows > 1 else "a comparison needs 2"

    def feature_name(self) -> str:
        """What results call the features."""
        return f"judge of {self.label}" if self.features == "judge" else "values"

    def features_of(
        self, run: Run, split: str, names: Sequence[str], rows: Tensor
    ) -> tuple[Mapping[str, Callable[[Tensor], Tensor]], list[str]]:
        """From values (N, *event) to features (N, F) of each of these modalities that has some, and notes for the user.

        Args:
            run: has the modalities.
            split: the split that is scored.
            names: the modalities.
            rows: its rows that are scored, (N,) int64.
        """
        if self.features == "values" or self.label is None:
            return {name: run.modalities[name].condition for name in names}, ["features: the values themselves"]
        judges, notes = trained_judges(run, self.label, [name for name in names if name != self.label])
        labelled = rows[torch.isin(rows, complete_rows(run, split, (self.label,)))]
        for name, skill in skills(run, split, self.label, judges, labelled).items():
            share = "none" if skill.accuracy is None else f"{skill.accuracy:.0%}"
            note = f"features of {name}: those of a judge of {self.label}, which tells {share} of real rows right"
            doubt = (
                "; that is hardly more than chance, so they mean little: train on more rows, or set features: values"
            )
            notes.append(note + doubt if skill.worthless else note)
        return {name: judge.features for name, judge in judges.items()}, notes

    def evaluate(self, run: Run, split: str) -> Scores:
        """One result for each entry and metric.

        {target, given, metric, better, value, stderr, examples, features, training}. `features` names the features.
        `training` is the score of real values in their place: of as many training rows, so what a model that generates
        as the data are would get.
        """
        entries, notes = self.chosen(_default_entries(run.model), run.model)
        notes = self.unmodelled_notes(run) + notes
        if self.entries is None and (single := _single_values(run.model)):
            notes.append(f"left out: {', '.join(single)}: single numbers or classes; name them in entries, if you want")
        entries = [GeneratedEntry(target=(name,), given=entry.given) for entry in entries for name in entry.target]
        rows = self._draw(run, split, torch.arange(len(run.present[split])))
        features, of_features = self.features_of(run, split, list(dict.fromkeys(e.target[0] for e in entries)), rows)
        notes += of_features
        tallies = [_Tally(entry, features[entry.target[0]]) for entry in entries if entry.target[0] in features]
        self._generate(run, split, rows, tallies)
        training: dict[tuple[str, int], dict[str, float]] = {}
        results = []
        for tally in tallies:
            name, count = tally.name, tally.rows
            if fault := self.too_few(count):
                notes.append(f"{tally.entry}: {count:,} rows can be scored, and {fault}")
                scores: list[dict[str, Any]] = [{"metric": None, "better": None, "value": None, "stderr": None}]
            else:
                real, generated = torch.cat(tally.real), torch.cat(tally.generated)
                scores = self._compared(real, generated, f"{tally.entry}", notes)
                if split != "train" and (name, count) not in training:
                    training[name, count] = self._of_training(run, name, features[name], real)
            for score in scores:
                ideal = training.get((name, count), {}).get(score["metric"])
                more = {"examples": count, "features": self.feature_name(), "training": ideal}
                results.append(described(tally.entry, **score, **more))
        return Scores(results, notes=notes)

    def _compared(self, real: Tensor, generated: Tensor, entry: str, notes: list[str]) -> list[dict[str, Any]]:
        if not generated.isfinite().all():
            notes.append(f"{entry}: features of generated values are not finite, since training diverged")
            return [{"metric": None, "better": None, "value": None, "stderr": None}]
        return self.compare(real, generated)

    def _of_training(self, run: Run, name: str, features: Callable[[Tensor], Tensor], real: Tensor) -> dict[str, float]:
        """The scores of training rows in place of generated ones, by metric: none if there are fewer of them."""
        rows = self._draw(run, "train", complete_rows(run, "train", (name,)))[: len(real)]
        if len(rows) < len(real):
            return {}
        batches = run.batches("train", rows.split(_ROWS_AT_ONCE))
        own = torch.cat([_on_host(features(batch.value(name))) for batch in batches])
        return {score["metric"]: score["value"] for score in self.compare(real, own)}

    def _draw(self, run: Run, split: str, rows: Tensor) -> Tensor:
        """Up to `rows` of these rows, drawn at random, ascending, on the host."""
        return some_rows(rows, self.rows, "generated rows", split, run.generator.initial_seed())

    def _generate(self, run: Run, split: str, rows: Tensor, tallies: Sequence[_Tally]) -> None:
        by_given: dict[tuple[str, ...], list[_Tally]] = {}
        for tally in tallies:
            by_given.setdefault(tally.entry.given, []).append(tally)
        generator, parts = run.generator, rows.split(_ROWS_AT_ONCE)
        with torch.random.fork_rng():
            # Distributions sample from the default generator.
            torch.manual_seed(generator.initial_seed())
            for batch in metered_batches(run, split, self.kind, parts):
                noise = torch.randn(batch.size, run.model.latent_dim, generator=generator, device=run.device)
                for given, group in by_given.items():
                    z = run.model.infer(batch, given).rsample(noise)
                    decoded = run.model.decode(z, batch, [tally.name for tally in group])
                    for tally in group:
                        modality, p = run.modalities[tally.name], decoded[tally.name]
                        value = modality.point(p) if self.predict == "point" else p.sample()
                        tally.add(batch, value, run.model.conditions)


class _Tally:
    """The features of one entry, batch by batch."""

    def __init__(self, entry: GeneratedEntry, features: Callable[[Tensor], Tensor]) -> None:
        self.entry, self.features, self.name = entry, features, entry.target[0]
        self.real: list[Tensor] = []
        self.generated: list[Tensor] = []

    @property
    def rows(self) -> int:
        """How many there are so far."""
        return sum(map(len, self.real))

    def add(self, batch: Batch, generated: Tensor, conditions: Sequence[str]) -> None:
        """Add the rows of a batch that the entry scores; `generated` (B, *event) has one value for each row."""
        scored, _ = scored_rows(batch, self.entry, conditions)
        present = batch.rows(self.name)
        places = scored[present].nonzero().squeeze(1)
        if len(places):
            value = batch.value(self.name)
            self.real.append(_on_host(self.features(value.index_select(0, places.to(value.device)))))
            rows = present[places].to(generated.device)
            self.generated.append(_on_host(self.features(generated.index_select(0, rows))))


def _on_host(features: Tensor) -> Tensor:
    """Features (N, F) as float64."""
    return features.flatten(1).double().cpu()


def _single_values(model: Network) -> list[str]:
    """The targets whose values are one number or class: their own scores say more of them than features do."""
    return [name for name in model.targets if model.modalities[name].event_shape() == ()]


def _default_entries(model: Network) -> list[GeneratedEntry]:
    """Each target from the prior, from each single other unit, from all others, and from itself."""
    single, entries = _single_values(model), []
    for target in (name for name in model.targets if name not in single):
        others = [names for names in model.members.values() if target not in names]
        rest = tuple(name for name in model.modalities if name != target)
        givens = dict.fromkeys([(), *others, rest, (target,)])
        entries += [GeneratedEntry(target=(target,), given=given) for given in givens]
    return entries
