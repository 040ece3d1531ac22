"""Pictures in training change no weights and no buffers."""

from __future__ import annotations

from pathlib import Path

import pytest

import mmtoolkit
from mmtoolkit import Listener, Picture
from runs import SMALL


class Draws(Listener):
    """Wants pictures after every epoch."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def wants_pictures(self, epoch: int) -> bool:
        return True

    def picture(self, picture: Picture) -> None:
        self.names.append(picture.name)


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        "{kind: mvae, latent_dim: 4}",
        "{kind: mvae, latent_dim: 4, prior: mixture}",
    ],
)
def test_pictures_change_neither_weights_nor_buffers(model: str, tmp_path: Path) -> None:
    image = "{kind: image, shape: [1, 28, 28], network: {kind: mlp, width: 32, norm: batch}}"
    changes = [
        *SMALL,
        f"modalities={{image: {image}, label: {{kind: label, network: {{kind: mlp, dropout: 0.5}}}}}}",
        f"model={model}",
        "evaluate=[]",
    ]
    schema = mmtoolkit.read_schema("fashion_mini", changes)
    mmtoolkit.run(schema, tmp_path / "without", figures=False)
    draws = Draws()
    run = mmtoolkit.run(schema, tmp_path / "with", figures=False, watcher=draws)
    assert any("running_mean" in name for name in run.model.state_dict())
    assert draws.names == ["samples", "from all"] * 2
    for file in ("weights.safetensors", "checkpoint/weights.safetensors"):
        assert (tmp_path / "with" / file).read_bytes() == (tmp_path / "without" / file).read_bytes()
