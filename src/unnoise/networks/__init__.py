"""Networks: PyTorch modules that learn to denoise.

`make("dncnn:depth=17,channels=1")` builds one with fresh weights. To add a network, write its class in a file of its
name here and its row in the table below.
"""

from __future__ import annotations

from unnoise.networks.base import Network
from unnoise.spec import Registry

NETWORKS: Registry[Network] = Registry(
    "network",
    {
        "autoencoder": "unnoise.networks.autoencoder:Autoencoder",
        "dncnn": "unnoise.networks.dncnn:DnCNN",
        "encoder_decoder": "unnoise.networks.encoder_decoder:EncoderDecoder",
        "resunet": "unnoise.networks.resunet:ResUNet",
        "unet": "unnoise.networks.unet:UNet",
        "vae": "unnoise.networks.vae:VAE",
    },
)
make = NETWORKS.make

__all__ = ["NETWORKS", "Network", "make"]
