"""The addresses of the service: what each does with a request; and the files of the page."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.resources
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
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
from unnoise.service import operations, problems, request_body
from unnoise.service.jobs import JobRegistry, JobState
from unnoise.service.limits import Limits
from unnoise.service.middleware import GuardMiddleware
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

PAGE = {
    "": ("index.html", "text/html; charset=utf-8"),
    "style.css": ("style.css", "text/css; charset=utf-8"),
    "icon.svg": ("icon.svg", "image/svg+xml"),
    **{
        f"{name}.js": (f"{name}.js", "text/javascript; charset=utf-8")
        for name in ("page", "view", "tiles", "service", "scene", "png", "zip", "words")
    },
}
"""Address of each file of the page -> its name and media type."""

T = TypeVar("T")


class Service:
    """What all requests share.

    Args:
        limits: what they may take together.
        engine: what runs the networks.
    """

    def __init__(self, limits: Limits, engine: str | None) -> None:
        self.limits, self.jobs, self.store, self.pool = (
            limits,
            JobRegistry(),
            request_body.MemoryBudget(limits.buffered_bytes),
            Pool(limits),
        )
        self.workshop = operations.Operations(limits, engine, lambda: self.pool.working)
        self.ready = False
        self.metrics = Metrics(
            {
                "working": ("Pictures at work.", lambda: self.pool.working),
                "waiting": ("Pictures that wait.", lambda: self.pool.waiting),
                "held_bytes": ("Bytes of all bodies and answers that are held.", lambda: self.store.held),
            }
        )

    def warm_up(self) -> None:
        """Open the model that most need; then the service is ready."""
        try:
            self.workshop.warm_up()
        except Exception:
            log.exception("the model does not open")
        else:
            self.ready = True

    async def serve(self, request: Request, job: str | None, do: Callable[[bytes, ProgressCallback], T]) -> T:
        """Take the picture of a request, and work on it in the pool."""
        with self.jobs.named(job) as task, self.store.reserve() as shelf:
            data = await request_body.receive(request, self.limits, shelf, task)
            return await self.pool.run(lambda: do(data, task.report), task, lambda: _left(request))

    def answer(self, request: Request, made: operations.EncodedPicture) -> Response:
        """Return a file that was made, and note it."""
        if made.model:
            self.metrics.pixels.labels(made.model).inc(made.pixels)
        request.state.note.update(model=made.model, pixels=made.pixels)
        headers = {"Content-Disposition": f'attachment; filename="clean{operations.SUFFIXES[made.kind]}"'}
        if made.model:
            headers["Unnoise-Model"] = made.model
        if made.sigma is not None:
            headers["Unnoise-Sigma"] = f"{made.sigma:.2f}"
        return request_body.BudgetedResponse(made.data, self.store, headers=headers, media_type=f"image/{made.kind}")


async def _left(request: Request) -> None:
    """Wait until the client has left; nothing else can come once the body has."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def make(
    limits: Limits | None = None, *, key: str | None = None, names: Collection[str] = (), engine: str | None = None
) -> FastAPI:
    """Make the application.

    Args:
        limits: what requests may take.
        key: what the bearer of a request must show.
        names: hosts under which it may be called; empty for any.
        engine: what runs the networks, as in `denoisers.make`.
    """
    limits = limits or Limits()
    service = Service(limits, engine)

    @contextlib.asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        threading.Thread(target=service.warm_up, daemon=True).start()
        yield
        service.ready = False
        service.pool.close()

    app = FastAPI(
        title="unnoise", version=__version__, description=DESCRIPTION, lifespan=life,
        docs_url=None, redoc_url=None,  # their pages load scripts from elsewhere
    )  # fmt: skip
    app.state.service = service
    for kind in (Problem, UnnoiseError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, problems.handle)
    app.add_middleware(GuardMiddleware, limits=limits, metrics=service.metrics, key=key, names=names)
    _add_work(app, service)
    _add_jobs(app, service)
    _add_watching(app, service)
    for address, (name, media_type) in PAGE.items():
        app.add_api_route(f"/{address}", _file(name, media_type), include_in_schema=False)
    return app


def _add_work(app: FastAPI, service: Service) -> None:
    refusals = problems.described(400, 401, 403, 408, 409, 413, 415, 422, 429, 503, 504)
    picture: dict[str, Any] = {"openapi_extra": BODY, "response_class": Response, "tags": ["pictures"]}

    @app.post("/v1/denoise", responses=files(operations.SUFFIXES) | refusals, **picture)
    async def denoise(request: Request, ask: Annotated[Denoising, Query()]) -> Response:
        """Clean a picture; depth, colour profile, EXIF, transparency and pages are kept."""
        wish = ask.wish(format=ask.format and ask.format.value, quality=ask.quality)
        do = lambda data, report: service.workshop.denoise(data, wish, report)  # noqa: E731
        return service.answer(request, await service.serve(request, ask.job, do))

    @app.post("/v1/preview", responses=files(["png"]) | refusals, **picture)
    async def preview(request: Request, ask: Annotated[Previewing, Query()]) -> Response:
        """Show a piece of a picture, cleaned as in the whole, as browsers do: a PNG of 8 bits in sRGB.

        Strength 0 shows it as it is.
        """
        box = (ask.left, ask.top, ask.width, ask.height)
        do = lambda data, report: service.workshop.preview(data, ask.wish(), box, report)  # noqa: E731
        return service.answer(request, await service.serve(request, ask.job, do))

    @app.post("/v1/uncertainty", responses=files(["png"]) | refusals, **picture)
    async def uncertainty(request: Request, ask: Annotated[Mapping, Query()]) -> Response:
        """Map the error to be expected in the clean picture: a grey PNG of 16 bits, white at 255 levels over `gain`.

        It is calibrated for white noise, and for noise that is found to grow with the light.
        """
        do = lambda data, report: service.workshop.uncertainty(data, ask.wish(), ask.gain, report)  # noqa: E731
        return service.answer(request, await service.serve(request, ask.job, do))

    @app.post("/v1/inspect", openapi_extra=BODY, responses=refusals, tags=["pictures"])
    async def inspect(request: Request, ask: Annotated[Selection, Query()]) -> Inspection:
        """Say what a picture is, and what noise is in it."""
        do = lambda data, report: service.workshop.inspect(data, ask.page, report)  # noqa: E731
        found = await service.serve(request, ask.job, do)
        noise = found.noise
        return Inspection(
            colours=found.colours,
            width=found.width, height=found.height, pages=found.pages, format=Format(found.kind),
            noise=noise.kind, sigma=round(FULL_SCALE * noise.sigma, 2), impulses=round(noise.impulses, 4),
            profile=[round(FULL_SCALE * level, 2) for level in noise.profile],
            model=noise.model, summary=str(noise),
        )  # fmt: skip


def _add_jobs(app: FastAPI, service: Service) -> None:
    refusals = problems.described(401, 404, 422)

    @app.get("/v1/jobs/{job}", responses=refusals, tags=["jobs"])
    async def ask(job: JobName) -> Progress:
        """Say how far a job is; it is known only as long as its request is open."""
        task: JobState = service.jobs.find(job)
        return Progress(state=task.state, share=task.share)

    @app.delete("/v1/jobs/{job}", status_code=204, responses=refusals | problems.described(403), tags=["jobs"])
    async def stop(job: JobName) -> None:
        """Stop a job: its request is then refused (409)."""
        service.jobs.find(job).stop(Problem(409, "the job was stopped"))


def _add_watching(app: FastAPI, service: Service) -> None:
    offer = _offer(service.limits)

    @app.get("/v1/models", responses=problems.described(401), tags=["service"])
    async def models() -> Capabilities:
        """List the models, the kinds of files, and the limits."""
        return offer

    @app.get("/healthz", tags=["service"])
    async def health() -> Ready:
        """Say that the service is alive."""
        return Ready(status="ok")

    @app.get("/readyz", responses=problems.described(503), tags=["service"])
    async def readiness() -> Ready:
        """Say whether it can work already, and still."""
        if not service.ready:
            raise Problem(503, "not ready: the models are being opened, or the service is going down")
        return Ready(status="ok")

    text = {200: {"description": "Metrics.", "content": {"text/plain": {"schema": {"type": "string"}}}}}

    @app.get("/metrics", responses=text | problems.described(401), response_class=Response, tags=["service"])
    async def metrics() -> Response:
        """Tell Prometheus what was done."""
        return Response(service.metrics.page(), headers={"Content-Type": service.metrics.media_type})


def _offer(limits: Limits) -> Capabilities:
    cards = [Onnx(path, threads=1).card for path in denoisers.bundled_models().values()]
    found = ModelInfo(
        name="auto", summary="the model that fits the noise that is found", wants_sigma=True, network=False
    )
    networks = [
        ModelInfo(name=card.name, summary=card.summary, wants_sigma=card.wants_sigma, network=True) for card in cards
    ]
    classes = {name: denoisers.DENOISERS.find(name) for name in denoisers.DENOISERS.members}
    filters = [
        ModelInfo(name=name, summary=str(one.__doc__).partition("\n")[0], wants_sigma=one.wants_sigma, network=False)
        for name, one in classes.items()
    ]
    told = {name: getattr(limits, name) for name in ("body_bytes", "pixels", "pages", "seconds")}
    return Capabilities(
        version=__version__, models=[found, *networks, *filters], formats=list(operations.SUFFIXES), limits=told
    )


def _file(name: str, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    """Return what answers with a file of the page, read once."""
    data = (importlib.resources.files("unnoise.service") / "static" / name).read_bytes()
    tag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}

    async def answer(request: Request) -> Response:
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(data, headers=headers, media_type=media_type)

    return answer
