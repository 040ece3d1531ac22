"""Weights & Biases."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Mapping
from typing import Literal, Self

from pydantic import PositiveInt

from mmtoolkit.base.errors import UserError
from mmtoolkit.components.picture import Picture
from mmtoolkit.components.watcher import Listener, RunEnd, TrainingStart, Watcher
from mmtoolkit.watchers.tracker import Bookmark, Tracker, image, options, require

_STEP = "trainer/global_step"  # the logger's name of the step
_INTERRUPTED = 255  # wandb's own exit code of a run that Ctrl-C stopped


class WandB(Watcher):
    """Logs to Weights & Biases.

    Log in once with `wandb login`, or use it offline and send the run later with `wandb sync`. It needs wandb and
    pytorch-lightning: `pip install 'mmtoolkit[log]'`.
    """

    kind: Literal["wandb"] = "wandb"

    project: str = "mmtoolkit"
    """The project that the run belongs to."""
    entity: str | None = None
    """The user or team that the project belongs to. By default your own default in Weights & Biases."""
    name: str | None = None
    """The name of the run. By default that of the run folder."""
    offline: bool = False
    """Whether to write into `wandb` in the run folder only. The environment variable WANDB_MODE=offline does the
    same."""
    figures_every: PositiveInt | None = None
    """Samples and reconstructions are drawn after every so many epochs. By default pictures come after training
    only."""

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """One that needs no account."""
        return (cls(offline=True),)

    def build(self) -> Listener:
        """A client of the service.

        Raises:
            UserError: a package is not installed.
        """
        require({"wandb": "wandb", "pytorch_lightning": "pytorch-lightning"})
        return Client(self)


class Client(Tracker):
    """Logs with the logger of pytorch-lightning.

    Args:
        options: of the watcher.
    """

    def __init__(self, options: WandB) -> None:
        super().__init__(options.figures_every)
        self.options = options

    def open(self, start: TrainingStart) -> None:
        """Begin a run in the service, or go on with the one that an earlier process began."""
        import wandb  # these take seconds to import
        from pytorch_lightning.loggers.wandb import WandbLogger

        chosen = self.options
        offline = chosen.offline or os.environ.get("WANDB_MODE") in ("offline", "dryrun", "disabled")
        if not offline and not wandb.login(prompt=False, verify=False):
            raise UserError(
                "nobody is logged in to Weights & Biases; log in with `wandb login`, or set `offline: true`, or the "
                "environment variable WANDB_MODE=offline"
            )
        mark = Bookmark(start.folder / "wandb.json", f"{chosen.entity or ''}/{chosen.project}")
        mark.id = mark.id or secrets.token_hex(4)
        unfinished = wandb.setup().most_recent_active_run
        if unfinished is not None and unfinished.id == mark.id:  # a `Trainer` alone left it open in this process
            unfinished.finish()
        # The logger can begin a run too, but it sets WANDB_MODE for the whole process, joins a run of the caller's,
        # and prints a warning.
        self.run = wandb.init(
            id=mark.id,
            project=chosen.project,
            entity=chosen.entity,
            name=chosen.name or start.folder.resolve().name,
            dir=start.folder,
            mode="offline" if chosen.offline else None,
            resume=None if offline else "allow",
            reinit="create_new",
            settings=wandb.Settings(silent=True, console="off"),
        )
        self.run.define_metric(_STEP)
        self.run.define_metric("*", step_metric=_STEP, step_sync=True)
        self.logger = WandbLogger(experiment=self.run)
        self.logger.log_hyperparams(options(start.schema))
        mark.save()
        self.logged = mark

    def log(self, values: Mapping[int, Mapping[str, float]]) -> None:
        """Log values."""
        for step, numbers in values.items():
            self.logger.log_metrics(numbers, step)

    def draw(self, picture: Picture, step: int) -> None:
        """Log an image with the picture's title."""
        self.logger.log_image(f"figures/{picture.name}", [image(picture)], step, caption=[picture.title])

    def close(self, end: RunEnd) -> None:
        """Log how the run ended, and wait until everything is sent."""
        self.run.finish(exit_code=0 if end.fault is None else _INTERRUPTED if end.interrupted else 1)
