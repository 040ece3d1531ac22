"""The training loop over epochs and steps, with checkpoints for an exact resume."""

from __future__ import annotations

import math
import threading
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.seeds import seed_for
from mmtoolkit.components import Network, Picture
from mmtoolkit.components.plugins import of_plugins
from mmtoolkit.components.watcher import BasicListener, RunSchema, TrainingStart
from mmtoolkit.data.dataset import Dataset
from mmtoolkit.schema.train import TrainOptions
from mmtoolkit.training.averaging import MovingAverage
from mmtoolkit.training.beginning import TrainingBatches, learn
from mmtoolkit.training.calibration import calibrate
from mmtoolkit.training.checkpoint import load_average, load_best, load_checkpoint, save_checkpoint
from mmtoolkit.training.contexts import deterministic, interruptible
from mmtoolkit.training.devices import resident
from mmtoolkit.training.epochs import Epochs
from mmtoolkit.training.filling import validation_of
from mmtoolkit.training.listeners import Listeners
from mmtoolkit.training.networks import usable_rows
from mmtoolkit.training.optimization import StepSizes, new_optimizer
from mmtoolkit.training.processes import Processes
from mmtoolkit.training.progress import Progress, TrainingOutcome
from mmtoolkit.training.saving import Pace, append_history, kept_weights, write_end, write_history, write_weights
from mmtoolkit.training.step_batches import StepBatches
from mmtoolkit.training.tally import Tally
from mmtoolkit.training.validation import broken_networks, check_schedule, validation_notes, validation_rows
from mmtoolkit.training.weights import copied, load_weights

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_REMEDY = "Lower train.learning_rate, set train.gradient_clip, or look for extreme values in the data"
_LOOK_SECONDS = 0.5
_LOOK_STEPS = 50


class Trainer:
    """Trains the networks of one run in its folder.

    The order of the data depends only on (seed, epoch), and all other randomness on (seed, batch). A run that was
    killed therefore resumes from its checkpoint to bit-identical weights, on the same machine with the same number of
    threads and processes. `training/saving.py` says when a checkpoint is due.

    Args:
        network: the networks, as `build` returns them.
        dataset: the prepared data. Training uses the split `train`; rows of `valid` select the best weights.
        options: how to train.
        folder: the folder for checkpoint/, history.jsonl and weights.safetensors.
        fabric: a launched Fabric, with precision, devices and strategy.
        watcher: receives the progress of training, besides the watchers of `options.watch`. By default nobody.
        schema: the schema of the run, for the watchers.
        say: receives a line about a watcher that fails, and about options that have no effect.
        draw: draws the pictures that a watcher wants in training, by networks in evaluation mode; by default none.

    Raises:
        UserError: the options need validation rows that there are not, or a watcher cannot be built.
    """

    def __init__(
        self,
        network: Network,
        dataset: Dataset,
        options: TrainOptions,
        folder: Path,
        fabric: Fabric,
        watcher: BasicListener | None = None,
        schema: RunSchema | None = None,
        say: Callable[[str], None] = warnings.warn,
        draw: Callable[[Network], Iterable[Picture]] = lambda network: (),
    ) -> None:
        self.network, self.options, self.folder, self.fabric = network, options, folder, fabric
        self.schema, self.draw = schema, draw
        self.processes = Processes(fabric)
        self.listener = Listeners(watcher, options.watch, say) if fabric.is_global_zero else Listeners(None, (), say)
        self.train = resident(dataset.splits["train"].modelled, fabric.device)
        valid = validation_rows(network, dataset)
        check_schedule(options, valid)
        self.validation = validation_of(network, dataset, options, fabric)
        self.usable = usable_rows(network, self.train)
        self.epochs = Epochs(self.usable, self.train.present[self.usable].all(1), options.sampling)
        self.batches = -(-self.epochs.size // options.batch_size)  # of an epoch
        self.step_batches = StepBatches(network, self.train, options, self.processes, fabric.device)
        self.steps = -(-self.batches // options.accumulate)
        for note in validation_notes(options, valid, options.epochs * self.steps):
            say(note)
        optimizer = new_optimizer(options.optimizer, network.parameters(), options.learning_rate, fabric.device)
        self.step_sizes = StepSizes(optimizer, options, self.steps)
        self.wrapped, self.optimizer = fabric.setup(network, optimizer)
        self.parameters = dict(network.named_parameters())
        self.average: MovingAverage | None = None
        self.best: dict[str, Tensor] | None = None  # the best weights so far
        self.best_written = False
        self.progress = Progress()
        self.saved: tuple[int, int] | None = None  # epoch and step of the checkpoint in the folder
        self.pace = Pace()
        self.begun = False
        self.history: list[dict[str, Any]] = []

    @property
    def candidate(self) -> Network:
        """The network that is validated, and whose weights may be kept: the average if there is one."""
        return self.network if self.average is None else self.average.network

    def run(self) -> TrainingOutcome:
        """Train to the last epoch, or until early stopping.

        Raises:
            UserError: the loss was not finite, and the message names the term and the step; or another process of the
                run has ended. The last checkpoint stays.
            KeyboardInterrupt: you pressed Ctrl-C. The checkpoint was written before.
        """
        options, progress = self.options, self.progress
        start = TrainingStart(
            folder=self.folder,
            schema=self.schema,
            epochs=options.epochs,
            done=progress.epoch,
            steps=self.steps,
            rows=self.epochs.size,
            done_steps=self._steps_done(),
            validation=options.validation_measure,
        )
        self.listener.begin(start)
        if not self.begun:
            self._begin()
        self.pace.restart()
        with self.processes.together(), deterministic(), interruptible() as interrupted:
            # If training stopped early in an epoch, that epoch has yet to end.
            while progress.epoch < options.epochs and (progress.step or not self._stopped_early()):
                self._epoch(interrupted)
                if self.processes.any(interrupted.is_set()):
                    self._save()
                    raise KeyboardInterrupt
        return self._outcome()

    # Outside of the steps.

    def _begin(self) -> None:
        """Let the network start from data. Only the main process does, and the others receive its weights."""
        changed = False
        if self.fabric.is_global_zero:
            before, after = learn(self.network, self.network.begin, self._training_batches("begin"), self.options.seed)
            changed = before != after
        self.begun = True
        changed = self.processes.any(changed)
        if changed:
            self.processes.spread(self.network)
        self._start_average()
        if changed:
            self._save()

    def _start_average(self) -> None:
        if self.options.ema is not None:
            self.average = MovingAverage(self.network, self.options.ema)

    def end(self) -> None:
        """Load the weights that training keeps, let the network end, and switch to evaluation mode.

        Call it after `run`, on every process; only the main one lets the network end, and then no other trains on.
        """
        load_weights(self.network, kept_weights(self.folder))
        self.network.eval()
        if self.fabric.is_global_zero:
            before, after = learn(self.network, self.network.end, self._training_batches("end"), self.options.seed)
            if self.options.calibrate and self.validation is not None:
                after = calibrate(self.network, self.validation, self.options.seed)
            write_end(self.folder, before, after)

    def _training_batches(self, what: str) -> TrainingBatches:
        seed = seed_for(f"{what} batches", self.options.seed)
        return TrainingBatches(self.train, self.usable, self.options.batch_size, seed, self.fabric.device)

    # One epoch.

    def _epoch(self, interrupted: threading.Event) -> None:
        progress = self.progress
        seed = seed_for("order", self.options.seed, progress.epoch)
        order = self.epochs.order(seed)
        tally = Tally(progress.sums)
        self.network.train()
        started = last_look = time.monotonic()
        before = progress.seconds + progress.overhead

        def settle() -> None:
            """Update the progress; raise if something was not finite."""
            self.listener.steps(tally.steps())
            self._check(tally)
            progress.sums = tally.totals()
            progress.seconds = before + time.monotonic() - started - progress.overhead

        while progress.step < self.steps and not self._stopped_early():
            self._step(order, tally)
            if self.options.validate_every is not None and self._steps_done() % self.options.validate_every == 0:
                settle()
                self._validate()
                self.network.train()
            now = time.monotonic()
            if not self._may_look(now - last_look, interrupted):
                continue
            last_look = now
            settle()
            rows = progress.rows or 1  # a process may have none of small batches
            means = {name: total / rows for name, total in progress.sums.items()}
            self.listener.look(progress.epoch + 1, progress.step, means)
            stopping = self.processes.any(interrupted.is_set())
            if self._save_is_due() or stopping:
                self._save()
            if stopping:
                raise KeyboardInterrupt
        settle()
        self._end_epoch()

    def _step(self, order: Tensor, tally: Tally) -> None:
        """One step of the optimiser, by the mean gradient over the rows of its batches."""
        progress, options = self.progress, self.options
        step, first = self._steps_done(), progress.step * options.accumulate
        rows = order[first * options.batch_size :][: options.accumulate * options.batch_size]
        parts = rows.split(options.batch_size)
        learns, beta = False, self._beta(step)
        facts = {"learning_rate": self.step_sizes.at(step, progress.scale), "beta": beta}
        for place, part in enumerate(parts):
            share, batch, arguments = self.step_batches.draw(part, progress.epoch * self.batches + first + place)
            with self.processes.apart(self.wrapped, place + 1 < len(parts)):
                loss, terms = self.wrapped(batch, beta, **arguments)
                if loss.requires_grad:
                    learns = True
                    weight = share.weight * len(part) / len(rows)
                    self.fabric.backward(loss if weight == 1 else loss * weight)
            tally.add(loss, terms, share.count, step, facts)
            progress.rows += share.count
        if learns:
            if options.gradient_clip is not None:
                # The tally finds and names values that are not finite.
                self.fabric.clip_gradients(
                    self.wrapped, self.optimizer, max_norm=options.gradient_clip, error_if_nonfinite=False
                )
            self.step_sizes.set(step, progress.scale)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
        if self.average is not None:
            self.average.update()
        progress.step += 1

    def _validate(self) -> None:
        """Measure the candidate, and keep its weights if they are the best so far."""
        progress, started = self.progress, time.monotonic()
        if self.validation is not None:
            # Statistics of normalisations may differ between processes, and all must come to the same decision.
            bound = self.processes.of_main(self.validation.measure(self.candidate))
            if not math.isfinite(bound):
                place = f"after epoch {progress.epoch + 1}"
                if self.options.validate_every is not None:
                    place = f"after step {self._steps_done():,}"
                fault = f"training stopped {place}: the {self.options.validation_measure} was not finite"
                raise UserError(f"{fault}; {self._checkpoint_text()}. {self._remedy()}")
            progress.validation = bound
            if self._steps_done() > self._warm_up_steps():
                self._select(bound)
        progress.overhead += time.monotonic() - started

    def _select(self, bound: float) -> None:
        progress, schedule = self.progress, self.options.schedule
        if progress.best is None or bound > progress.best:
            progress.best, progress.best_epoch, progress.worse = bound, progress.epoch + 1, 0
            progress.best_step = self._steps_done()
            self.best, self.best_written = copied(self.candidate), False
        else:
            progress.worse += 1
            progress.scale *= schedule.on_worse(progress.worse)

    def _end_epoch(self) -> None:
        progress = self.progress
        beta = self._beta(self._steps_done() - 1)
        if self.options.validate_every is None:
            self._validate()
        rows = self.processes.sums({"rows": progress.rows})["rows"]
        line = progress.end_epoch(self.processes.sums(progress.sums), rows)
        line |= {"beta": beta, "learning_rate": self.step_sizes.last}
        self.history.append(line)
        if self.fabric.is_global_zero:
            if len(self.history) == 1:  # there may be a file of a run that was killed before its first checkpoint
                write_history(self.folder, self.history)
            else:
                append_history(self.folder, line)
        if self._save_is_due():
            self._save()
        self.listener.epoch(line)
        self.candidate.eval()  # the next epoch begins in training mode
        self.listener.draw(progress.epoch, partial(self.draw, self.candidate))

    def _steps_done(self) -> int:
        """The number of complete steps since the start of training."""
        return self.progress.epoch * self.steps + self.progress.step

    def _warm_up_steps(self) -> int:
        """The number of steps in which the weight of the KL divergence rises."""
        return round(round(self.options.warm_up * self.steps, 6))  # also where a share comes out a little less

    def _beta(self, step: int) -> float:
        warmup = self._warm_up_steps()
        return self.options.beta * (min(1.0, step / warmup) if warmup else 1.0)

    def _may_look(self, seconds: float, interrupted: threading.Event) -> bool:
        """Whether to report progress now: by the clock, or by steps so that several processes do it together."""
        if self.fabric.world_size > 1:
            return self.progress.step % _LOOK_STEPS == 0
        return seconds > _LOOK_SECONDS or interrupted.is_set()

    def _stopped_early(self) -> bool:
        return self.options.early_stopping is not None and self.progress.worse >= self.options.early_stopping

    # Faults.

    def _check(self, tally: Tally) -> None:
        last_step = self._steps_done() - 1
        fault = tally.first_fault()
        if fault is None and (broken := broken_networks(self.network, self.parameters)):
            fault = last_step, broken
        if not self.processes.any(fault is not None):
            return
        step, names = fault or (last_step, ["the loss of another process"])
        raise UserError(
            f"training stopped at step {step + 1} (epoch {step // self.steps + 1}): {', '.join(names)} was not finite; "
            f"{self._checkpoint_text()}. {self._remedy()}"
        )

    def _remedy(self) -> str:
        """What to do about numbers that are not finite, and how to try the parts that plugins bring."""
        owners = [*self.network.units.values(), *([self.schema.model] if self.schema is not None else [])]
        parts = (part for owner in owners for _, part in owner.parts())
        tries = [
            f"; {kind} is a plugin's: `mmt plugins check {name}` tries it" for kind, name in of_plugins(parts).items()
        ]
        return _REMEDY + "".join(tries)

    def _checkpoint_text(self) -> str:
        if self.saved is None:
            return "there was no checkpoint yet"
        epoch, step = self.saved
        return f"the checkpoint of epoch {epoch}{f', step {step}' if step else ''} is kept"

    # The folder.

    def _save_is_due(self) -> bool:
        return self.processes.any(self.fabric.is_global_zero and self.pace.due())

    def _save(self) -> None:
        """Write the checkpoint, and then the best weights: what follows from the checkpoint is never newer."""
        started = time.monotonic()
        progress = asdict(self.progress)
        progress |= {
            "sums": self.processes.sums(self.progress.sums),
            **self.processes.sums({"rows": self.progress.rows}),
        }
        if self.fabric.is_global_zero:
            state = {"progress": progress, "history": self.history}
            average = None if self.average is None else self.average.network
            save_checkpoint(self.folder, self.network, self.optimizer, state, average, self.best)
            if self.best is not None and not self.best_written:
                write_weights(self.folder, self.best)
        self.saved, self.best_written = (self.progress.epoch, self.progress.step), True
        cost = time.monotonic() - started
        self.progress.overhead += cost
        self.pace.restart(cost)

    def resume(self) -> bool:
        """Continue from the folder's checkpoint; return False if there is none.

        Raises:
            UserError: the checkpoint is damaged.
        """
        state = load_checkpoint(self.folder, self.network, self.optimizer)
        if state is None:
            return False
        self.progress = progress = Progress(**state["progress"])  # its sums are those of all processes
        progress.sums = {name: total / self.processes.number for name, total in progress.sums.items()}
        progress.rows /= self.processes.number
        self.begun, self.saved = True, (self.progress.epoch, self.progress.step)
        self._start_average()
        if self.average is not None:
            load_average(self.folder, self.average, self._steps_done())
        if self.progress.best is not None:
            self.best = load_best(self.folder)
        self.history = state["history"]
        if self.fabric.is_global_zero:
            write_history(self.folder, self.history)
        return True

    def _outcome(self) -> TrainingOutcome:
        """How training ended. Save the last checkpoint, and the weights that training keeps: the best, or the last."""
        progress = self.progress
        if self.saved != (progress.epoch, progress.step):
            self._save()
        if self.fabric.is_global_zero:
            write_weights(self.folder, copied(self.candidate) if self.best is None else self.best)
        steps = self.options.validate_every is not None
        measure = self.options.validation_measure
        return progress.outcome(self._stopped_early(), self.validation is not None, steps, measure)
