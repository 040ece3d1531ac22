"""Passes on what happens in a run to its listeners: the caller's, and those of `train.watch`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import error_with_class
from mmtoolkit.components import Picture
from mmtoolkit.components.watcher import BasicListener, Listener, RunEnd, TrainingStart, Watcher


class Listeners(Listener):
    """Several listeners as one.

    Args:
        listener: the caller's own. What it raises reaches the caller.
        watchers: those of `train.watch`. One that cannot begin stops the run. One that fails later does not: weights
            are worth more than a record of them.
        say: receives a line about each watcher that fails.

    Raises:
        UserError: a watcher cannot be built.
    """

    def __init__(self, listener: BasicListener | None, watchers: Sequence[Watcher], say: Callable[[str], None]) -> None:
        watched = [_Watched(watcher, place, say) for place, watcher in enumerate(watchers)]
        # The caller's own is the last, since what it raises is raised here. Besides, a watcher that is slow to begin
        # then delays no progress bar.
        self.all: list[Listener] = [*watched, _completed(listener)]
        self.say = say

    def begin(self, start: TrainingStart) -> None:
        """Pass it on."""
        for listener in self.all:
            listener.begin(start)

    def look(self, epoch: int, step: int, means: dict[str, float]) -> None:
        """Pass it on."""
        for listener in self.all:
            listener.look(epoch, step, means)

    def steps(self, steps: Mapping[int, Mapping[str, float]]) -> None:
        """Pass it on, if there is a step."""
        for listener in self.all if steps else ():
            listener.steps(steps)

    def epoch(self, line: dict[str, Any]) -> None:
        """Pass it on."""
        for listener in self.all:
            listener.epoch(line)

    def draw(self, epoch: int, draw: Callable[[], Iterable[Picture]]) -> None:
        """Draw pictures for the listeners that want some after this epoch; if drawing fails, say so."""
        wanting = [listener for listener in self.all if listener.wants_pictures(epoch)]
        if not wanting:
            return
        try:
            pictures = list(draw())
        except Exception as error:
            self.say(f"the pictures after epoch {epoch} cannot be drawn: {error_with_class(error)}; the run goes on")
            return
        for picture in pictures:
            for listener in wanting:
                listener.picture(picture)

    def picture(self, picture: Picture) -> None:
        """Pass it on."""
        for listener in self.all:
            listener.picture(picture)

    def end(self, end: RunEnd) -> None:
        """Pass it on."""
        for listener in self.all:
            listener.end(end)


def check_watchers(watchers: Sequence[Watcher]) -> None:
    """Raise what stops a watcher from being built, such as a package that is not installed, before any work."""
    Listeners(None, watchers, lambda line: None)


class _Watched(Listener):
    """The listener of an entry of `train.watch`.

    If it raises in the course of the run, it hears nothing more but the end, at which it can close what it opened.
    """

    def __init__(self, watcher: Watcher, place: int, say: Callable[[str], None]) -> None:
        self.name, self.say = f"train.watch.{place} ({watcher.kind})", say
        self.begun = self.failed = False
        try:
            self.listener = _completed(watcher.build())
        except Exception as error:
            raise self._fault(error, "cannot be built") from error

    def begin(self, start: TrainingStart) -> None:
        try:
            self.listener.begin(start)
        except Exception as error:
            raise self._fault(error, "cannot begin") from error
        self.begun = True

    def look(self, epoch: int, step: int, means: dict[str, float]) -> None:
        self._try("look", lambda: self.listener.look(epoch, step, dict(means)))

    def steps(self, steps: Mapping[int, Mapping[str, float]]) -> None:
        self._try("steps", lambda: self.listener.steps(steps))

    def epoch(self, line: dict[str, Any]) -> None:
        self._try("epoch", lambda: self.listener.epoch(line))

    def wants_pictures(self, epoch: int) -> bool:
        answers: list[bool] = []
        self._try("wants_pictures", lambda: answers.append(self.listener.wants_pictures(epoch)))
        return any(answers)

    def picture(self, picture: Picture) -> None:
        self._try("picture", lambda: self.listener.picture(picture))

    def end(self, end: RunEnd) -> None:
        if self.failed:
            with suppress(Exception):  # it was reported
                self.listener.end(end)
        elif self.begun:
            self._try("end", lambda: self.listener.end(end))

    def _try(self, event: str, call: Callable[[], None]) -> None:
        if self.failed:
            return
        try:
            call()
        except Exception as error:
            self.failed = True
            self.say(
                f"{self.name}: its {event} failed: {error_with_class(error)}; the run goes on, and this watcher hears "
                "no more of it"
            )

    def _fault(self, error: Exception, what: str) -> UserError:
        if isinstance(error, UserError):
            return UserError([f"{self.name}: {fault}" for fault in error.faults])
        return UserError(f"{self.name}: {what}: {error_with_class(error)}; mend it, or take it out of train.watch")


class _Basic(Listener):
    """An object with the three methods of 0.1."""

    def __init__(self, listener: BasicListener) -> None:
        self.listener = listener

    def begin(self, start: TrainingStart) -> None:
        self.listener.begin(start)

    def look(self, epoch: int, step: int, means: dict[str, float]) -> None:
        self.listener.look(epoch, step, means)

    def epoch(self, line: dict[str, Any]) -> None:
        self.listener.epoch(line)


def _completed(listener: BasicListener | None) -> Listener:
    """A listener with all methods."""
    if listener is None:
        return Listener()
    return listener if isinstance(listener, Listener) else _Basic(listener)
