"""Schemas of requests and responses, and their OpenAPI descriptions."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from unnoise.denoisers.adjusted import Adjustments
from unnoise.service import operations, request_body
from unnoise.service.jobs import State

Format = StrEnum("Format", list(operations.OUTPUTS))
JOB = r"^[A-Za-z0-9_-]{16,64}$"
"""Job names: too long to guess that of another client."""
DESCRIPTION = """
Removes noise from images. Send an image as the request body or as the file `picture` of a form; bit depth, color
profile, EXIF, transparency and pages are preserved. The server stores no image and writes none to disk, and never reads
a URL or path from a request. Errors are problem documents (RFC 9457).
"""
BODY = {
    "requestBody": {
        "required": True,
        "content": {
            **{kind: {"schema": {"type": "string", "format": "binary"}} for kind in request_body.KINDS},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {request_body.FIELD: {"type": "string", "format": "binary"}},
                    "required": [request_body.FIELD],
                }
            },
        },
    }
}
JobName = Annotated[str, Path(pattern=JOB, description="The `job` of the request.", examples=["9c1f0e6a2b7d4853"])]


class Selection(BaseModel):
    """Which page of a file, and the name of the job."""

    model_config = ConfigDict(extra="forbid")

    page: int | None = Field(None, ge=1, description="Page or frame to process, from 1. Default: all.")
    job: str | None = Field(None, pattern=JOB, description="Name for `/v1/jobs/NAME`, chosen at random by the client.")


class Choice(Selection):
    """Model and noise level."""

    model: str = Field("auto", description="A name of `/v1/models`; `auto` selects one by the kind of noise.")
    sigma: float | None = Field(
        None,
        ge=0,
        le=255,
        description="Standard deviation of the noise, 8-bit units (25 is 25/255). Default: estimated.",
    )
    min_noise: float | None = Field(
        None,
        ge=0,
        le=255,
        description="An image whose estimated noise is below this, in 8-bit units, is returned as it is. Default: 2. "
        "Only for `auto` without `sigma`.",
    )
    force: bool = Field(
        False, description="Denoise an image in which no noise is found, too. Only for `auto` without `sigma`."
    )

    def to_request(self, **more: Any) -> operations.DenoiseRequest:
        """Return the options for `Operations`."""
        limits = {"min_noise": self.min_noise, "force": self.force}
        return operations.DenoiseRequest(self.model, self.sigma, page=self.page, **limits, **more)


class Mapping(Choice):
    """Model and noise level, and the scale of the error map."""

    gain: float = Field(1.0, gt=0, le=64, description="An error of 255 divided by this is shown as white.")


class Cleaning(Choice):
    """Model, noise level, strength and adjustments."""

    strength: float = Field(
        1.0, ge=0, le=1.5, description="0 keeps the image as it is, 1 is the model's result, up to 1.5 goes beyond it."
    )

    luma: float = Field(1.0, ge=0, le=1, description="How much of the noise is taken out of the brightness.")
    color: float = Field(1.0, ge=0, le=1, description="How much of the noise is taken out of the color.")
    detail: float = Field(
        0.0, ge=0, le=1, description="How much of the fine structure that was removed is brought back."
    )
    grain: float = Field(0.0, ge=0, le=1, description="Fine gray grain to add, as a share of the noise.")

    def to_request(self, **more: Any) -> operations.DenoiseRequest:
        """Return the options for `Operations`."""
        adjustments = Adjustments(self.luma, self.color, self.detail, self.grain)
        return super().to_request(strength=self.strength, adjustments=adjustments, **more)


class Denoising(Cleaning):
    """Denoising options and output format."""

    format: Format | None = Field(None, description="Output format. Default: that of the input.")
    quality: int | None = Field(None, ge=1, le=100, description="Quality of JPEG, WebP and AVIF output.")


class Previewing(Cleaning):
    """Denoising options and the region to render."""

    left: int = Field(0, ge=0, description="Left edge of the region, pixels.")
    top: int = Field(0, ge=0, description="Top edge of the region, pixels.")
    width: int | None = Field(None, ge=1, description="Width in pixels. Default: up to the right edge.")
    height: int | None = Field(None, ge=1, description="Height in pixels. Default: down to the bottom edge.")


class Inspection(BaseModel):
    """Properties of an image, and the estimate of its noise; levels are in 8-bit units."""

    width: int = Field(examples=[4032])
    height: int = Field(examples=[3024])
    pages: int = Field(examples=[1])
    colours: int = Field(
        examples=[3], description="1 for gray, 3 for RGB, 4 for CMYK; with data channels, all without alpha."
    )
    format: Format
    noise: str = Field(
        examples=["gaussian"],
        description="Kind of noise: none, gaussian, signal-dependent, impulse, correlated, mixed or other.",
    )
    sigma: float = Field(examples=[24.8], description="Sigma to denoise with.")
    level: float = Field(examples=[24.6], description="Standard deviation of the noise, by the learned estimator.")
    correlation: float = Field(examples=[0.02], description="Correlation of the noise between neighboring pixels.")
    impulses: float = Field(examples=[0.0], description="Fraction of pixels with impulse noise.")
    model: str | None = Field(examples=["color"], description="The suggested model; null if there is no noise.")
    reason: str = Field(examples=["the estimated noise level, 0.9/255, is below 1/255"])
    summary: str = Field(examples=["gaussian noise, sigma 24.8; suggested model: color"])


class ModelInfo(BaseModel):
    """A model that requests can name."""

    name: str = Field(examples=["color"])
    summary: str = Field(examples=["Gaussian noise of any level from 0 to 75 in color images"])
    wants_sigma: bool = Field(description="Whether the model uses the noise level.")
    network: bool = Field(description="Whether it is a trained network; otherwise a classical filter.")


class Capabilities(BaseModel):
    """Models, formats and limits of the service."""

    version: str = Field(examples=["0.1.0"])
    models: list[ModelInfo]
    formats: list[str] = Field(examples=[["jpeg", "png"]])
    limits: dict[str, float] = Field(examples=[{"body_bytes": 67108864, "pixels": 50000000, "pages": 100}])


class Progress(BaseModel):
    """Progress of a job."""

    state: State
    share: float = Field(ge=0, le=1, description="Fraction of the current state that is done.")


class Ready(BaseModel):
    """State of the service."""

    status: str = Field(examples=["ok"])


def files(kinds: Iterable[str]) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of a response that is an image."""
    headers = {
        "Unnoise-Model": {"description": "The denoiser, unless the image is copied.", "schema": {"type": "string"}},
        "Unnoise-Done": {
            "description": "Of `/v1/denoise`: what was done.",
            "schema": {"type": "string", "enum": ["denoised", "copied"]},
        },
        "Unnoise-Noise": {
            "description": "Of `/v1/denoise`: the kind of noise found, if it was estimated; as in `/v1/inspect`.",
            "schema": {"type": "string"},
        },
        "Unnoise-Reason": {"description": "Of `/v1/denoise`: why, in one line.", "schema": {"type": "string"}},
        "Unnoise-Sigma": {
            "description": "The noise level that the denoiser was given, 8-bit units.",
            "schema": {"type": "number"},
        },
    }
    content = {f"image/{kind}": {"schema": {"type": "string", "format": "binary"}} for kind in kinds}
    return {200: {"description": "The image.", "content": content, "headers": headers}}
