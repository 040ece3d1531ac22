"""The models that ship with mmtoolkit, registered as any plugin registers its own."""

from collections.abc import Iterable

from mmtoolkit.components.component import Component
from mmtoolkit.components.hooks import hookimpl
from mmtoolkit.models.barycentre import Barycentre
from mmtoolkit.models.bivcca import BiVCCA
from mmtoolkit.models.cmvae import CMVAE
from mmtoolkit.models.crmvae import CRMVAE
from mmtoolkit.models.cvae import CVAE
from mmtoolkit.models.dmvae import DMVAE
from mmtoolkit.models.gpoe import GPoE
from mmtoolkit.models.helvae import HELVAE
from mmtoolkit.models.holder import Holder
from mmtoolkit.models.jmvae import JMVAE
from mmtoolkit.models.mcvae import MCVAE
from mmtoolkit.models.mmjsd import MMJSD
from mmtoolkit.models.mmvae import MMVAE
from mmtoolkit.models.mmvaeplus import MMVAEPlus
from mmtoolkit.models.mmvm import MMVM
from mmtoolkit.models.mopoe import MoPoE
from mmtoolkit.models.mvae import MVAE
from mmtoolkit.models.mvtcae import MVTCAE
from mmtoolkit.models.vae import VAE

__all__ = [
    "CMVAE",
    "CRMVAE",
    "CVAE",
    "DMVAE",
    "HELVAE",
    "JMVAE",
    "MCVAE",
    "MMJSD",
    "MMVAE",
    "MMVM",
    "MVAE",
    "MVTCAE",
    "VAE",
    "Barycentre",
    "BiVCCA",
    "GPoE",
    "Holder",
    "MMVAEPlus",
    "MoPoE",
]


@hookimpl
def mmt_components() -> Iterable[type[Component]]:
    """The models that ship with mmtoolkit."""
    return [
        MVAE,
        VAE,
        CVAE,
        BiVCCA,
        JMVAE,
        MMVAE,
        MoPoE,
        MMJSD,
        MVTCAE,
        CRMVAE,
        GPoE,
        MCVAE,
        Barycentre,
        HELVAE,
        Holder,
        DMVAE,
        MMVAEPlus,
        CMVAE,
        MMVM,
    ]
