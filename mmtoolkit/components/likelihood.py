"""The base class of likelihoods: p(x | z) at each place of a value."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal, get_args

from torch import Tensor, nn
from torch.distributions import Distribution

from mmtoolkit.components.component import Component
from mmtoolkit.components.form import Form, Tokens, check_forms
from mmtoolkit.components.support import IN_WORDS, Support, is_within

Feedback = Literal["teacher", "argmax"]
"""The symbol that a `Writer` reads before each place after the first: the true or drawn one (`teacher`, for teacher
forcing, Williams & Zipser 1989), or its own most probable one, whatever the text is (`argmax`)."""


class Writer(nn.Module, ABC):
    """The base class of networks that write a text symbol by symbol. You write `logits`.

    Args:
        form: of the texts.
    """

    feedback: Feedback = "teacher"
    """The symbol that it reads before each place after the first."""

    def __init__(self, form: Tokens) -> None:
        super().__init__()
        self.form = form

    @abstractmethod
    def logits(self, before: Tensor, z: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Logits of the symbols that follow (N, T, V), in float32 or better, and the state after them.

        Args:
            before: (N, T) int64, the symbol before each place.
            z: (N, size).
            state: what this method returned for the places before; None at the first place.
        """


class ScaledHead(nn.Module, ABC):
    """The base class of heads whose only parameters are those of learned scales, which say how sure the model is.

    Each scale grows with its parameter. After training, `train.calibrate` enlarges those that are too small for
    validation cells; the locations stay as they are.
    """

    @property
    @abstractmethod
    def scales(self) -> Tensor | None:
        """The learned scales, above 0, in any unit and shape, with gradient; None if the head learns none."""


class Likelihood(Component):
    """The base class of likelihoods: the distribution of a value at each place of a form, from a network's outputs.

    You write `head`, and `numbers` if a place needs more than one output. For example, a Gaussian one with scale 1:

    ```python
    class Unit(Likelihood):
        kind: Literal["unit"] = "unit"
        scores = (Numbers, Grid, Series)

        def head(self, form) -> nn.Module:
            return UnitHead()  # its forward takes raw (N, 1, *places) and returns Normal(raw.squeeze(1), 1.0)
    ```
    """

    family: ClassVar[str] = "likelihood"
    scores: ClassVar[tuple[type[Form], ...]]
    """The forms whose values it scores, such as `(Numbers, Grid)`. You write it."""
    support: ClassVar[Support] = "real"
    """The values that it scores; others have no density."""
    writes: ClassVar[bool] = False
    """Whether it has `written`, for texts that a network writes symbol by symbol."""
    pads: ClassVar[bool] = False
    """Whether a class whose output is minus infinity changes nothing for the others. A record then scores columns of
    different numbers of classes by one call."""
    robust: ClassVar[bool] = False
    """Whether it allows for outliers: shift and scale of its form are then learned from the quartiles."""

    @classmethod
    def check_class(cls) -> None:
        """Check that `scores` and `support` are there.

        Raises:
            TypeError: they are not, or are no values that they can have.
        """
        check_forms(cls, "scores", "the types of forms whose values it scores")
        if isinstance(cls.support, str) and cls.support not in get_args(Support):
            raise TypeError(
                f"{cls.__qualname__}: there is no support {cls.support!r}; it is one of {', '.join(get_args(Support))}"
            )

    def misfit(self, form: Form) -> str | None:
        """Why it cannot score the values of a form; None if it can. Default: as `scores` and `support` say."""
        if not isinstance(form, self.scores):
            return f"{self.kind} scores {_listed(self.scores)}, not {form.name}"
        if not is_within(form.support, self.support):
            return f"{self.kind} scores {IN_WORDS[self.support]}, and these are {IN_WORDS[form.support]}"
        return None

    def numbers(self, form: Form) -> int:
        """How many outputs of a network it needs at each place. Default: one."""
        return 1

    @abstractmethod
    def head(self, form: Form) -> nn.Module:
        """A module that maps a network's outputs raw (N, numbers, *places) to a torch Distribution.

        The distribution has batch shape (N, *places) and event shape (), or (N,) and (*places) if it sums over the
        places itself, and validate_args=False. Mean and variance are finite for every finite raw. What the likelihood
        learns, such as a scale, are parameters of the module. For numbers with a `shift` and a `scale`, raw refers to
        (read(x) - shift) / scale, and the density to x.
        """

    def read(self, x: Tensor) -> Tensor:
        """What an encoder reads of values x, such as their logarithms; elementwise. Default: x."""
        return x

    def written(self, writer: Writer, z: Tensor) -> Distribution:
        """The distribution of texts that a writer writes symbol by symbol: batch (N,), event (L,).

        Only a likelihood that `writes` needs it. Default: it raises an error.
        """
        raise NotImplementedError(f"{type(self).__name__} does not score texts that are written symbol by symbol")


def _listed(forms: tuple[type[Form], ...]) -> str:
    return " and ".join(filter(None, [", ".join(form.name for form in forms[:-1]), forms[-1].name]))
