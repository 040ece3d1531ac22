"""The models that ship with mmtoolkit, registered as any plugin registers its own."""

from collections.abc import Iterable

from mmtoolkit.components.component import Component
from mmtoolkit.components.hooks import hookimpl
from mmtoolkit.models.bivcca import BiVCCA
from mmtoolkit.models.cvae import CVAE
from mmtoolkit.models.jmvae import JMVAE
from mmtoolkit.models.mmjsd import MMJSD
from mmtoolkit.models.mmvae import MMVAE
from mmtoolkit.models.mopoe import MoPoE
from mmtoolkit.models.mvae import MVAE
from mmtoolkit.models.vae import VAE

__all__ = ["CVAE", "JMVAE", "MMJSD", "MMVAE", "MVAE", "VAE", "BiVCCA", "MoPoE"]


@hookimpl
def mmt_components() -> Iterable[type[Component]]:
    """The models that ship with mmtoolkit."""
    return [MVAE, VAE, CVAE, BiVCCA, JMVAE, MMVAE, MoPoE, MMJSD]
