"""The parts of every check: promises, sentences for broken ones, and random draws that repeat."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import pydantic
import torch
from torch import Tensor, nn

from mmtoolkit.base.errors import UserError
from mmtoolkit.base.words import error_with_class, listing
from mmtoolkit.components import Component
from mmtoolkit.components.plugins import Plugins
from mmtoolkit.core.normalisation import guard_normalisation
from mmtoolkit.training.compute import applied, current_compute

T = TypeVar("T")
C = TypeVar("C", bound=Component)
Check = Callable[[T], Iterator[str]]
"""Yields a sentence for each fault of a subject: the promise, the result, the remedy. The first line of a check's
docstring is its promise."""


@dataclass(frozen=True)
class Outcome:
    """Whether a component keeps a promise.

    Attributes:
        promise: in words.
        faults: a sentence for each way in which the component breaks it; empty if it keeps it.
    """

    promise: str
    faults: tuple[str, ...]

    @property
    def beside_promise(self) -> tuple[str, ...]:
        """The faults without the promise, to be printed below it."""
        return tuple(fault.removeprefix(f"{self.promise}; but ") for fault in self.faults)


def run_checks(subject: T, checks: Sequence[Check[T]], required: Collection[Check[T]] = ()) -> Iterator[Outcome]:
    """Yield the outcome of each check. Each check has its own random draws; an error raised in one is a fault.

    Checks that depend on a failed one are skipped: nothing follows a required check with a fault.

    Args:
        subject: the component to check.
        checks: in order.
        required: the checks that all later ones depend on. All depend on the first one finishing.
    """
    for place, check in enumerate(checks):
        faults, finished = _faults(check, subject)
        yield Outcome(promise_of(check), tuple(_once_for_all_forms(dict.fromkeys(faults))))
        if (place == 0 and not finished) or (faults and check in required):
            return


def _once_for_all_forms(faults: Iterable[str]) -> Iterator[str]:
    """The sentences, those that differ in the form alone as one, with the number of the other forms."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for fault in faults:
        place = _OF_FORM.match(fault)
        key = (place["method"], place["options"], fault[place.end() :]) if place else (fault,)
        alike.setdefault(key, []).append(fault)
    for (first, *others), text in zip(alike.values(), (key[-1] for key in alike), strict=True):
        more = f"{len(others)} more form{'s' if others[1:] else ''}"
        yield f"{first.removesuffix(text).removesuffix(': ')} and {more}: {text}" if others else first


_OF_FORM = re.compile(r"(?P<method>\w+)\([A-Z]\w*\(.*?\)(?P<options>(, [^()]*)?)\): ")  # such as `head(Numbers(2)): `


def promise_of(check: Check[Any]) -> str:
    """The promise that a check tests."""
    return (check.__doc__ or check.__name__).split("\n", 1)[0].rstrip(".")


def _faults(check: Check[T], subject: T) -> tuple[list[str], bool]:
    """The sentences of a check, and whether it finished without an error."""
    faults: list[str] = []
    # The networks are so small that several threads mostly wait for each other.
    with torch.random.fork_rng(devices=()), applied(replace(current_compute(), threads=1)):
        torch.manual_seed(0)
        try:
            for fault in check(subject):
                faults.append(fault)  # an error later must not lose it
        except Exception as error:
            return [*faults, error_fault(error, promise_of(check))], False
    return faults, True


def error_fault(error: BaseException, promise: str) -> str:
    """The sentence for an error that a component's code raised."""
    remedy = next((remedy for pattern, remedy in _REMEDIES if pattern.search(str(error))), "fix it")
    return f"{promise}; but {raised(error)}; {remedy}"


def raised(error: BaseException) -> str:
    """Where a component's code raised an error, and which."""
    return f"{_place(error)} raised {error_with_class(error)}"


def _place(error: BaseException) -> str:
    """The place of an error in a component's code: the deepest line outside the kit and the libraries."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(_OTHERS)]
    own = [frame for frame in own if not frame.filename.startswith(_CORE)] or own  # the component calls the core
    return f"{own[-1].name} ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else "it"


_REMEDIES = (
    # torch.distributions, if it validates
    (re.compile("^Expected (parameter|value argument) "), "pass validate_args=False to the distribution"),
    (
        re.compile(r"forward\(\) takes 2 positional arguments but 3 were given"),
        "with extra > 0 an encoder takes (x, condition)",
    ),
    # pydantic, where __init__ sets an attribute
    (re.compile("Instance is frozen"), "a component holds options only; make modules in head, encoder or build"),
)
_CORE = str(Path(__file__).parents[1])
_OTHERS = (
    str(Path(__file__).parent),
    *(str(Path(str(module.__file__)).parent) for module in (traceback, torch, pydantic)),
)


def assert_no_faults(outcomes: Iterable[Outcome]) -> None:
    """Raise one `AssertionError` with a line for each fault, if there is any."""
    lines: dict[str, str] = {}  # one line for an error that several checks raise
    for fault in (fault for outcome in outcomes for fault in outcome.faults):
        lines.setdefault(fault.partition("; but ")[2] or fault, fault)
    if lines:
        raise AssertionError("\n".join(lines.values()))


# Options.


def read_back(component: C) -> C:
    """The component that its options give as JSON, with the classes of its own parts."""
    plugins = Plugins({(part.family, part.kind): type(part) for _, part in component.parts()})
    return type(component).model_validate_json(component.model_dump_json(), context={"plugins": plugins})


def round_trip(component: Component, when: str = "") -> Iterator[str]:
    """A sentence if a component's options change on their way to JSON and back."""
    again = read_back(component)
    if again != component:
        changed = [name for name in type(component).model_fields if getattr(again, name) != getattr(component, name)]
        yield (
            f"options: model_validate_json(model_dump_json()) must return the same options{' ' if when else ''}{when}, "
            f"but {', '.join(changed)} changed; give them types that JSON holds, or a serialiser"
        )


# Tensors.


def shape(x: Any) -> str:
    """The shape of a tensor, or the type of anything else, for a sentence."""
    return str(tuple(x.shape)) if isinstance(x, Tensor) else f"{type(x).__name__}"


def close(a: Tensor, b: Tensor, tolerance: float = 1e-4) -> bool:
    """Whether tensors have the same shape and are equal up to rounding in float32."""
    return a.shape == b.shape and torch.allclose(a.double(), b.double(), rtol=tolerance, atol=tolerance, equal_nan=True)


def finite(x: Tensor) -> bool:
    """Whether every number is finite."""
    return bool(x.isfinite().all())


def double(x: Tensor) -> Tensor:
    """Floating-point numbers in float64; others unchanged."""
    return x.double() if x.is_floating_point() else x


def networks_of(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """Networks in evaluation mode, guarded as a model guards its own. The seed fixes their weights."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        network = make()
    guard_normalisation(network)
    return network.eval()


def gradient_faults(where: str, network: nn.Module, loss: Callable[[nn.Module], Tensor]) -> Iterator[str]:
    """A sentence if a parameter gets no gradient from a loss or only zeros, and one if a gradient is not finite."""
    network.zero_grad()
    loss(network).backward()
    parameters = list(network.named_parameters())
    if idle := [name for name, p in parameters if p.requires_grad and (p.grad is None or not p.grad.any())]:
        yield f"{where}: every parameter must get a gradient, but {listing(idle, 3)} got none; use or remove it"
    if not all(finite(p.grad) for _, p in parameters if p.grad is not None):
        yield f"{where}: gradients must be finite, but got NaN or infinity; keep intermediate numbers in range"


def user_error(call: Callable[[], object]) -> str | None:
    """The text of the `UserError` that a call raises; None if it raises none."""
    try:
        call()
    except UserError as error:
        return str(error)
    return None
