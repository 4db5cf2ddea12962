"""Noise models: degradations of images that can be written as specs, chained, and sampled.

`make("poisson:30 + gaussian:10 + clip")` is a `Noise`; calling it with an image and a NumPy generator gives the noisy
image. To add a noise, write its class in a file of this package and add a row to `NOISES`.
"""

from __future__ import annotations

from unnoise.noise.base import Noise, chain, choice
from unnoise.spec import Registry

NOISES: Registry[Noise] = Registry(
    "noise",
    {
        "camera": "unnoise.noise.camera:Camera",
        "clip": "unnoise.noise.codec:Clip",
        "correlated": "unnoise.noise.synthetic:Correlated",
        "gaussian": "unnoise.noise.synthetic:Gaussian",
        "jpeg": "unnoise.noise.codec:Jpeg",
        "poisson": "unnoise.noise.synthetic:Poisson",
        "quantize": "unnoise.noise.codec:Quantize",
        "salt-pepper": "unnoise.noise.synthetic:SaltPepper",
        "sensor": "unnoise.noise.sensor:Sensor",
        "speckle": "unnoise.noise.synthetic:Speckle",
        "uniform": "unnoise.noise.synthetic:Uniform",
        "varied": "unnoise.noise.varied:Varied",
    },
    join=chain,
    choose=choice,
)
make = NOISES.make

__all__ = ["NOISES", "Noise", "make"]
