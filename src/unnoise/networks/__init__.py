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
        "dncnn": "unnoise.networks.dncnn:DnCNN",
        "resunet": "unnoise.networks.resunet:ResUNet",
    },
)
make = NETWORKS.make

__all__ = ["NETWORKS", "Network", "make"]
