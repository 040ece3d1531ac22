"""The contract kit finds components that torch.export does not take, and lets those be that say so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mmtoolkit import MLP, MVAE, Numbers
from mmtoolkit.components import Form, Modality, Unit
from mmtoolkit.models.mvae import MVAENetwork
from mmtoolkit.testing import exports
from mmtoolkit.testing.architectures import Subject as ArchitectureSubject
from mmtoolkit.testing.models import Subject as ModelSubject
from mmtoolkit.testing.promises import run_checks
from mmtoolkit.testing.stand_ins import Point
from mmtoolkit.testing.subjects import Subject


def faults(subject: Any, check: Callable[..., Any]) -> list[str]:
    return [fault for outcome in run_checks(subject, [check]) for fault in outcome.faults]


class Counting(nn.Module):
    """Reads the number of rows as a number."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x) + torch.arange(len(x)).unsqueeze(1) * 0  # type: ignore[no-any-return]


class FixedRows(MLP):
    def encoder(self, form: Form, width: int, extra: int = 0) -> nn.Module:
        network = super().encoder(form, width, extra)
        return network if extra else Counting(network)


def test_a_fixed_number_of_rows_is_found() -> None:
    (fault,) = faults(ArchitectureSubject(FixedRows(width=4), [Numbers(2)]), exports.networks_are_exported)
    assert all(words in fault for words in ("encoder(", "torch.export", "x.shape[0] for len(x)"))


class _Choosing(MVAENetwork):
    def posterior_of_experts(self, experts: Any, members: Any) -> Any:
        q = super().posterior_of_experts(experts, members)
        return q if q.mean.sum() > 0 else super().posterior_of_experts(experts, members)


class _Forgetful(MVAENetwork):
    def posterior_of_values(self, values: Any, there: Any) -> Any:
        return super().posterior_of_values(values, torch.ones_like(there))


class _Silent(MVAENetwork):
    def posterior_of_values(self, values: Any, there: Any) -> Any:
        raise NotImplementedError("z is sampled by a chain, which no program does")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "words"),
    [
        (_Choosing, ("must be exported by torch.export", "no number of a tensor on the host")),
        (_Forgetful, ("must give what infer_all gives",)),
        (_Silent, None),
    ],
)
def test_models(network: type[MVAENetwork], words: tuple[str, ...] | None) -> None:
    class Own(MVAE):
        def build(self, modalities: Mapping[str, Unit]) -> MVAENetwork:
            return network(modalities, self.latent_dim, self.subsets, self.prior)

    sentences = faults(ModelSubject(Own(latent_dim=2)), exports.model_is_exported)
    if words is None:
        assert sentences == []
    else:
        (fault,) = sentences
        assert all(word in fault for word in words), fault


class _OnTheHost(Point):
    def point(self, p: Any) -> Tensor:
        return torch.from_numpy(p.mean.numpy())


class _Refusing(_OnTheHost):
    def exported(self, p: Any, x: Tensor | None) -> dict[str, Tensor]:
        raise NotImplementedError("the point is rounded by a calendar")


@pytest.mark.parametrize(("modality", "count"), [(Point(), 0), (_OnTheHost(), 1), (_Refusing(), 0)])
def test_modalities(modality: Modality, count: int) -> None:
    sentences = faults(Subject(modality), exports.unit_is_exported)
    assert len(sentences) == count
    assert all("decoder(size)" in fault for fault in sentences)
