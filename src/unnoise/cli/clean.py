"""`unnoise PATH... [-o OUT]`, or `unnoise clean`: denoise files."""

from __future__ import annotations

import functools
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unnoise._version import __version__
from unnoise.cli.console import print_line, print_note
from unnoise.cli.options import Engine, Ensemble, Json, MaxPixels, Overwrite, Ray, ValueRange, as_line
from unnoise.cli.results import Results
from unnoise.errors import UnnoiseError

if TYPE_CHECKING:
    from unnoise.pipeline.jobs import Job
    from unnoise.pipeline.process import DenoiseOptions
    from unnoise.pipeline.ray_jobs import RayRun


@dataclass(frozen=True)
class Report:
    """How much is printed, and whether anything is written."""

    as_json: bool
    verbose: bool
    dry_run: bool

    def results(self, *, resumable: bool) -> Results:
        """Return the printer of a run."""
        return Results(as_json=self.as_json, verbose=self.verbose, resumable=resumable)


def clean(
    paths: Annotated[list[str] | None, typer.Argument(help="Files, folders or glob patterns; - for a pipe.")] = None,
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", help="Output file or folder; - is a pipe. Default: NAME.clean.EXT."),
    ] = None,
    model: Annotated[
        str, typer.Option("--model", "-m", help="auto, a model or filter of unnoise models, or a model file.")
    ] = "auto",
    sigma: Annotated[
        float | None,
        typer.Option(
            help="Standard deviation of the noise in 8-bit units (25 is 25/255 of white). Default: estimated."
        ),
    ] = None,
    strength: Annotated[
        float, typer.Option(help="0 keeps the image as it is, 1 is the model's result, up to 1.5 goes beyond it.")
    ] = 1.0,
    luma: Annotated[float, typer.Option(help="How much of the noise is taken out of the brightness, 0 to 1.")] = 1.0,
    color: Annotated[float, typer.Option(help="How much of the noise is taken out of the color, 0 to 1.")] = 1.0,
    detail: Annotated[
        float, typer.Option(help="How much of the fine structure that was removed is brought back, 0 to 1.")
    ] = 0.0,
    grain: Annotated[
        float, typer.Option(help="Fine gray grain to add, as a share of the noise that was found, 0 to 1.")
    ] = 0.0,
    min_noise: Annotated[
        float | None,
        typer.Option(
            metavar="LEVEL", help="Copy images whose estimated noise is below this, in 8-bit units. Default: 2."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Denoise images in which no noise is found, too.")] = False,
    value_range: ValueRange = None,
    ensemble: Ensemble = False,
    engine: Engine = None,
    quality: Annotated[int | None, typer.Option(help="Quality of JPEG, WebP and AVIF output, 1 to 100.")] = None,
    overwrite: Overwrite = False,
    files_from: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Read input paths from a file, one per line or NUL-separated; - for stdin."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Images processed at the same time. Default: 1; with --ray, all cores."),
    ] = None,
    ray: Ray = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Keep running and process new and changed files, until Ctrl-C.")
    ] = False,
    max_pixels: MaxPixels = 2**30,
    error_map: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a .tif or .png map of the expected error of one image.")
    ] = None,
    preserve: Annotated[
        bool, typer.Option("--preserve", help="Give outputs the modification time of their inputs.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be written, and what would fail; write nothing.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Print size and time of each image, and name what is passed over.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Denoise images. The word clean can be left out.

    An output folder keeps a manifest, unnoise.jsonl: a later call skips files that are done and unchanged.
    """
    from unnoise import denoisers
    from unnoise.denoisers.adjusted import Adjustments
    from unnoise.denoisers.auto import Auto
    from unnoise.io import remote
    from unnoise.pipeline import process
    from unnoise.units import from_8bit

    options = process.DenoiseOptions(
        denoiser=denoisers.make(model, ensemble=ensemble, engine=engine, concurrency=workers or 1),
        sigma=from_8bit(sigma),
        strength=strength,
        value_range=value_range,
        max_pixels=max_pixels,
        overwrite=overwrite,
        quality=quality,
        min_level=from_8bit(min_noise),
        force=force,
        preserve=preserve,
        adjustments=Adjustments(luma, color, detail, grain),
    )
    if sigma is not None and 0 < sigma < 1:
        print_note(
            f"sigma {sigma:g} is in 8-bit units, {sigma:g}/255 of white; for a fraction of white, give {255 * sigma:g}"
        )
    names = [*(paths or []), *(_read_list(files_from) if files_from else [])]
    if not names:
        raise UnnoiseError("Missing argument: name files, folders or patterns; see unnoise clean --help")
    if ray is None and any(map(remote.is_remote, [*names, out or ""])):
        raise UnnoiseError("addresses such as s3://... need --ray; --ray local uses the cores of this machine")
    if paths and "-" in paths:
        if names != ["-"] or watch:
            raise UnnoiseError("a pipe (-) cannot be mixed with files: denoise them separately")
        if error_map:
            raise UnnoiseError("--error-map needs an image in a file, not in a pipe")
        _clean_pipe(options, None if out == "-" else out, as_json=as_json)
        return
    if dry_run and (watch or ray is not None):
        raise UnnoiseError(f"--dry-run looks once at local files: leave {'--watch' if watch else '--ray'} out")
    if out == "-":
        if error_map or watch or dry_run or ray is not None:
            raise UnnoiseError("-o - writes one image to standard output, and has no other outputs: name a file")
        _clean_to_stdout(names, options, as_json=as_json)
        return
    if error_map and strength != 1:
        raise UnnoiseError("--error-map describes the model's own result: leave --strength at 1")
    if error_map:
        options.check_own_result()
    if isinstance(options.denoiser, Auto):
        options.denoiser.preload()
    recorded: dict[str, Any] = {  # in the manifest: a file is done again when one of these differs
        **{"model": model, "engine": engine, "sigma": sigma, "strength": strength, "ensemble": ensemble},
        **{"quality": quality, "version": __version__},
    }
    recorded |= options.adjustments.changed
    if value_range:
        recorded["value_range"] = list(value_range)
    if min_noise is not None:
        recorded["min_noise"] = min_noise
    if force:
        recorded["force"] = True
    if os.path.isfile(model):
        from unnoise.io import atomic

        recorded["model_sha256"] = atomic.sha256(model)
    run = functools.partial(
        _clean_files, names, out, options, recorded, Report(as_json, verbose, dry_run),
        workers=workers, watch=watch, error_map=error_map,
    )  # fmt: skip
    if ray is None:
        run()
        return
    from unnoise.pipeline import ray_jobs, ray_pool

    with ray_pool.ray_session(ray or None):
        run(ray_run=ray_jobs.RayRun(model, ensemble, engine, options, recorded))


def _clean_files(
    names: list[str],
    out: str | None,
    options: DenoiseOptions,
    recorded: dict[str, Any],
    report: Report,
    *,
    workers: int | None,
    watch: bool,
    error_map: Path | None = None,
    ray_run: RayRun | None = None,
) -> None:
    """Denoise files into one file, or next to the inputs; print each result."""
    from unnoise.cli import console
    from unnoise.io import atomic
    from unnoise.pipeline import dry_run, jobs as planning, process, runner
    from unnoise.pipeline.passed_over import PassedOver

    one_image = "--error-map takes one image: name one input file, and an output file if any"
    if planning.is_folder_target(out):
        if error_map:
            raise UnnoiseError(one_image)
        assert out is not None
        _clean_into_folder(names, out, options, recorded, report, workers=workers, watch=watch, ray_run=ray_run)
        return
    if watch or ray_run:
        raise UnnoiseError(f"{'--watch' if watch else '--ray'} needs an output folder: name one with -o")
    passed_over, results = PassedOver(), report.results(resumable=False)
    jobs = planning.plan_jobs(names, out, passed_over=passed_over)
    if error_map and len(jobs) != 1:
        raise UnnoiseError(one_image)
    work = dry_run.check_file if report.dry_run else functools.partial(process.denoise_file, error_map=error_map)
    if not report.dry_run:
        atomic.remove_stale([*(job.target.parent for job in jobs), *([error_map.parent] if error_map else [])])
    with console.over_files(len(jobs)) as show:
        on_progress = lambda job, done: show(job.source.name, done)  # noqa: E731
        results.show(runner.run_jobs(jobs, options, on_progress, workers=workers or 1, work=work), len(jobs))
        if error_map and not results.failed and not report.as_json and not report.dry_run:
            print_line(error_map)
    results.show_passed_over(passed_over)
    results.finish(len(jobs), passed_over)


def _clean_into_folder(
    names: list[str],
    out: str,
    options: DenoiseOptions,
    recorded: dict[str, Any],
    report: Report,
    *,
    workers: int | None,
    watch: bool,
    ray_run: RayRun | None,
) -> None:
    """Denoise files into a folder with a manifest; print each result."""
    from unnoise.cli import console
    from unnoise.io import remote
    from unnoise.pipeline import dry_run, jobs as planning, manifest, resume, runner, watch as watching
    from unnoise.pipeline.passed_over import PassedOver

    if watch and any(map(remote.is_remote, [*names, out])):
        raise UnnoiseError("--watch needs local folders: for an object store, run the command again instead")
    with manifest.open_manifest(out) as opened:
        work = resume.ResumableRun(opened, recorded).clean
        if report.dry_run:
            work = resume.ResumableRun(dry_run.ReadOnlyManifest(opened), recorded, dry_run.check_file).clean
        passed_over, said, results = PassedOver(), PassedOver(), report.results(resumable=True)

        def scan() -> list[Job]:
            return planning.plan_jobs(names, out, opened.taken, passed_over)

        for jobs in watching.watch_folder(scan) if watch else [scan()]:
            if not report.dry_run:
                opened.remove_stale(job.target.parent for job in jobs)
            with console.over_files(len(jobs)) as show:
                on_progress = lambda job, done, show=show: show(job.source.name, done)  # noqa: E731
                if ray_run:
                    done = ray_run.run(jobs, opened, on_progress, workers=workers)
                else:
                    done = runner.run_jobs(jobs, options, on_progress, workers=workers or 1, work=work)
                results.show(done, len(jobs))
            results.show_passed_over(passed_over.since(said))
            said.files.update(passed_over.files)
            if not watch:
                results.finish(len(jobs), passed_over)


def _clean_to_stdout(names: list[str], options: DenoiseOptions, *, as_json: bool) -> None:
    """Denoise one file to standard output."""
    from unnoise.io.unreadable import is_zarr
    from unnoise.pipeline import jobs as planning

    sources = [job.source for job in planning.plan_jobs(names)]
    if len(sources) != 1:
        raise UnnoiseError(f"standard output takes one image, and here are {len(sources)}: name a folder with -o")
    if is_zarr(sources[0]):
        raise UnnoiseError(f"{sources[0]}: a Zarr store is a folder: name a .zarr with -o")
    try:
        data = sources[0].read_bytes()
    except OSError as error:
        raise UnnoiseError(f"{sources[0]}: cannot be read: {error.strerror}") from error
    _clean_bytes(data, options, None, str(sources[0]), as_json=as_json)


def _clean_pipe(options: DenoiseOptions, out: str | None, *, as_json: bool) -> None:
    """Denoise the image on standard input to standard output in the same format, or to a file."""
    if sys.stdin.isatty():
        raise UnnoiseError("nothing is piped in: unnoise - < noisy.png > clean.png")
    _clean_bytes(sys.stdin.buffer.read(), options, out, "", as_json=as_json)


def _clean_bytes(data: bytes, options: DenoiseOptions, out: str | None, source: str, *, as_json: bool) -> None:
    """Denoise an image to standard output, or to a file; say what was done, in the first case on standard error."""
    from unnoise.pipeline import process

    if out is None and sys.stdout.isatty():
        raise UnnoiseError("an image cannot be written to a terminal: name a file with -o, or redirect with >")
    try:
        encoded, outcome = process.denoise_bytes(data, options, out)
    except UnnoiseError as error:
        raise UnnoiseError(str(error).replace("the image: ", f"{source}: ", 1) if source else str(error)) from error
    line = as_line({"target": out, **outcome.to_dict()})
    if encoded is None:
        print_line(line if as_json else f"{out}: {outcome}")
        return
    sys.stdout.buffer.write(encoded)
    sys.stdout.buffer.flush()
    if as_json:
        sys.stderr.write(f"{line}\n")
    else:
        print_note(str(outcome))


def _read_list(source: str) -> list[str]:
    """Return the paths in a list: NUL-separated, as `find -print0` writes them, or one per line."""
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as error:
        raise UnnoiseError(f"{source}: cannot be read: {error.strerror}") from error
    parts = data.split(b"\0") if b"\0" in data else data.splitlines()
    if not any(parts):
        raise UnnoiseError(f"the list '{source}' is empty")
    return [os.fsdecode(part) for part in parts if part]
