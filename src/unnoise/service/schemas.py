"""What requests take and answers hold, as OpenAPI tells it."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from unnoise.service import operations, request_body
from unnoise.service.jobs import State

Model = StrEnum("Model", list(operations.MODELS))
Format = StrEnum("Format", list(operations.SUFFIXES))
JOB = r"^[A-Za-z0-9_-]{16,64}$"
"""Names of jobs: long enough that nobody guesses another's."""
DESCRIPTION = """
Takes noise out of pictures. Send one as the body of a request, or as the file `picture` of a form; depth, colour
profile, EXIF, transparency and pages are kept. No picture is kept on the server, none is written to a disk, and no
address or path is ever read from a request. Refusals are problem documents (RFC 9457).
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
    """Which picture of a file, and under what name the work can be asked for."""

    model_config = ConfigDict(extra="forbid")

    page: int | None = Field(None, ge=1, description="The only page or frame to take, from 1; all without it.")
    job: str | None = Field(None, pattern=JOB, description="A name for `/v1/jobs/NAME`, made up at random by you.")


class Choice(Selection):
    """What a picture is to be cleaned by."""

    model: Model = Field(Model("auto"), description="`auto` finds the one that fits.")
    sigma: float | None = Field(
        None, ge=0, le=255, description="Level of Gaussian noise, 8-bit units (25 is 25/255); found without it."
    )

    def wish(self, **more: Any) -> operations.DenoiseRequest:
        """Return it as the workshop takes it."""
        return operations.DenoiseRequest(self.model.value, self.sigma, page=self.page, **more)


class Mapping(Choice):
    """What a picture is to be cleaned by, and how its expected error is to be shown."""

    gain: float = Field(1.0, gt=0, le=64, description="255 divided by this is the error that is shown white.")


class Cleaning(Choice):
    """How a picture is to be cleaned."""

    strength: float = Field(1.0, ge=0, le=1.5, description="0 leaves the picture, 1 is the model's own result.")

    def wish(self, **more: Any) -> operations.DenoiseRequest:
        """Return it as the workshop takes it."""
        return super().wish(strength=self.strength, **more)


class Denoising(Cleaning):
    """How a picture is to be cleaned, and what file it becomes."""

    format: Format | None = Field(None, description="Kind of file to answer with; the one that came without it.")
    quality: int | None = Field(None, ge=1, le=100, description="Of JPEG, WebP and AVIF.")


class Previewing(Cleaning):
    """Which piece of a picture is to be shown, and how it is to be cleaned."""

    left: int = Field(0, ge=0, description="Pixels left of the piece.")
    top: int = Field(0, ge=0, description="Pixels above the piece.")
    width: int | None = Field(None, ge=1, description="Pixels; to the right border without it.")
    height: int | None = Field(None, ge=1, description="Pixels; to the lower border without it.")


class Inspection(BaseModel):
    """What a picture is, and what noise is in it; levels are in 8-bit units."""

    width: int = Field(examples=[4032])
    height: int = Field(examples=[3024])
    pages: int = Field(examples=[1])
    colours: int = Field(examples=[3], description="1 for grey, 3 for RGB, 4 for CMYK.")
    format: Format
    noise: str = Field(
        examples=["gaussian"], description="none, gaussian, signal-dependent, impulse, correlated, mixed."
    )
    sigma: float = Field(examples=[24.8], description="The level to clean at.")
    profile: list[float] = Field(examples=[[24.8, 12.3, 6.4, 3.5]], description="Levels at scales 1, 2, 4 and 8.")
    impulses: float = Field(examples=[0.0], description="Share of lost pixels.")
    model: str | None = Field(examples=["color"], description="The model that fits; null where nothing is to be done.")
    summary: str = Field(examples=["gaussian noise, to be cleaned at level 24.8; the model that fits is color"])


class ModelInfo(BaseModel):
    """A model that can be asked for."""

    name: str = Field(examples=["color"])
    summary: str = Field(examples=["Gaussian noise of any level from 0 to 75 in colour pictures"])
    wants_sigma: bool = Field(description="Whether the level that it is told matters.")
    network: bool = Field(description="Whether it has learned; a classical filter has not.")


class Capabilities(BaseModel):
    """What can be asked for, and how much of it."""

    version: str = Field(examples=["0.1.0"])
    models: list[ModelInfo]
    formats: list[str] = Field(examples=[["jpeg", "png"]])
    limits: dict[str, float] = Field(examples=[{"body_bytes": 67108864, "pixels": 50000000, "pages": 100}])


class Progress(BaseModel):
    """How far a job is."""

    state: State
    share: float = Field(ge=0, le=1, description="Of what it is doing.")


class Ready(BaseModel):
    """Whether the service is up."""

    status: str = Field(examples=["ok"])


def files(kinds: Iterable[str]) -> dict[int | str, dict[str, Any]]:
    """Return the description of an answer that is a file."""
    told = {
        "Unnoise-Model": {"description": "What cleaned the picture.", "schema": {"type": "string"}},
        "Unnoise-Sigma": {"description": "The level that it was told, 8-bit units.", "schema": {"type": "number"}},
    }
    content = {f"image/{kind}": {"schema": {"type": "string", "format": "binary"}} for kind in kinds}
    return {200: {"description": "The picture.", "content": content, "headers": told}}
