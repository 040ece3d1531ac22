"""Training: one loop over epochs and steps, exactly resumable."""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.files import replacing, write_text
from mmtoolkit.base.seeds import seed_for
from mmtoolkit.components import Network
from mmtoolkit.data.dataset import Dataset, Split
from mmtoolkit.schema.schema import Schema
from mmtoolkit.schema.train import TrainOptions
from mmtoolkit.training.checkpoint import has_checkpoint, load_checkpoint, save_checkpoint
from mmtoolkit.training.devices import seed_generators
from mmtoolkit.training.epochs import Epochs
from mmtoolkit.training.networks import usable_rows
from mmtoolkit.training.tally import Tally
from mmtoolkit.training.watcher import Silent, TrainingStart, Watcher
from mmtoolkit.training.weights import to_bytes

_REMEDY = "Lower train.learning_rate, set train.gradient_clip, or look for extreme values in the data"
_LOOK_SECONDS = 0.5
_LOOK_STEPS = 50
_CHECKPOINT_SECONDS = 300.0
_VALIDATION_ROWS = 1000


@dataclass
class Progress:
    """Where training stands: everything of a checkpoint but weights and optimiser."""

    epoch: int = 0
    """Epochs that are complete."""
    step: int = 0
    """Steps done in the epoch under way."""
    sums: dict[str, float] = field(default_factory=dict)
    """Of this epoch's loss and its parts, each times the rows of its step."""
    rows: int = 0
    seconds: float = 0.0
    best: float | None = None
    """The best validation bound so far, nats."""
    best_epoch: int | None = None
    worse: int = 0
    """Epochs since the best."""


@dataclass(frozen=True)
class TrainingOutcome:
    """How training ended.

    Attributes:
        epochs: how many are complete.
        kept_epoch: whose weights are kept, from 1.
        reason: why that one.
        bound: its validation bound, nats; None where there are no validation rows.
    """

    epochs: int
    kept_epoch: int
    reason: str
    bound: float | None


@contextmanager
def _deterministic() -> Iterator[None]:
    """Deterministic algorithms inside, whatever was set before outside."""
    before = torch.get_deterministic_debug_mode()  # off, warning or on
    fill = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)
        torch.utils.deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Lets the first Ctrl-C finish the step under way; the event says that it came. A second one stops at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def ask(number: int, frame: FrameType | None) -> None:
        asked.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


class Trainer:
    """Trains the networks of one run in its folder.

    Data order is a function of (seed, epoch), all other randomness of (seed, step, process), so a run that was
    killed goes on from its checkpoint to bit-identical weights, on the same machine with as many threads.

    Args:
        network: newly built.
        dataset: prepared; `train` is learned from, `valid` chooses the weights where it has rows.
        options: how to train.
        folder: where checkpoint/, history.jsonl and weights.safetensors go.
        fabric: launched; its precision, devices and strategy.
        watcher: watches training.
        schema: of the run, for the watcher.
    """

    def __init__(
        self,
        network: Network,
        dataset: Dataset,
        options: TrainOptions,
        folder: Path,
        fabric: Fabric,
        watcher: Watcher | None = None,
        schema: Schema | None = None,
    ) -> None:
        self.network, self.options, self.folder, self.fabric = network, options, folder, fabric
        self.schema = schema
        self.watcher: Watcher = watcher or Silent()
        self.train = self._resident(dataset.splits["train"])
        valid = dataset.splits.get("valid")
        self.valid = self._resident(valid) if valid is not None and network.usable(valid.present).any() else None
        usable = usable_rows(network, self.train)
        self.epochs = Epochs(usable, self.train.present[usable].all(1), options.sampling)
        self.share = -(-self.epochs.size // fabric.world_size)  # rows an epoch and a process
        self.steps = -(-self.share // options.batch_size)
        optimizer = torch.optim.Adam(network.parameters(), lr=options.learning_rate, fused=True)
        self.wrapped, self.optimizer = fabric.setup(network, optimizer)
        self.progress = Progress()
        self.history: list[dict[str, Any]] = []

    def _resident(self, split: Split) -> Split:
        """The split with its columns on the device where they take less than half of its free memory."""
        if self.fabric.device.type != "cuda":
            return split
        free, _ = torch.cuda.mem_get_info(self.fabric.device)
        return split.on(self.fabric.device) if split.nbytes < free / 2 else split

    def run(self) -> TrainingOutcome:
        """Train to the last epoch, or to where early stopping ends it.

        Raises:
            UserError: the loss was not finite; what and when is said, and the last good checkpoint stays.
            KeyboardInterrupt: Ctrl-C, after the checkpoint was written.
        """
        options = self.options
        start = TrainingStart(
            folder=self.folder,
            schema=self.schema,
            epochs=options.epochs,
            done=self.progress.epoch,
            steps=self.steps,
            rows=self.epochs.size,
        )
        self.watcher.begin(start)
        with _deterministic(), _interruptible() as interrupted:
            while self.progress.epoch < options.epochs and not self._stopped_early():
                self._epoch(interrupted)
                if self._any_process(interrupted.is_set()):
                    raise KeyboardInterrupt
        return self._outcome()

    # One epoch.

    def _epoch(self, interrupted: threading.Event) -> None:
        progress, options = self.progress, self.options
        order = self._order(progress.epoch)
        tally = Tally(progress.sums)
        self.network.train()
        begun = looked = saved = time.monotonic()
        before = progress.seconds

        def settle() -> None:
            """Bring progress up to date; stop where something was not finite."""
            self._check(tally)
            progress.sums = tally.totals()
            progress.seconds = before + time.monotonic() - begun

        while progress.step < self.steps:
            step = progress.epoch * self.steps + progress.step
            seed_generators(seed_for("step", options.seed, step, self.fabric.global_rank), self.fabric.device)
            chosen = order[progress.step * options.batch_size :][: options.batch_size]
            batch = self.train.batch(chosen, self.fabric.device, redraw=True)
            loss, parts = self.wrapped(batch, self._beta(step))
            if loss.requires_grad:
                self.fabric.backward(loss)
                if options.gradient_clip is not None:
                    # What is not finite is found and named by the tally.
                    self.fabric.clip_gradients(
                        self.wrapped, self.optimizer, max_norm=options.gradient_clip, error_if_nonfinite=False
                    )
                self.optimizer.step()
                self.optimizer.zero_grad(set_to_none=True)
            tally.add(loss, parts, len(chosen), step)
            progress.step += 1
            progress.rows += len(chosen)
            now = time.monotonic()
            if not self._may_look(now - looked, interrupted):
                continue
            looked = now
            settle()
            means = {name: total / progress.rows for name, total in progress.sums.items()}
            self.watcher.look(progress.epoch + 1, progress.step, means)
            stopping = self._any_process(interrupted.is_set())
            if self._any_process(now - saved > _CHECKPOINT_SECONDS) or stopping:
                saved = now
                self._save()
            if stopping:
                raise KeyboardInterrupt
        settle()
        self._end_epoch()

    def _end_epoch(self) -> None:
        progress = self.progress
        begun = time.monotonic()
        beta = self._beta((progress.epoch + 1) * self.steps - 1)
        bound = self._validate()
        if bound is not None and not math.isfinite(bound):
            ended = f"training stopped after epoch {progress.epoch + 1}: the validation bound was not finite"
            raise UserError(f"{ended}; {self._kept()}. {_REMEDY}")
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
        # What validation and checkpoint cost is known only now; the checkpoint does not hold it.
        line["overhead_seconds"] = round(time.monotonic() - begun, 3)
        self._write_history()
        self.watcher.epoch(line)

    def _order(self, epoch: int) -> Tensor:
        """This process's share of the rows in this epoch's order; shares are equal, filled up from the first rows."""
        order = self.epochs.order(seed_for("order", self.options.seed, epoch))
        world = self.fabric.world_size
        order = torch.cat([order, order[: self.share * world - len(order)]])
        return order[self.fabric.global_rank :: world]

    def _beta(self, step: int) -> float:
        warmup = self.options.warmup_epochs * self.steps
        return min(1.0, step / warmup) if warmup else 1.0

    def _may_look(self, seconds: float, interrupted: threading.Event) -> bool:
        """Whether to look now at how it goes: by the clock, or, so that several processes do it together, by steps."""
        if self.fabric.world_size > 1:
            return self.progress.step % _LOOK_STEPS == 0
        return seconds > _LOOK_SECONDS or interrupted.is_set()

    def _any_process(self, flag: bool) -> bool:
        """Whether the flag is set in any process; all of them ask together."""
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
        """The mean bound over the usable validation rows, with the same noise each epoch."""
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
        found = tally.first_fault()
        if found is None and (broken := self._broken_networks()):
            found = self.progress.epoch * self.steps + self.progress.step - 1, broken
        if not self._any_process(found is not None):
            return
        if found is None:
            found = self.progress.epoch * self.steps + self.progress.step - 1, ["the loss of another process"]
        step, names = found
        raise UserError(
            f"training stopped at step {step + 1} (epoch {step // self.steps + 1}): {', '.join(names)} was not finite; "
            f"{self._kept()}. {_REMEDY}"
        )

    def _kept(self) -> str:
        kept = has_checkpoint(self.folder)
        return f"the checkpoint of epoch {self.progress.epoch} is kept" if kept else "there was no checkpoint yet"

    def _broken_networks(self) -> list[str]:
        """The modalities whose networks hold numbers that are not finite."""
        parameters = dict(self.network.named_parameters())
        finite = torch.stack([p.isfinite().all() for p in parameters.values()]).tolist()
        networks = {"encoders": self.network.encoders.names, "decoders": self.network.decoders.names}
        broken = dict.fromkeys(name for name, sound in zip(parameters, finite, strict=True) if not sound)
        found: dict[str, None] = {}
        for name in broken:
            part, place, *_ = [*name.split("."), ""]
            found[f"the networks of {networks[part][int(place)]}" if part in networks else name] = None
        return list(found)

    # The folder.

    def _save_weights(self) -> None:
        if self.fabric.is_global_zero:
            with replacing(self.folder / "weights.safetensors") as new:
                new.write_bytes(to_bytes(self.network))

    def _save(self) -> None:
        # Every process goes on from the mean of their sums: added up when the epoch ends, that is their sum again.
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
        """Go on from the folder's checkpoint; False where there is none.

        Raises:
            UserError: the checkpoint is damaged.
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
        self.history = state["history"]
        self._write_history()
        return True

    def _outcome(self) -> TrainingOutcome:
        """Keep the best weights, or the last where none could be chosen, and say which."""
        progress = self.progress
        if progress.best_epoch is not None:
            ended = f"early stopping ended training after epoch {progress.epoch}, " if self._stopped_early() else ""
            reason = f"{ended}epoch {progress.best_epoch} has the best validation bound"
            return TrainingOutcome(progress.epoch, progress.best_epoch, reason, progress.best)
        self._save_weights()
        why = "no validation row chooses another" if self.valid is None else "the warm-up lasts to the end"
        bound = self.history[-1]["validation"] if self.history else None
        return TrainingOutcome(progress.epoch, progress.epoch, f"the last epoch is kept, since {why}", bound)
