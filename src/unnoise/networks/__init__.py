"""Networks: PyTorch modules for denoising.

`make("dncnn:depth=17,channels=1")` builds one with random weights. To add a network, write its class in a file of this
package and add a row to `NETWORKS`.
"""

from __future__ import annotations

from unnoise.networks.base import Network
from unnoise.spec import Registry

NETWORKS: Registry[Network] = Registry(
    "network",
    {
        "autoencoder": "unnoise.networks.autoencoder:Autoencoder",
        "blind": "unnoise.networks.blind:Blind",
        "dncnn": "unnoise.networks.dncnn:DnCNN",
        "encoder_decoder": "unnoise.networks.encoder_decoder:EncoderDecoder",
        "noise_estimator": "unnoise.networks.noise_estimator:NoiseEstimator",
        "resunet": "unnoise.networks.resunet:ResUNet",
        "unet": "unnoise.networks.unet:UNet",
        "vae": "unnoise.networks.vae:VAE",
    },
)
make = NETWORKS.make

__all__ = ["NETWORKS", "Network", "make"]
