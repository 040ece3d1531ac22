"""Forms: what networks and likelihoods see of a modality."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

from mmtoolkit.components.support import Support


@dataclass(frozen=True, kw_only=True)
class Form(ABC):
    """The shape and the meaning of a modality's values, and nothing else of it.

    An architecture builds networks for a form, and a likelihood scores the values of a form, so that neither knows the
    modality. A plugin may define a form of its own.

    Attributes:
        support: which values there are.
        shift: for each number or channel, what `fit` learned to take away from what the likelihood reads; () for 0.
        scale: for each number or channel, what `fit` learned to divide by afterwards; () for 1.
    """

    name: ClassVar[str]
    """The form in the words of a message, such as `numbers`."""

    support: Support = "real"
    shift: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()

    @property
    @abstractmethod
    def places(self) -> tuple[int, ...]:
        """The shape on which the parameters of a likelihood stand: one set of them at each place."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of what an encoder reads, without the dimension of the rows. Default: the places."""
        return self.places


@dataclass(frozen=True)
class Numbers(Form):
    """K numbers in no order.

    Attributes:
        size: K.
        gaps: whether some may be unknown. An encoder then reads 2 K features: the numbers, 0 where unknown, and a flag
            for each, 1 if known, else 0.
        features: how many features an encoder reads, if these are not the numbers themselves; a date has its trend, and
            its place in the year and the week. None for the numbers. Without gaps only.
    """

    name = "numbers"
    size: int
    gaps: bool = False
    features: int | None = field(default=None, kw_only=True)

    @property
    def places(self) -> tuple[int, ...]:
        """(K,)."""
        return (self.size,)

    @property
    def shape(self) -> tuple[int, ...]:
        """(K,), or (2 K,) with gaps; or (features,)."""
        if self.features is not None:
            return (self.features,)
        return (2 * self.size,) if self.gaps else (self.size,)


@dataclass(frozen=True)
class Classes(Form):
    """The index of one of K classes, int64.

    Attributes:
        count: K.
        support: `classes`; or `unit` for two classes that a likelihood scores as the numbers 0 and 1.
    """

    name = "classes"
    count: int
    support: Support = field(default="classes", kw_only=True)

    @property
    def places(self) -> tuple[int, ...]:
        """()."""
        return ()


@dataclass(frozen=True)
class Grid(Form):
    """Values on a grid, such as the pixels of an image.

    Attributes:
        channels: C.
        height: H.
        width: W.
    """

    name = "a grid"
    channels: int
    height: int
    width: int

    @property
    def places(self) -> tuple[int, ...]:
        """(C, H, W)."""
        return (self.channels, self.height, self.width)


@dataclass(frozen=True)
class Series(Form):
    """Numbers at L times in a row.

    Attributes:
        channels: C, how many numbers there are at each time.
        length: L.
        gaps: whether some may be unknown. An encoder then reads 2 C channels: the numbers, 0 where unknown, and a flag
            for each, 1 if known, else 0.
    """

    name = "a series"
    channels: int
    length: int
    gaps: bool = False

    @property
    def places(self) -> tuple[int, ...]:
        """(C, L)."""
        return (self.channels, self.length)

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, L), or (2 C, L) with gaps."""
        return (2 * self.channels if self.gaps else self.channels, self.length)


@dataclass(frozen=True)
class Tokens(Form):
    """A text as the ids of its symbols, int64: up to L symbols, followed by STOP up to place L.

    Attributes:
        vocabulary: V, the number of symbols with STOP and START.
        length: L.
        min_length: the fewest symbols of a text.
    """

    name = "tokens"
    STOP: ClassVar[int] = 0
    """The id that ends a text and pads it."""
    START: ClassVar[int] = 1
    """The id that stands before a text."""
    FIRST: ClassVar[int] = 2
    """The id of the first symbol of the alphabet."""

    vocabulary: int
    length: int
    min_length: int = 0
    support: Support = field(default="classes", kw_only=True)

    @property
    def places(self) -> tuple[int, ...]:
        """(L,)."""
        return (self.length,)


def check_forms(cls: type, attribute: str, meaning: str) -> None:
    """Check a class attribute that holds types of forms.

    Args:
        cls: the class.
        attribute: its name.
        meaning: what it holds, in the words of a message.

    Raises:
        TypeError: it is missing, or no tuple of types of forms.
    """
    forms = getattr(cls, attribute, None)
    example = f"{attribute} = (Numbers,)"
    if forms is None:
        raise TypeError(f"{cls.__qualname__} does not define {attribute}, {meaning}, such as {example}")
    if not (isinstance(forms, tuple) and forms and all(map(_is_form, forms))):
        value = getattr(forms, "__name__", repr(forms))
        raise TypeError(f"{cls.__qualname__}: {attribute} must be a tuple, {meaning}, such as {example}; it is {value}")


def check_form(cls: type, attribute: str, meaning: str) -> None:
    """Check a class attribute that holds one type of form; the arguments are those of `check_forms`.

    Raises:
        TypeError: it is missing, or no type of form.
    """
    form = getattr(cls, attribute, None)
    if not _is_form(form):
        fault = "does not define" if form is None else f"has {form!r} as"
        raise TypeError(f"{cls.__qualname__} {fault} {attribute}, {meaning}, such as {attribute} = Numbers")


def _is_form(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Form)


FORMS: tuple[type[Form], ...] = (Numbers, Classes, Grid, Series, Tokens)
"""The forms of the modalities that ship with mmtoolkit."""
