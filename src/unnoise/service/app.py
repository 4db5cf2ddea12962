"""The routes of the service, and the files of its web page."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib.resources
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from pathlib import Path, PurePath
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from unnoise import denoisers
from unnoise._version import __version__
from unnoise.denoisers.onnx import Onnx
from unnoise.errors import UnnoiseError
from unnoise.pipeline.process import ProgressCallback
from unnoise.service import memory, operations, problems, request_body
from unnoise.service.catalog import Catalog
from unnoise.service.jobs import JobRegistry, JobState
from unnoise.service.limits import Limits
from unnoise.service.middleware import LOCAL, GuardMiddleware
from unnoise.service.operations import DenoiseRequest
from unnoise.service.pool import Pool
from unnoise.service.problems import Problem
from unnoise.service.schemas import (
    BODY,
    DESCRIPTION,
    Capabilities,
    Denoising,
    Format,
    Inspection,
    JobName,
    Mapping,
    ModelInfo,
    Previewing,
    Progress,
    Ready,
    Selection,
    files,
)
from unnoise.service.telemetry import Metrics, log
from unnoise.units import FULL_SCALE

_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
PAGE = {
    "" if file.name == "index.html" else file.name: (file.name, f"{_TYPES[PurePath(file.name).suffix]}; charset=utf-8")
    for file in (importlib.resources.files("unnoise.service") / "static").iterdir()
    if PurePath(file.name).suffix in _TYPES
}
"""Path of each file of the web page -> its name and media type."""

_LARGE = 2**27  # bytes of work after which memory is given back to the system

T = TypeVar("T")


class Service:
    """What all requests share.

    Args:
        limits: bounds on requests.
        engine: inference engine, as in `denoisers.make`.
        files: model files that requests can name, too; see `Catalog`.
    """

    def __init__(self, limits: Limits, engine: str | None, files: Sequence[str | Path] = ()) -> None:
        self.limits = limits
        self.jobs = JobRegistry()
        self.budget = request_body.MemoryBudget(limits.bodies)
        self.pool = Pool(limits)
        self.operations = operations.Operations(limits, engine, lambda: self.pool.working, files)
        work = memory.for_work(limits.memory, limits.bodies, self.operations.catalog.opened_bytes)
        self.admission = memory.Admission(work, lambda: self.pool.retry_after)
        self.ready = self.draining = False
        self._clients: Counter[str] = Counter()
        self.metrics = Metrics(
            {
                "working": ("Images being processed.", lambda: self.pool.working),
                "waiting": ("Images waiting for a worker.", lambda: self.pool.waiting),
                "work_bytes": ("Estimated memory of all admitted work.", lambda: self.admission.held),
                "held_bytes": ("Bytes of request and response bodies in memory.", lambda: self.budget.held),
            }
        )

    def warm_up(self) -> None:
        """Load the most common model; then the service is ready."""
        try:
            self.operations.warm_up()
        except Exception:
            log.exception("cannot load the model")
        else:
            self.ready = not self.draining

    @property
    def is_idle(self) -> bool:
        """Whether no image is processed or waits."""
        return self.pool.working + self.pool.waiting == 0

    def drain(self) -> None:
        """Take no further work."""
        self.draining, self.ready = True, False

    @contextlib.contextmanager
    def _share(self, request: Request) -> Iterator[None]:
        """Count the image of a client until it is answered.

        Raises:
            Problem: the client has too many (429), or the service is shutting down (503).
        """
        if self.draining:
            raise Problem(503, "the service is shutting down", {"Retry-After": "30"})
        address = request.client.host if request.client else ""
        if address in LOCAL:
            yield
            return
        if self._clients[address] >= self.limits.client_images:
            line = f"{self._clients[address]} images of this address are being processed or wait: try again later"
            raise Problem(429, line, {"Retry-After": str(self.pool.retry_after)})
        self._clients[address] += 1
        try:
            yield
        finally:
            self._clients[address] -= 1
            if not self._clients[address]:
                del self._clients[address]

    async def process(
        self,
        request: Request,
        job_name: str | None,
        operation: Callable[[bytes, ProgressCallback], T],
        estimate: Callable[[bytes], int],
    ) -> T:
        """Receive the image of a request, and run an operation on it in the pool, if there is memory for it."""
        with self._share(request), self.jobs.register(job_name) as job, self.budget.reserve() as reservation:
            data = await request_body.receive(request, self.limits, reservation, job)
            self.pool.check()
            count = await asyncio.to_thread(estimate, data)
            self.pool.check()
            release = self.admission.admit(count)

            def work() -> T:
                try:
                    return operation(data, job.report)
                finally:
                    if count > _LARGE:
                        self.operations.release()

            return await self.pool.run(work, job, lambda: _disconnected(request), release)

    def checked(self, options: DenoiseRequest) -> DenoiseRequest:
        """Return options; raise UnnoiseError if there is no model of that name."""
        self.operations.catalog.check(options.model)
        return options

    def respond(self, request: Request, output: operations.EncodedPicture) -> Response:
        """Return an encoded image as a response, and record it in metrics and log."""
        if output.model:
            self.metrics.pixels.labels(output.model).inc(output.pixels)
        request.state.note.update(model=output.model, pixels=output.pixels)
        headers = {"Content-Disposition": f'attachment; filename="clean{operations.SUFFIXES[output.kind]}"'}
        if output.model:
            headers["Unnoise-Model"] = output.model
        if output.sigma is not None:
            headers["Unnoise-Sigma"] = f"{output.sigma:.2f}"
        if output.outcome is not None:
            headers |= {"Unnoise-Done": output.outcome.done, "Unnoise-Reason": output.outcome.reason}
            if output.outcome.noise:
                headers["Unnoise-Noise"] = output.outcome.noise
        return request_body.BudgetedResponse(
            output.data, self.budget, headers=headers, media_type=f"image/{output.kind}"
        )


async def _disconnected(request: Request) -> None:
    """Wait until the client disconnects; after the body, no other message can come."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def make(
    limits: Limits | None = None,
    *,
    key: str | None = None,
    names: Collection[str] = (),
    engine: str | None = None,
    files: Sequence[str | Path] = (),
) -> FastAPI:
    """Build the application.

    Args:
        limits: bounds on requests.
        key: the bearer key that requests must send; None for no key.
        names: host names that requests may be addressed to; empty for any.
        engine: inference engine, as in `denoisers.make`.
        files: model files that requests can name, too; see `Catalog`.

    Raises:
        UnnoiseError: a file is not a model, or there is too little memory.
    """
    limits = limits or Limits()
    service = Service(limits, engine, files)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        threading.Thread(target=service.warm_up, daemon=True).start()
        yield
        service.ready = False
        service.pool.close()

    app = FastAPI(
        title="unnoise", version=__version__, description=DESCRIPTION, lifespan=lifespan,
        docs_url=None, redoc_url=None, redirect_slashes=False,  # their pages load scripts from other sites
    )  # fmt: skip
    app.state.service = service
    for kind in (Problem, UnnoiseError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, problems.handle)
    app.add_middleware(GuardMiddleware, limits=limits, metrics=service.metrics, key=key, names=names)
    _add_image_routes(app, service)
    _add_job_routes(app, service)
    _add_service_routes(app, service)
    for address, (name, media_type) in PAGE.items():
        app.add_api_route(f"/{address}", _file(name, media_type), include_in_schema=False)
    describe = app.openapi
    app.openapi = lambda: _with_models(describe(), service.operations.catalog.names)
    return app


def _with_models(document: dict[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Let an OpenAPI document list the values of each parameter `model`."""
    for methods in document["paths"].values():
        for method in methods.values():
            for parameter in method.get("parameters", ()):
                if parameter["name"] == "model":
                    parameter["schema"]["enum"] = list(names)
    return document


def _add_image_routes(app: FastAPI, service: Service) -> None:
    refusals = problems.described(400, 401, 403, 408, 409, 413, 415, 422, 429, 503, 504)
    picture: dict[str, Any] = {"openapi_extra": BODY, "response_class": Response, "tags": ["images"]}

    @app.post("/v1/denoise", responses=files(operations.SUFFIXES) | refusals, **picture)
    async def denoise(request: Request, query: Annotated[Denoising, Query()]) -> Response:
        """Denoise an image; bit depth, color profile, EXIF, transparency and pages are preserved."""
        options = service.checked(query.to_request(format=query.format and query.format.value, quality=query.quality))
        estimate = lambda data: service.operations.memory("denoise", data, options)  # noqa: E731
        operation = lambda data, report: service.operations.denoise(data, options, report)  # noqa: E731
        return service.respond(request, await service.process(request, query.job, operation, estimate))

    @app.post("/v1/preview", responses=files(["png"]) | refusals, **picture)
    async def preview(request: Request, query: Annotated[Previewing, Query()]) -> Response:
        """Render a region of an image, denoised as within the whole image: an 8-bit sRGB PNG.

        Strength 0 renders the input.
        """
        options, box = service.checked(query.to_request()), (query.left, query.top, query.width, query.height)
        region = (query.height or service.limits.pixels, query.width or service.limits.pixels)
        estimate = lambda data: service.operations.memory("preview", data, options, region)  # noqa: E731
        operation = lambda data, report: service.operations.preview(data, options, box, report)  # noqa: E731
        return service.respond(request, await service.process(request, query.job, operation, estimate))

    @app.post("/v1/uncertainty", responses=files(["png"]) | refusals, **picture)
    async def uncertainty(request: Request, query: Annotated[Mapping, Query()]) -> Response:
        """Map the expected error of the denoised image: a 16-bit gray PNG in which white is an error of 255 / `gain`.

        It is calibrated for white noise and for signal-dependent noise.
        """
        options, gain = service.checked(query.to_request()), query.gain
        estimate = lambda data: service.operations.memory("uncertainty", data, options)  # noqa: E731
        operation = lambda data, report: service.operations.uncertainty(data, options, gain, report)  # noqa: E731
        return service.respond(request, await service.process(request, query.job, operation, estimate))

    @app.post("/v1/noise-map", responses=files(["png"]) | refusals, **picture)
    async def noise_map(request: Request, query: Annotated[Selection, Query()]) -> Response:
        """Map the estimated noise level: an 8-bit gray PNG of the size of the image, whose text states the scale.

        It is logarithmic and the same for all images: value V of 255 is a level of 0.5 * 128^(V/255) in 8-bit units;
        black is 0.5 or less, white 64 or more.
        """
        estimate = lambda data: service.operations.memory("noise_map", data, DenoiseRequest(page=query.page))  # noqa: E731
        operation = lambda data, report: service.operations.noise_map(data, query.page, report)  # noqa: E731
        return service.respond(request, await service.process(request, query.job, operation, estimate))

    @app.post("/v1/inspect", openapi_extra=BODY, responses=refusals, tags=["images"])
    async def inspect(request: Request, query: Annotated[Selection, Query()]) -> Inspection:
        """Return the properties of an image, and estimate its noise."""
        estimate = lambda data: service.operations.memory("inspect", data, DenoiseRequest(page=query.page))  # noqa: E731
        operation = lambda data, report: service.operations.inspect(data, query.page, report)  # noqa: E731
        result = await service.process(request, query.job, operation, estimate)
        noise = result.noise
        return Inspection(
            colours=result.colours,
            width=result.width, height=result.height, pages=result.pages, format=Format(result.kind),
            noise=noise.kind, sigma=round(FULL_SCALE * noise.sigma, 2), impulses=round(noise.impulses, 4),
            level=round(FULL_SCALE * (noise.level or 0), 2), correlation=round(noise.correlation or 0, 3),
            model=noise.model, reason=noise.explanation, summary=str(noise),
        )  # fmt: skip


def _add_job_routes(app: FastAPI, service: Service) -> None:
    refusals = problems.described(401, 404, 422)

    @app.get("/v1/jobs/{job}", responses=refusals, tags=["jobs"])
    async def progress(job: JobName) -> Progress:
        """Return the progress of a job; it is known only while its request is open."""
        state: JobState = service.jobs.find(job)
        return Progress(state=state.state, share=state.share)

    @app.delete("/v1/jobs/{job}", status_code=204, responses=refusals | problems.described(403), tags=["jobs"])
    async def stop(job: JobName) -> None:
        """Cancel a job: its request ends with status 409."""
        service.jobs.find(job).stop(Problem(409, "the job was canceled"))


def _add_service_routes(app: FastAPI, service: Service) -> None:
    capabilities = _capabilities(service.limits, service.operations.catalog)

    @app.get("/v1/models", responses=problems.described(401), tags=["service"])
    async def models() -> Capabilities:
        """List the models, file formats and limits."""
        return capabilities

    @app.get("/healthz", tags=["service"])
    async def health() -> Ready:
        """Report that the process is alive."""
        return Ready(status="ok")

    @app.get("/readyz", responses=problems.described(503), tags=["service"])
    async def readiness() -> Ready:
        """Report whether the service accepts work."""
        if not service.ready:
            raise Problem(503, "not ready: the service is starting or shutting down")
        return Ready(status="ok")

    text = {200: {"description": "Metrics.", "content": {"text/plain": {"schema": {"type": "string"}}}}}

    @app.get("/metrics", responses=text | problems.described(401), response_class=Response, tags=["service"])
    async def metrics() -> Response:
        """Return metrics in the format of Prometheus."""
        return Response(service.metrics.page(), headers={"Content-Type": service.metrics.media_type})


def _capabilities(limits: Limits, catalog: Catalog) -> Capabilities:
    cards = [Onnx(path, threads=1).card for path in denoisers.bundled_models().values()]
    classes = {name: denoisers.DENOISERS.find(name) for name in denoisers.DENOISERS.members}
    automatic = ModelInfo(
        name="auto", summary="selects a model by the kind of noise in the image", wants_sigma=True, network=False
    )
    networks = [
        ModelInfo(name=card.name, summary=card.summary, wants_sigma=card.wants_sigma, network=True) for card in cards
    ]
    filters = [
        ModelInfo(name=name, summary=str(cls.__doc__).partition("\n")[0], wants_sigma=cls.wants_sigma, network=False)
        for name, cls in classes.items()
    ]
    added = [
        ModelInfo(name=name, summary=model.summary, wants_sigma=model.denoiser.wants_sigma, network=True)
        for name, model in catalog.added.items()
    ]
    bounds = {name: getattr(limits, name) for name in ("body_bytes", "pixels", "pages", "seconds")}
    return Capabilities(
        version=__version__,
        models=[automatic, *networks, *filters, *added],
        formats=list(operations.OUTPUTS),
        limits=bounds,
    )


def _file(name: str, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    """Return a handler that serves one file of the web page, which is read once."""
    data = (importlib.resources.files("unnoise.service") / "static" / name).read_bytes()
    tag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}

    async def handler(request: Request) -> Response:
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(data, headers=headers, media_type=media_type)

    return handler
