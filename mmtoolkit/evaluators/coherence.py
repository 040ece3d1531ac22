"""Coherence: whether what a model generates is of the same class as what it is given, and as what else it generates."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import torch
from pydantic import PositiveInt
from torch import Tensor

from mmtoolkit.base.errors import UserError
from mmtoolkit.components import Evaluator, Modality, Network, Run, Scores
from mmtoolkit.components.entries import in_order, undecoded, unseen
from mmtoolkit.components.means import MeanWithError
from mmtoolkit.evaluators.complete import complete_rows, some_rows
from mmtoolkit.evaluators.cross_coherence import coherence_picture, cross_results, plan_cross, score_cross
from mmtoolkit.evaluators.judges import Judge, Skill, check_label, skills, trained_judges
from mmtoolkit.priors.fitted_mixture import import_mixtures
from mmtoolkit.priors.samplers import check_sampler, sampler_of

_ROWS_AT_ONCE = 500


class Coherence(Evaluator):
    """The share of generated values that a classifier judges to be of the right class.

    Cross coherence: z is drawn from q(z | given), a target that is not given is decoded, and the judge of the target
    must find the class that the row has. It is the mean over the sets of as many given units as the result says (Shi et
    al. 2019; Sutter et al. 2021). Joint coherence: z is drawn from p(z), or from a sampler, all targets are decoded,
    and their judges must agree with each other.

    A decoded value is the mean or mode of p(target | z), as `prediction` scores it. The judges are trained on the
    training rows that have the label, and kept with the run; their own accuracy on real values stands beside each
    score, which a perfect model would have.
    """

    kind: Literal["coherence"] = "coherence"

    label: str
    """The modality that holds the class of a row, of kind label or binary, usually with `modelled: false`."""
    target: tuple[str, ...] | None = None
    """The modalities to judge. By default all that the model decodes, without the label."""
    given: tuple[str, ...] | None = None
    """The modalities that may be given. By default all that the model sees."""
    samples: PositiveInt = 1
    """Draws of z a row and set."""
    rows: PositiveInt = 2000
    """Rows of the split to score; of more, some are drawn at random."""
    sets: PositiveInt = 10
    """Sets of given of each size to try for a target; of more, some are drawn at random."""
    draws: PositiveInt = 2000
    """Draws of z for joint coherence."""
    sampler: Literal["mixture"] | None = None
    """Where else to draw z from for joint coherence: `mixture` is a mixture of Gaussians, fitted after training to the
    z of the training rows. It needs scikit-learn, `pip install 'mmtoolkit[sklearn]'`."""
    components: PositiveInt = 10
    """The number of Gaussians of the sampler."""

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """Few draws, on the modalities of `mmtoolkit.testing`."""
        return (cls(label="choice", draws=50),)

    def check(self, names: Sequence[str]) -> None:
        """Raise a `ValueError` if a name is no modality, or the label is a target."""
        listed = [("label", self.label)]
        listed += [(key, name) for key in ("target", "given") for name in getattr(self, key) or ()]
        for key, name in listed:
            if name not in names:
                raise ValueError(f"{key}: there is no modality {name!r}; the modalities are {', '.join(names)}")
        if self.label in (self.target or ()):
            raise ValueError(
                f"target: {self.label} is the label, by which the others are judged; leave it out, or score it by the "
                "evaluator prediction"
            )

    def check_modalities(self, modalities: Mapping[str, Modality]) -> None:
        """Raise a `UserError` if the label has no classes."""
        check_label(self.kind, modalities, self.label)

    def check_model(self, model: Network) -> None:
        """Raise a `UserError` if the model cannot be judged as the options ask."""
        target, given = self.target or (), self.given or ()
        fault = unseen(target, model) or undecoded(target, model)
        if fault:
            raise UserError(f"evaluate, {self.kind}: target: {fault}; leave it out")
        if fault := unseen(given, model):
            raise UserError(f"evaluate, {self.kind}: given: {fault}; leave it out")
        if len(model.units) < 2:
            raise UserError(
                f"evaluate, {self.kind}: the model sees {', '.join(model.units)} alone, and coherence is that of two "
                "modalities or more; remove this evaluator"
            )
        if self.sampler is not None:
            place = f"evaluate, {self.kind}: sampler"
            check_sampler(model, place)
            import_mixtures(place)

    def evaluate(self, run: Run, split: str) -> Scores:
        """One result for each number of given and target, and for joint coherence.

        {target, given, metric, better, value, stderr, examples, judge, chance}. `given` lists all that may be given;
        the metric says how many at once: `coherence_2_given`, `joint_coherence`, `joint_coherence_mixture`. `judge` is
        the score of real values in place of generated ones: the judge's accuracy, or how often all judges agree.
        `chance` is the share of the most frequent class.
        """
        targets = in_order(self.target or run.model.targets, tuple(n for n in run.model.targets if n != self.label))
        judges, notes = trained_judges(run, self.label, targets)
        labelled = complete_rows(run, split, (self.label,))
        rows = some_rows(labelled, self.rows, "coherence rows", run.generator.initial_seed())
        known = skills(run, split, self.label, judges, rows)
        notes += [_warning(name, skill) for name, skill in known.items() if skill.worthless]
        plan = plan_cross(run.model, tuple(judges), self.given, self.sets, run.generator.initial_seed())
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(run.generator.initial_seed())  # some distributions estimate their mean by draws
            cross = score_cross(run, split, rows, plan, judges, self.label, self.samples)
            joint, joint_notes = self._joint(run, split, rows, judges)
        results = cross_results(plan, cross, known)
        figures = [coherence_picture(results, plan, known)] if len(plan.sizes) > 1 else []
        return Scores(results + joint, figures, [*notes, *plan.notes, *joint_notes])

    def _joint(
        self, run: Run, split: str, rows: Tensor, judges: Mapping[str, Judge]
    ) -> tuple[list[dict[str, Any]], list[str]]:
        """The results of joint coherence, and notes."""
        names = in_order((*judges, self.label), run.model.targets)
        if len(names) < 2:
            return [], [f"left out: joint coherence: {', '.join(names) or 'nothing'} alone is judged"]
        if run.model.conditions:
            return [], [f"left out: joint coherence: the model decodes given {', '.join(run.model.conditions)} only"]
        if (prior := run.model.prior) is None:
            return [], ["left out: joint coherence: the model has no p(z)"]
        places = _Places(self.label, judges)
        real = MeanWithError()
        complete = rows[torch.isin(rows, complete_rows(run, split, names))]
        for batch in run.batches(split, complete.split(_ROWS_AT_ONCE)):
            real.update(places.agreement({name: batch.value(name) for name in names}))
        results: list[dict[str, Any]] = []
        notes: list[str] = []
        entry = {"target": list(names), "given": []}
        priors = {"joint_coherence": prior.sample}
        if self.sampler is not None:
            sampler = sampler_of(run, self.sampler, self.components, f"evaluate, {self.kind}: sampler")
            notes += sampler.notes
            priors[f"joint_coherence_{self.sampler}"] = sampler.sample
        blank = next(run.batches("train", [torch.zeros(1, dtype=torch.int64)])).only(())
        noise = torch.randn(self.draws, run.model.latent_dim, generator=run.generator, device=run.device)
        for metric, sample in priors.items():
            mean = MeanWithError()
            for part in noise.split(_ROWS_AT_ONCE):
                decoded = run.model.decode(sample(part), blank, names)
                mean.update(places.agreement({name: run.modalities[name].point(decoded[name]) for name in names}))
            scores = {"metric": metric, "better": "high", **mean.compute(), "judge": real.compute()["value"]}
            results.append({**entry, **scores})
        return results, notes


@dataclass(frozen=True, eq=False)
class _Places:
    """The places of values among the classes: those of a target by its judge, those of the label as they are."""

    label: str
    judges: Mapping[str, Judge]

    def agreement(self, values: Mapping[str, Tensor]) -> Tensor:
        """Whether the values (N, *event) of all of these modalities are of one class: (N,), 1 or 0."""
        judge = next(iter(self.judges.values()))
        each = [judge.places(x) if name == self.label else self.judges[name].classify(x) for name, x in values.items()]
        places = torch.stack(each)
        return ((places == places[0]) & (places >= 0)).all(0).double()


def _warning(name: str, skill: Skill) -> str:
    """What to say of a judge that is as good as none."""
    if skill.accuracy is None or skill.chance is None:
        return f"{name}: no row has it and the label, so its judge was not tried on real values"
    return (
        f"scores of {name} are worthless: its judge is right on {skill.accuracy:.2f} of the real values, and the most "
        f"frequent class is {skill.chance:.2f} of them; leave it out by `target`, or name a label that it shows"
    )
