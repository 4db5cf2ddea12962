"""Results and costs that others published; not measured here, and always printed apart from measured ones.

PSNR in dB at sigma 15, 25 and 50, the noisy image not clipped. Costs of networks follow from their architectures.
"""

from __future__ import annotations

from dataclasses import dataclass

DPIR = "DPIR's and SwinIR's repositories: grayscale_psnr.png, gray_image_denoising.png"
SWINIR = "SwinIR's repository: color_image_denoising.png"
SWINIR_GRAY = "SwinIR's repository: gray_image_denoising.png"
SCUNET = "SCUNet's repository: its table of color images"
SCUNET_GRAY = "SCUNet's repository: gray_scunet.png"
RESTORMER = "mmagic's repository: configs/restormer/README.md, non-blind"
RESTORMER_GRAY = "Restormer (Zamir et al., CVPR 2022), table 4, as quoted by others"
BM3D_KODAK = f"{SWINIR}; FFDNet's own table has 31.68 at 25"


@dataclass(frozen=True)
class Published:
    """Published results of one method on one test set."""

    method: str
    data: str
    sigma_15: float
    sigma_25: float
    sigma_50: float
    source: str


@dataclass(frozen=True)
class Cost:
    """Cost of a published network: parameters in millions, multiply-adds (GMAC) in billions."""

    method: str
    parameters_m: float
    gmac_per_megapixel: float
    source: str


QUALITY = (
    Published("BM3D", "cbsd68", 33.52, 30.71, 27.38, SWINIR),
    Published("DnCNN", "cbsd68", 33.90, 31.24, 27.95, SWINIR),
    Published("IRCNN", "cbsd68", 33.86, 31.16, 27.86, SWINIR),
    Published("FFDNet", "cbsd68", 33.87, 31.21, 27.96, SWINIR),
    Published("DRUNet", "cbsd68", 34.30, 31.69, 28.51, SWINIR),
    Published("SwinIR", "cbsd68", 34.42, 31.78, 28.56, SWINIR),
    Published("SCUNet", "cbsd68", 34.40, 31.79, 28.61, SCUNET),
    Published("Restormer", "cbsd68", 34.35, 31.75, 28.56, RESTORMER),
    Published("BM3D", "kodak24", 34.28, 32.15, 28.46, BM3D_KODAK),
    Published("DnCNN", "kodak24", 34.60, 32.14, 28.95, SWINIR),
    Published("IRCNN", "kodak24", 34.69, 32.18, 28.93, SWINIR),
    Published("FFDNet", "kodak24", 34.63, 32.13, 28.98, SWINIR),
    Published("DRUNet", "kodak24", 35.31, 32.89, 29.86, SWINIR),
    Published("SwinIR", "kodak24", 35.34, 32.89, 29.79, SWINIR),
    Published("SCUNet", "kodak24", 35.34, 32.92, 29.87, SCUNET),
    Published("Restormer", "kodak24", 35.49, 33.05, 30.01, RESTORMER),
    Published("BM3D", "mcmaster", 34.06, 31.66, 28.51, SWINIR),
    Published("DnCNN", "mcmaster", 33.45, 31.52, 28.62, SWINIR),
    Published("IRCNN", "mcmaster", 34.58, 32.18, 28.91, SWINIR),
    Published("FFDNet", "mcmaster", 34.66, 32.35, 29.18, SWINIR),
    Published("DRUNet", "mcmaster", 35.40, 33.14, 30.08, SWINIR),
    Published("SwinIR", "mcmaster", 35.61, 33.20, 30.22, SWINIR),
    Published("SCUNet", "mcmaster", 35.60, 33.34, 30.29, SCUNET),
    Published("Restormer", "mcmaster", 35.61, 33.33, 30.26, RESTORMER),
    Published("BM3D", "bsd68", 31.08, 28.57, 25.60, DPIR),
    Published("DnCNN", "bsd68", 31.73, 29.23, 26.23, DPIR),
    Published("IRCNN", "bsd68", 31.63, 29.15, 26.19, DPIR),
    Published("FFDNet", "bsd68", 31.63, 29.19, 26.29, DPIR),
    Published("DRUNet", "bsd68", 31.91, 29.48, 26.59, DPIR),
    Published("SwinIR", "bsd68", 31.97, 29.50, 26.58, SWINIR_GRAY),
    Published("SCUNet", "bsd68", 31.99, 29.55, 26.67, SCUNET_GRAY),
    Published("Restormer", "bsd68", 31.96, 29.52, 26.62, RESTORMER_GRAY),
    Published("BM3D", "set12", 32.37, 29.97, 26.72, DPIR),
    Published("DnCNN", "set12", 32.86, 30.44, 27.18, DPIR),
    Published("IRCNN", "set12", 32.76, 30.37, 27.12, DPIR),
    Published("FFDNet", "set12", 32.75, 30.43, 27.32, DPIR),
    Published("DRUNet", "set12", 33.25, 30.94, 27.90, DPIR),
    Published("SwinIR", "set12", 33.36, 31.01, 27.91, SWINIR_GRAY),
    Published("SCUNet", "set12", 33.43, 31.09, 28.04, SCUNET_GRAY),
)
COLOR_COSTS = (
    Cost("DnCNN", 0.668, 667, "calculated from KAIR's network of 20 layers"),
    Cost("IRCNN", 0.186, 186, "calculated from KAIR's network"),
    Cost("FFDNet", 0.852, 213, "calculated from KAIR's network"),
    Cost("DRUNet", 32.64, 2118, "calculated: 138.8 GMAC at 256x256"),
    Cost("Restormer", 26.13, 2140, "Restormer's 140 GMAC at 256x256, scaled"),
)
