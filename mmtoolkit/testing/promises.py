"""What the kit is made of: promises, sentences for those that are broken, and draws that are the same each time."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pydantic
import torch
from torch import Tensor, nn

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import error_with_class
from mmtoolkit.core.normalisation import guard_normalisation

T = TypeVar("T")
Check = Callable[[T], Iterator[str]]
"""A check of a subject gives a sentence for each fault: what was promised, what came, what to do. The first line of
its docstring is the promise."""


@dataclass(frozen=True)
class Outcome:
    """Whether a promise is kept.

    Attributes:
        promise: in words.
        faults: a sentence for each way in which it is broken; none where it is kept.
    """

    promise: str
    faults: tuple[str, ...]

    @property
    def beside_promise(self) -> tuple[str, ...]:
        """The faults as they read where the promise stands beside them."""
        return tuple(fault.removeprefix(f"{self.promise}; but ") for fault in self.faults)


def examined(subject: T, checks: Sequence[Check[T]], needed: Collection[Check[T]] = ()) -> Iterator[Outcome]:
    """The outcome of each check, run with draws of its own; what one raises is a fault of the component.

    Where a check that all later ones need finds a fault, it is the last: theirs would only tell of the same.

    Args:
        subject: what is tried.
        checks: in order.
        needed: those of them without which no later one says anything, beside the first.
    """
    for place, check in enumerate(checks):
        faults, finished = _faults(check, subject)
        yield Outcome(promise_of(check), tuple(dict.fromkeys(faults)))
        if (place == 0 and not finished) or (faults and check in needed):
            return


def promise_of(check: Check[Any]) -> str:
    """The promise that a check is about."""
    return (check.__doc__ or check.__name__).split("\n", 1)[0].rstrip(".")


def _faults(check: Check[T], subject: T) -> tuple[list[str], bool]:
    """The sentences of a check, and whether nothing was raised."""
    found: list[str] = []
    with torch.random.fork_rng(devices=()), _one_thread():
        torch.manual_seed(0)
        try:
            for fault in check(subject):
                found.append(fault)  # what was found before an error stays
        except Exception as error:
            return [*found, raised(error, promise_of(check))], False
    return found, True


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread inside: what is tried is so small that several wait for each other most of the time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def raised(error: BaseException, promise: str) -> str:
    """The sentence for what a component's code raised."""
    remedy = "hand validate_args=False to the distribution" if _VALIDATION.match(str(error)) else "mend it"
    return f"{promise}; but {_place(error)} raised {error_with_class(error)}; {remedy}"


def _place(error: BaseException) -> str:
    """Where in a component's code an error came from: the deepest line that is neither the kit's nor a library's."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(_OTHERS)]
    own = [frame for frame in own if not frame.filename.startswith(_CORE)] or own  # ours is called by the component's
    return f"{own[-1].name} ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else "it"


_VALIDATION = re.compile("Expected (parameter|value argument) ")  # torch.distributions, where it validates
_CORE = str(Path(__file__).parents[1])
_OTHERS = (
    str(Path(__file__).parent),
    *(str(Path(str(module.__file__)).parent) for module in (traceback, torch, pydantic)),
)


def assert_kept(outcomes: Iterable[Outcome]) -> None:
    """Raise one `AssertionError` with a line for each fault, where there is any."""
    told: dict[str, str] = {}  # what is raised in several checks is told once
    for fault in (fault for outcome in outcomes for fault in outcome.faults):
        told.setdefault(fault.partition("; but ")[2] or fault, fault)
    if told:
        raise AssertionError("\n".join(told.values()))


# Tensors.


def shape(x: Any) -> str:
    """The shape of a tensor in a sentence; what else came, where it is none."""
    return str(tuple(x.shape)) if isinstance(x, Tensor) else f"{type(x).__name__}"


def close(a: Tensor, b: Tensor, tolerance: float = 1e-4) -> bool:
    """Whether tensors are of one shape and equal up to rounding in float32."""
    return a.shape == b.shape and torch.allclose(a.double(), b.double(), rtol=tolerance, atol=tolerance, equal_nan=True)


def finite(x: Tensor) -> bool:
    """Whether every number is finite."""
    return bool(x.isfinite().all())


def double(x: Tensor) -> Tensor:
    """Floating-point numbers in float64; others as they are."""
    return x.double() if x.is_floating_point() else x


def networks_of(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """Networks with weights that follow from the seed, guarded as those of a model are, in evaluation mode."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        network = make()
    guard_normalisation(network)
    return network.eval()


def without_gradient(network: nn.Module, loss: Callable[[nn.Module], Tensor]) -> list[str]:
    """The parameters that get no gradient from a loss, or one that is zero throughout."""
    network.zero_grad()
    loss(network).backward()
    return [name for name, p in network.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]


def refusal(call: Callable[[], object]) -> str | None:
    """The text of the fault that a call raises; None where it raises nothing."""
    try:
        call()
    except UserError as error:
        return str(error)
    return None
