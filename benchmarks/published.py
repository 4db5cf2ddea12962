"""Published figures of Gaussian denoising, to stand beside measured ones in blocks of their own.

PSNR in dB by set, method and sigma, as printed in the tables of SwinIR (Liang et al., ICCVW 2021, arXiv:2108.10257)
and of Restormer (Zamir et al., CVPR 2022, arXiv:2111.09881): noisy pictures not clipped, the level told.
BM3D's 32.15 on Kodak24 is 31.68 in FFDNet's own table (Zhang, Zuo, Zhang, TIP 2018). `COST` is 10^9 multiplications
per megapixel of the colour networks, counted from their published code.
"""

from __future__ import annotations

_LEVELS = (15, 25, 50)


def _at(*psnr: float) -> dict[int, float]:
    return dict(zip(_LEVELS, psnr, strict=True))


PSNR: dict[str, dict[str, dict[int, float]]] = {
    "cbsd68": {
        "BM3D": _at(33.52, 30.71, 27.38),
        "DnCNN": _at(33.90, 31.24, 27.95),
        "IRCNN": _at(33.86, 31.16, 27.86),
        "FFDNet": _at(33.87, 31.21, 27.96),
        "DRUNet": _at(34.30, 31.69, 28.51),
        "SwinIR": _at(34.42, 31.78, 28.56),
        "Restormer": _at(34.35, 31.75, 28.56),
    },
    "kodak24": {
        "BM3D": _at(34.28, 32.15, 28.46),
        "DnCNN": _at(34.60, 32.14, 28.95),
        "IRCNN": _at(34.69, 32.18, 28.93),
        "FFDNet": _at(34.63, 32.13, 28.98),
        "DRUNet": _at(35.31, 32.89, 29.86),
        "SwinIR": _at(35.34, 32.89, 29.79),
        "Restormer": _at(35.49, 33.05, 30.01),
    },
    "bsd68": {
        "BM3D": _at(31.08, 28.57, 25.60),
        "DnCNN": _at(31.73, 29.23, 26.23),
        "IRCNN": _at(31.63, 29.15, 26.19),
        "FFDNet": _at(31.63, 29.19, 26.29),
        "DRUNet": _at(31.91, 29.48, 26.59),
        "SwinIR": _at(31.97, 29.50, 26.58),
    },
    "set12": {
        "BM3D": _at(32.37, 29.97, 26.72),
        "DnCNN": _at(32.86, 30.44, 27.18),
        "IRCNN": _at(32.76, 30.37, 27.12),
        "FFDNet": _at(32.75, 30.43, 27.32),
        "DRUNet": _at(33.25, 30.94, 27.90),
        "SwinIR": _at(33.36, 31.01, 27.91),
    },
}
COST = {"DnCNN": 667.0, "IRCNN": 186.0, "FFDNet": 213.0, "DRUNet": 2118.0, "Restormer": 2140.0}
