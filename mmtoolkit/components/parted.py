"""The base class of modalities whose network and likelihood are parts that a schema names."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from pydantic import ValidationError, ValidationInfo, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError
from torch import Tensor, nn
from torch.distributions import Distribution, Independent

from mmtoolkit.components.architecture import Architecture, RawDecoder
from mmtoolkit.components.form import Form, check_form
from mmtoolkit.components.likelihood import Likelihood
from mmtoolkit.components.modality import Modality
from mmtoolkit.components.part import Part, expanded


class Parted(Modality):
    """The base class of modalities whose network and likelihood are components, so that a schema can swap either.

    You write `form`, its type in `gives`, and `reader` instead of `encoder` and `decoder`, and give `network` and
    `likelihood` defaults.
    """

    gives: ClassVar[type[Form]]
    """The type of its form, such as `Numbers`, which is known before `fit` has learned anything. You write it."""

    moved: ClassVar[Mapping[str, str]] = {}
    """Options of version 0.1 that now belong to a part: option -> `network` or `likelihood`, or, where its name there
    differs, such as `network.width`."""

    network: Part[Architecture]
    """The architecture of encoder and decoder."""
    likelihood: Part[Likelihood]
    """The distribution of a value given z."""

    @classmethod
    def check_class(cls) -> None:
        """Check that `gives` is there.

        Raises:
            TypeError: it is not, or is no type of form.
        """
        check_form(cls, "gives", "the type of its form")

    @abstractmethod
    def form(self) -> Form:
        """What networks and likelihood see of the values.

        Raises:
            ValueError: `fit` must learn something first; the message says what.
        """

    def outline(self) -> Form:
        """The form as far as the options tell it before `fit`, which network and likelihood are checked against.

        Default: `form`. A modality whose form has a learned `shift` and `scale` returns it without them.

        Raises:
            ValueError: nothing can be told yet; the message says what `fit` must learn.
        """
        return self.form()

    def reader(self) -> nn.Module:
        """A module that maps prepared x (N, *event) to what an encoder reads: (N, *form.shape). Default: x itself."""
        return nn.Identity()

    def layout(self) -> dict[str, Any]:
        """With the support of the values, and the shift and scale that the networks apply to them."""
        form = self.form()
        layout = {**super().layout(), "support": form.support}
        if not form.shift:
            return layout
        normalised = "by the programs: (x - shift) / scale of what the likelihood reads; pass values in their own unit"
        return {**layout, "shift": list(form.shift), "scale": list(form.scale), "normalised": normalised}

    @classmethod
    def together(cls, columns: Mapping[str, Parted]) -> Parted | None:
        """One modality of several columns that reads as these modalities of one number each do; None if there is none.

        Its value is (2, K), as that of a modality with `columns`, and its reader gives K features, 0 where a number is
        unknown, and K flags. A record then reads them by one call. Default: None.

        Args:
            columns: name -> modality, all of this class.
        """
        return None

    def joined(self, p: Distribution) -> Distribution:
        """The distribution of whole values, batch (N,), from that of all places, batch (N, *places).

        Default: the places are independent given z.
        """
        places = len(p.batch_shape) - 1
        return Independent(p, places, validate_args=False) if places else p

    @model_validator(mode="before")
    @classmethod
    def _with_moved(cls, options: Any) -> Any:
        """Put each option of version 0.1 into its part, where the resolved schema has it."""
        if not isinstance(options, Mapping) or not cls.moved.keys() & options.keys():
            return options
        renewed = dict(options)
        for old, place in cls.moved.items():
            if (value := renewed.pop(old, None)) is None:
                continue
            part, _, option = place.partition(".")
            option = option or old
            given = expanded(options.get(part, {}))
            if not isinstance(given, Mapping):
                raise ValueError(f"{old} is an option of {part}; write {part}: {{kind: …, {option}: {value}}}")
            if option in given:
                raise ValueError(f"{old} is given here and in {part}; keep {option} in {part}")
            own = expanded(renewed.get(part, cls.model_fields[part].default.model_dump()))
            renewed[part] = {**own, option: value}
        return renewed

    @model_validator(mode="after")
    def _parts_fit(self, info: ValidationInfo) -> Self:
        """Check that the network reads the form and that the likelihood scores its values."""
        for part in (self, self.network, self.likelihood):
            type(part).check_class()
        faults = []
        if not issubclass(self.gives, self.network.reads):
            faults.append(_fault("network", f"{self._not_read()}; {self._others(info)}", self.network))
        elif self._misfit(self.network):
            faults.append(_fault("network", f"{self._misfit(self.network)}; choose another network", self.network))
        if (misfit := self._misfit(self.likelihood)) is not None:
            faults.append(_fault("likelihood", f"{misfit}; {self._other_likelihoods(info)}", self.likelihood))
        if faults:
            raise ValidationError.from_exception_data(type(self).__name__, faults)
        return self

    def _misfit(self, part: Architecture | Likelihood) -> str | None:
        """Why a part does not fit the form; None if it does, or if the form is not known yet."""
        try:
            form = self.outline()
        except ValueError:
            if isinstance(part, Likelihood) and not issubclass(self.gives, part.scores):
                return f"{part.kind} does not score {self.gives.name}"
            return None
        return part.misfit(form)

    def _not_read(self) -> str:
        return f"{self.network.kind} has no networks for {self.gives.name}"

    def _others(self, info: ValidationInfo) -> str:
        """The architectures that read the form, in a remedy."""
        plugins = (info.context or {}).get("plugins")
        classes = plugins.of_family(Architecture.family).items() if plugins is not None else ()
        kinds = [kind for kind, cls in classes if issubclass(self.gives, cls.reads)]
        return f"those that have are {', '.join(kinds)}" if kinds else "choose another"

    def _other_likelihoods(self, info: ValidationInfo) -> str:
        """The likelihoods that score such values, in a remedy."""
        plugins = (info.context or {}).get("plugins")
        classes = plugins.of_family(Likelihood.family).items() if plugins is not None else ()
        kinds = [kind for kind, cls in classes if issubclass(self.gives, cls.scores) and self._is_fit(cls)]
        return f"those that fit are {', '.join(kinds)}" if kinds else "choose another"

    def _is_fit(self, likelihood: type[Likelihood]) -> bool:
        """Whether a class of likelihoods, with its defaults, would score the values of this modality."""
        try:
            part = likelihood.model_validate({})
        except ValueError:  # an option has no default
            return True
        # The values that a modality takes may depend on its likelihood.
        return self.model_copy(update={"likelihood": part})._misfit(part) is None

    # What follows from the parts.

    def encoder(self, width: int, extra: int = 0) -> nn.Module:
        """The reader, and the network's encoder."""
        return FormEncoder(self.reader(), self.network.encoder(self.form(), width, extra))

    def branch(self, width: int) -> nn.Module:
        """The reader, and the network's branch."""
        return FormEncoder(self.reader(), self.network.branch(self.form(), width))

    def decoder(self, size: int) -> nn.Module:
        """The network's decoder with the likelihood."""
        return FormDecoder(self.network.decoder(self.form(), size, self.likelihood), self)

    def head(self, size: int) -> nn.Module | None:
        """One linear layer and the same likelihood."""
        form = self.form()
        numbers = self.likelihood.numbers(form)
        places = (numbers, *form.places)
        linear = nn.Sequential(nn.Linear(size, math.prod(places)), nn.Unflatten(1, places))
        return FormDecoder(RawDecoder(linear, self.likelihood.head(form)), self)


class FormEncoder(nn.Module):
    """From prepared values to features.

    Args:
        reader: from x (N, *event) to (N, *form.shape).
        network: from there, and from a condition if there is one, to features (N, width).
    """

    like: Tensor

    def __init__(self, reader: nn.Module, network: nn.Module) -> None:
        super().__init__()
        self.reader = reader
        self.network = network
        # Its type is that of the network, also after `to`; to look for a parameter would take as long as a layer.
        self.register_buffer("like", torch.empty(0), persistent=False)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Features (N, width)."""
        read = self.reader(x)
        if read.is_floating_point():
            read = read.to(self.like.dtype)  # numbers are read in float64
        features: Tensor = self.network(read) if condition is None else self.network(read, condition)
        return features


class FormDecoder(nn.Module):
    """From z to the distribution of whole values.

    Args:
        network: from z (N, size) to a distribution with batch (N, *places).
        modality: joins the places.
    """

    def __init__(self, network: nn.Module, modality: Parted) -> None:
        super().__init__()
        self.network = network
        self.joined = modality.joined

    def forward(self, z: Tensor) -> Distribution:
        """Batch (N,), event (*event)."""
        return self.joined(self.network(z))


def _fault(option: str, text: str, value: Any) -> InitErrorDetails:
    """A fault of an option in pydantic's form."""
    kind = PydanticCustomError("value_error", "Value error, {text}", {"text": text})
    return InitErrorDetails(type=kind, loc=(option,), input=value)
