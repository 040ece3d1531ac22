"""A watcher that writes a line for each epoch into a file of the run folder."""

from typing import Any, Literal

from mmtoolkit import Listener, TrainingStart, Watcher, hookimpl


class Diary(Watcher):
    """Writes the loss of each epoch, in nats, into a file of the run folder."""

    kind: Literal["diary"] = "diary"

    file: str = "diary.txt"
    """The name of the file."""

    def build(self) -> Listener:
        """A writer of the file."""
        return DiaryWriter(self.file)


class DiaryWriter(Listener):
    """Adds a line after each epoch."""

    def __init__(self, file: str) -> None:
        self.file = file

    def begin(self, start: TrainingStart) -> None:
        """Keep the lines of the epochs that are done."""
        self.path = start.folder / self.file
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        self.path.write_text("".join(f"{line}\n" for line in lines[: start.done]))

    def epoch(self, line: dict[str, Any]) -> None:
        """Add a line."""
        with self.path.open("a") as file:
            file.write(f"epoch {line['epoch']}: {line['loss']:.2f}\n")


@hookimpl
def mmt_components() -> list[type[Watcher]]:
    """The watcher."""
    return [Diary]
