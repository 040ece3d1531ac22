"""The training loop over epochs and steps, with checkpoints for an exact resume."""

from __future__ import annotations

import json
import math
import threading
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.files import replacing, write_text
from mmtoolkit.base.seeds import seed_for
from mmtoolkit.components import Network, Picture
from mmtoolkit.components.watcher import BasicListener, RunSchema, TrainingStart
from mmtoolkit.data.dataset import Dataset, Split
from mmtoolkit.schema.train import TrainOptions
from mmtoolkit.training.beginning import TrainingBatches, learn
from mmtoolkit.training.checkpoint import has_checkpoint, load_checkpoint, save_checkpoint
from mmtoolkit.training.contexts import deterministic, interruptible
from mmtoolkit.training.devices import seed_generators
from mmtoolkit.training.epochs import Epochs
from mmtoolkit.training.listeners import Listeners
from mmtoolkit.training.networks import usable_rows
from mmtoolkit.training.progress import Progress, TrainingOutcome
from mmtoolkit.training.tally import Tally
from mmtoolkit.training.weights import KEPT, WEIGHTS, load_weights, to_bytes

_REMEDY = "Lower train.learning_rate, set train.gradient_clip, or look for extreme values in the data"
_LOOK_SECONDS = 0.5
_LOOK_STEPS = 50
_CHECKPOINT_SECONDS = 300.0
_VALIDATION_ROWS = 1000


class Trainer:
    """Trains the networks of one run in its folder.

    The order of the data depends only on (seed, epoch), and all other randomness on (seed, step, process). A run that
    was killed therefore resumes from its checkpoint to bit-identical weights, on the same machine with the same number
    of threads.

    Args:
        network: the networks, as `build` returns them.
        dataset: the prepared data. Training uses the split `train`; rows of `valid` select the best weights.
        options: how to train.
        folder: the folder for checkpoint/, history.jsonl and weights.safetensors.
        fabric: a launched Fabric, with precision, devices and strategy.
        watcher: receives the progress of training, besides the watchers of `options.watch`. By default nobody.
        schema: the schema of the run, for the watchers.
        say: receives a line about a watcher that fails.
        draw: draws the pictures that a watcher wants in training, by the weights as they are; by default there are
            none. The network is in evaluation mode.
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
        draw: Callable[[], Iterable[Picture]] = tuple,
    ) -> None:
        self.network, self.options, self.folder, self.fabric = network, options, folder, fabric
        self.schema, self.draw = schema, draw
        self.listener = Listeners(watcher, options.watch, say) if fabric.is_global_zero else Listeners(None, (), say)
        self.train = self._resident(dataset.splits["train"].modelled)
        valid = dataset.splits["valid"].modelled if "valid" in dataset.splits else None
        self.valid = self._resident(valid) if valid is not None and network.usable(valid.present).any() else None
        self.usable = usable_rows(network, self.train)
        self.epochs = Epochs(self.usable, self.train.present[self.usable].all(1), options.sampling)
        self.share = -(-self.epochs.size // fabric.world_size)  # rows per epoch and process
        self.steps = -(-self.share // options.batch_size)
        optimizer = torch.optim.Adam(network.parameters(), lr=options.learning_rate, fused=True)
        self.wrapped, self.optimizer = fabric.setup(network, optimizer)
        self.progress = Progress()
        self.begun = False
        self.history: list[dict[str, Any]] = []

    def _resident(self, split: Split) -> Split:
        """The split, with its columns on the GPU if they fit into half of its free memory."""
        if self.fabric.device.type != "cuda":
            return split
        free, _ = torch.cuda.mem_get_info(self.fabric.device)
        return split.on(self.fabric.device) if split.nbytes < free / 2 else split

    def run(self) -> TrainingOutcome:
        """Train to the last epoch, or until early stopping.

        Raises:
            UserError: the loss was not finite. The message names the term and the step; the last checkpoint stays.
            KeyboardInterrupt: you pressed Ctrl-C. The checkpoint was written before.
        """
        options = self.options
        start = TrainingStart(
            folder=self.folder,
            schema=self.schema,
            epochs=options.epochs,
            done=self.progress.epoch,
            steps=self.steps,
            rows=self.epochs.size,
            done_steps=self.progress.epoch * self.steps + self.progress.step,
        )
        self.listener.begin(start)
        if not self.begun:
            self._begin()
        with deterministic(), interruptible() as interrupted:
            while self.progress.epoch < options.epochs and not self._stopped_early():
                self._epoch(interrupted)
                if self._any_process(interrupted.is_set()):
                    raise KeyboardInterrupt
        return self._outcome()

    # Outside of the steps.

    def _begin(self) -> None:
        """Let the network start from data. Only the main process does, and the others receive its weights."""
        changed = False
        if self.fabric.is_global_zero:
            before, after = learn(self.network, self.network.begin, self._batches("begin"), self.options.seed)
            changed = before != after
        self.begun = True
        if not self._any_process(changed):
            return
        if self.fabric.world_size > 1:
            for tensor in chain(self.network.parameters(), self.network.buffers()):
                torch.distributed.broadcast(tensor.detach(), src=0)
        self._save()

    def end(self) -> None:
        """Load the weights that training keeps, let the network end, and switch to evaluation mode.

        Call it after `run`, on every process; only the main one lets the network end, and then no other trains on.
        """
        kept, weights = self.folder / KEPT, self.folder / WEIGHTS
        load_weights(self.network, kept if kept.exists() else weights)
        self.network.eval()
        if not self.fabric.is_global_zero:
            return
        before, after = learn(self.network, self.network.end, self._batches("end"), self.options.seed)
        if before != after or kept.exists():
            for path, content in ((kept, before), (weights, after)):  # in this order: a kill between loses nothing
                with replacing(path) as new:
                    new.write_bytes(content)

    def _batches(self, what: str) -> TrainingBatches:
        seed = seed_for(f"{what} batches", self.options.seed)
        return TrainingBatches(self.train, self.usable, self.options.batch_size, seed, self.fabric.device)

    # One epoch.

    def _epoch(self, interrupted: threading.Event) -> None:
        progress, options = self.progress, self.options
        order = self._order(progress.epoch)
        tally = Tally(progress.sums)
        self.network.train()
        started = last_look = last_save = time.monotonic()
        before = progress.seconds

        def settle() -> None:
            """Update the progress; raise if something was not finite."""
            self.listener.steps(tally.steps())
            self._check(tally)
            progress.sums = tally.totals()
            progress.seconds = before + time.monotonic() - started

        while progress.step < self.steps:
            step = progress.epoch * self.steps + progress.step
            seed_generators(seed_for("step", options.seed, step, self.fabric.global_rank), self.fabric.device)
            rows = order[progress.step * options.batch_size :][: options.batch_size]
            batch = self.train.batch(rows, self.fabric.device, redraw=True)
            beta = self._beta(step)
            loss, parts = self.wrapped(batch, beta)
            if loss.requires_grad:
                self.fabric.backward(loss)
                if options.gradient_clip is not None:
                    # The tally finds and names values that are not finite.
                    self.fabric.clip_gradients(
                        self.wrapped, self.optimizer, max_norm=options.gradient_clip, error_if_nonfinite=False
                    )
                self.optimizer.step()
                self.optimizer.zero_grad(set_to_none=True)
            facts = {"learning_rate": self.options.learning_rate, "beta": beta}
            tally.add(loss, parts, len(rows), step, facts)
            progress.step += 1
            progress.rows += len(rows)
            now = time.monotonic()
            if not self._may_look(now - last_look, interrupted):
                continue
            last_look = now
            settle()
            means = {name: total / progress.rows for name, total in progress.sums.items()}
            self.listener.look(progress.epoch + 1, progress.step, means)
            stopping = self._any_process(interrupted.is_set())
            if self._any_process(now - last_save > _CHECKPOINT_SECONDS) or stopping:
                last_save = now
                self._save()
            if stopping:
                raise KeyboardInterrupt
        settle()
        self._end_epoch()

    def _end_epoch(self) -> None:
        progress = self.progress
        started = time.monotonic()
        beta = self._beta((progress.epoch + 1) * self.steps - 1)
        bound = self._validate()
        if bound is not None and not math.isfinite(bound):
            fault = f"training stopped after epoch {progress.epoch + 1}: the validation bound was not finite"
            raise UserError(f"{fault}; {self._checkpoint_text()}. {_REMEDY}")
        progress.epoch, progress.step = progress.epoch + 1, 0
        if bound is not None and progress.epoch > self.options.warmup_epochs:
            if progress.best is None or bound > progress.best:
                progress.best, progress.best_epoch, progress.worse = bound, progress.epoch, 0
                self._save_weights()
            else:
                progress.worse += 1
        sums = self._over_processes(progress.sums)
        rows = progress.rows * self.fabric.world_size
        means = {name: total / rows for name, total in sums.items()}
        line = {
            "epoch": progress.epoch,
            "loss": means.pop("loss"),
            "terms": means,
            "beta": beta,
            "validation": bound,
            "seconds": round(progress.seconds, 3),
            "rows_per_second": round(rows / max(progress.seconds, 1e-9), 1),
        }
        progress.sums, progress.rows, progress.seconds = {}, 0, 0.0
        self.history.append(line)
        self._save()
        # The time of validation and checkpoint, known only now; the checkpoint lacks it.
        line["overhead_seconds"] = round(time.monotonic() - started, 3)
        self._write_history()
        self.listener.epoch(line)
        self.network.eval()  # the next epoch begins in training mode
        self.listener.draw(progress.epoch, self.draw)

    def _order(self, epoch: int) -> Tensor:
        """This process's share of the epoch's rows, in order. The first rows repeat if needed to make shares equal."""
        order = self.epochs.order(seed_for("order", self.options.seed, epoch))
        world = self.fabric.world_size
        order = torch.cat([order, order[: self.share * world - len(order)]])
        return order[self.fabric.global_rank :: world]

    def _beta(self, step: int) -> float:
        warmup = self.options.warmup_epochs * self.steps
        return self.options.beta * (min(1.0, step / warmup) if warmup else 1.0)

    def _may_look(self, seconds: float, interrupted: threading.Event) -> bool:
        """Whether to report progress now: by the clock, or by steps so that several processes do it together."""
        if self.fabric.world_size > 1:
            return self.progress.step % _LOOK_STEPS == 0
        return seconds > _LOOK_SECONDS or interrupted.is_set()

    def _any_process(self, flag: bool) -> bool:
        """Whether the flag is set in any process. All processes must call this together."""
        if self.fabric.world_size == 1:
            return flag
        return self._over_processes({"flag": float(flag)})["flag"] > 0

    def _over_processes(self, sums: dict[str, float]) -> dict[str, float]:
        if self.fabric.world_size == 1 or not sums:
            return sums
        total = self.fabric.all_reduce(torch.tensor(list(sums.values()), dtype=torch.float64), reduce_op="sum")
        assert isinstance(total, Tensor)
        return dict(zip(sums, total.tolist(), strict=True))

    @torch.no_grad()
    def _validate(self) -> float | None:
        """The mean bound of the usable validation rows, with the same noise in each epoch."""
        if self.valid is None:
            return None
        self.network.eval()
        device = self.fabric.device
        generator = torch.Generator(device).manual_seed(seed_for("validation", self.options.seed))
        total = torch.zeros((), dtype=torch.float64, device=device)
        for batch in self.valid.batches(_VALIDATION_ROWS, device):
            noise = torch.randn(batch.size, self.network.latent_dim, generator=generator, device=device)
            with self.fabric.autocast():
                bound = self.network.bound(batch, noise)
            total += bound[self.network.usable(batch.present).to(device)].double().sum()
        return float(total) / int(self.network.usable(self.valid.present).sum())

    def _stopped_early(self) -> bool:
        return self.options.early_stopping is not None and self.progress.worse >= self.options.early_stopping

    # Faults.

    def _check(self, tally: Tally) -> None:
        last_step = self.progress.epoch * self.steps + self.progress.step - 1
        fault = tally.first_fault()
        if fault is None and (broken := self._broken_networks()):
            fault = last_step, broken
        if not self._any_process(fault is not None):
            return
        step, names = fault or (last_step, ["the loss of another process"])
        raise UserError(
            f"training stopped at step {step + 1} (epoch {step // self.steps + 1}): {', '.join(names)} was not finite; "
            f"{self._checkpoint_text()}. {_REMEDY}"
        )

    def _checkpoint_text(self) -> str:
        if has_checkpoint(self.folder):
            return f"the checkpoint of epoch {self.progress.epoch} is kept"
        return "there was no checkpoint yet"

    def _broken_networks(self) -> list[str]:
        """The networks with weights that are not finite, named by their modality."""
        parameters = dict(self.network.named_parameters())
        finite = torch.stack([p.isfinite().all() for p in parameters.values()]).tolist()
        networks = {"encoders": self.network.encoders.names, "decoders": self.network.decoders.names}
        broken = [name for name, is_finite in zip(parameters, finite, strict=True) if not is_finite]
        texts: dict[str, None] = {}
        for name in broken:
            part, place, *_ = [*name.split("."), ""]
            texts[f"the networks of {networks[part][int(place)]}" if part in networks else name] = None
        return list(texts)

    # The folder.

    def _save_weights(self) -> None:
        if self.fabric.is_global_zero:
            with replacing(self.folder / WEIGHTS) as new:
                new.write_bytes(to_bytes(self.network))
            (self.folder / KEPT).unlink(missing_ok=True)  # those of an earlier end

    def _save(self) -> None:
        # Each process resumes from the mean of the processes' sums. At the end of the epoch these add up to the sum.
        world = self.fabric.world_size
        sums = {name: total / world for name, total in self._over_processes(self.progress.sums).items()}
        if self.fabric.is_global_zero:
            state = {"progress": {**asdict(self.progress), "sums": sums}, "history": self.history, "processes": world}
            save_checkpoint(self.folder, self.network, self.optimizer, state)

    def _write_history(self) -> None:
        if self.fabric.is_global_zero:
            lines = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in self.history)
            write_text(self.folder / "history.jsonl", lines)

    def resume(self) -> bool:
        """Continue from the folder's checkpoint; return False if there is none.

        Raises:
            UserError: the checkpoint is damaged, or another number of processes wrote it.
        """
        state = load_checkpoint(self.folder, self.network, self.optimizer)
        if state is None:
            return False
        if state["processes"] != self.fabric.world_size:
            raise UserError(
                f"{self.folder}: was written by {state['processes']} processes, not {self.fabric.world_size}; "
                f"give --devices {state['processes']}"
            )
        self.progress = Progress(**state["progress"])
        self.begun = True
        self.history = state["history"]
        self._write_history()
        return True

    def _outcome(self) -> TrainingOutcome:
        """How training ended. The best weights are saved already; if there are none, save the last."""
        progress = self.progress
        if progress.best_epoch is not None:
            stop = f"early stopping ended training after epoch {progress.epoch}, " if self._stopped_early() else ""
            reason = f"{stop}epoch {progress.best_epoch} has the best validation bound"
            return TrainingOutcome(progress.epoch, progress.best_epoch, reason, progress.best)
        self._save_weights()
        cause = "there are no usable validation rows" if self.valid is None else "the warm-up lasts to the end"
        bound = self.history[-1]["validation"] if self.history else None
        return TrainingOutcome(progress.epoch, progress.epoch, f"the last epoch is kept, since {cause}", bound)
