"""The main job's command line: `unnoise PATH... [-o OUT]`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unnoise._version import __version__
from unnoise.cli.console import print_error, print_line, print_note
from unnoise.errors import UnnoiseError

if TYPE_CHECKING:
    from unnoise.pipeline.process import DenoiseOptions, JobResult
    from unnoise.pipeline.ray_jobs import RayRun

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
MaxPixels = Annotated[int, typer.Option(help="Refuse larger pictures.")]
Engine = Annotated[
    str | None, typer.Option(help="What runs the network: onnx, openvino or torch; the fastest that is here.")
]
Ensemble = Annotated[bool, typer.Option("--ensemble", help="Average over 8 orientations: slower, a little better.")]
Ray = Annotated[
    str | None,
    typer.Option(
        metavar="[ADDRESS]", help="Work on a Ray cluster: HOST:PORT, auto, local; that of RAY_ADDRESS, else a new one."
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist.")]


def clean(
    paths: Annotated[list[str] | None, typer.Argument(help="Files, folders, patterns, or - for a pipe.")] = None,
    out: Annotated[
        str | None, typer.Option("--out", "-o", help="File or folder; beside the inputs by default.")
    ] = None,
    model: Annotated[
        str, typer.Option("--model", "-m", help="auto, one of `unnoise models`, or a model file.")
    ] = "auto",
    sigma: Annotated[
        float | None, typer.Option(help="Level of Gaussian noise, 8-bit units (25 is 25/255); else found.")
    ] = None,
    strength: Annotated[float, typer.Option(help="0 leaves the picture, 1 is the model's own; up to 1.5.")] = 1.0,
    ensemble: Ensemble = False,
    engine: Engine = None,
    quality: Annotated[int | None, typer.Option(help="Of JPEG, WebP and AVIF outputs, 1 to 100.")] = None,
    overwrite: Overwrite = False,
    files_from: Annotated[
        str | None, typer.Option(help="A list of names, a line each or parted by NUL; - reads it from a pipe.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Pictures cleaned at the same time; 1, or all cores of a cluster."),
    ] = None,
    ray: Ray = None,
    watch: Annotated[bool, typer.Option("--watch", help="Go on with what is new or changed, until Ctrl-C.")] = False,
    max_pixels: MaxPixels = 2**30,
    uncertainty: Annotated[
        Path | None, typer.Option(help="File, .tif or .png, for a map of the expected error of one picture.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Clean pictures; this verb may be left out.

    A folder of outputs keeps a manifest, unnoise.jsonl: called again, what is done and unchanged is skipped.
    """
    from unnoise import denoisers
    from unnoise.denoisers.auto import Auto
    from unnoise.io import remote
    from unnoise.pipeline import process
    from unnoise.units import FULL_SCALE

    settings = process.DenoiseOptions(
        denoiser=denoisers.make(model, ensemble=ensemble, engine=engine, concurrency=workers or 1),
        sigma=None if sigma is None else sigma / FULL_SCALE,
        strength=strength,
        max_pixels=max_pixels,
        overwrite=overwrite,
        quality=quality,
    )
    names = [*(paths or []), *(_listed(files_from) if files_from else [])]
    if not names:
        raise UnnoiseError("Missing argument: name files, folders or patterns; see unnoise clean --help")
    if ray is None and any(map(remote.is_remote, [*names, out or ""])):
        raise UnnoiseError("addresses such as s3://... go with --ray; --ray local works on the cores of this machine")
    if paths and "-" in paths:
        if names != ["-"] or watch:
            raise UnnoiseError("a pipe (-) cannot be mixed with files: clean them one after the other")
        if uncertainty:
            raise UnnoiseError("--uncertainty needs a picture in a file, not in a pipe")
        _clean_pipe(settings, out)
        return
    if uncertainty:
        _clean_with_map(names, out, settings, uncertainty, as_json=as_json)
        return
    if isinstance(settings.denoiser, Auto):
        settings.denoiser.preload()
    asked = {"model": model, "engine": engine, "sigma": sigma, "strength": strength, "ensemble": ensemble}
    asked |= {"quality": quality, "version": __version__}
    if os.path.isfile(model):
        from unnoise.io import atomic

        asked["model_sha256"] = atomic.sha256(model)
    how = {"workers": workers, "watch": watch, "as_json": as_json}
    if ray is None:
        _clean_files(names, out, settings, asked, **how)
        return
    from unnoise.pipeline import ray_jobs, ray_pool

    with ray_pool.ray_session(ray or None):
        order = ray_jobs.RayRun(model, ensemble, engine, settings, asked)
        _clean_files(names, out, settings, asked, **how, order=order)


def _clean_files(
    names: list[str],
    out: str | None,
    settings: DenoiseOptions,
    asked: dict[str, Any],
    *,
    workers: int | None,
    watch: bool,
    as_json: bool,
    order: RayRun | None = None,
) -> None:
    """Clean files into a folder with a manifest, into one file, or beside themselves; print what becomes of each."""
    from unnoise.cli import console
    from unnoise.io import atomic, remote
    from unnoise.pipeline import jobs as planning, manifest, process, resume

    if not planning.is_folder_target(out):
        if watch or order:
            raise UnnoiseError(f"{'--watch' if watch else '--ray'} needs a folder for the outputs: name one with -o")
        jobs = planning.plan_jobs(names, out)
        atomic.remove_stale(job.target.parent for job in jobs)
        with console.over_files(len(jobs)) as show:
            shown = lambda job, done: show(job.source.name, done)  # noqa: E731
            outcomes = process.run_jobs(jobs, settings, shown, workers=workers or 1)
            finish(_tell(outcomes, as_json=as_json), len(jobs))
        return
    assert out is not None
    if watch and any(map(remote.is_remote, [*names, out])):
        raise UnnoiseError("--watch needs folders of this machine: call it again for what is new in a store")
    with manifest.open_manifest(out) as kept:
        work = resume.ResumableRun(kept, asked).clean

        def look() -> list[planning.Job]:
            return planning.plan_jobs(names, out, kept.taken)

        for jobs in resume.watch_folder(look) if watch else [look()]:
            kept.remove_stale(job.target.parent for job in jobs)
            with console.over_files(len(jobs)) as show:
                shown = lambda job, done, show=show: show(job.source.name, done)  # noqa: E731
                if order:
                    outcomes = order.run(jobs, kept, shown, workers=workers)
                else:
                    outcomes = process.run_jobs(jobs, settings, shown, workers=workers or 1, work=work)
                failed = _tell(outcomes, as_json=as_json)
            if not watch:
                finish(failed, len(jobs))


def _clean_with_map(
    names: list[str], out: str | None, settings: DenoiseOptions, target: Path, *, as_json: bool
) -> None:
    """Clean one picture, and write what error is to be expected in it."""
    from unnoise.cli import console
    from unnoise.io import atomic
    from unnoise.pipeline import error_maps, jobs as planning

    error_maps.check(target, settings)
    jobs = [] if planning.is_folder_target(out) else planning.plan_jobs(names, out)
    if len(jobs) != 1:
        raise UnnoiseError("--uncertainty goes with one picture: name it, and for its output a file, if any")
    atomic.remove_stale({jobs[0].target.parent, target.parent})
    with console.over_files(1) as show:
        outcome, doubt = error_maps.clean_file(jobs[0], settings, target, lambda done: show(jobs[0].source.name, done))
    if doubt:
        print_note(doubt)
    _tell([outcome], as_json=as_json)
    if not as_json:
        print_line(target)


def with_address(words: list[str]) -> list[str]:
    """Let `--ray` stand without an address: an empty one is put behind it where none follows."""
    spread: list[str] = []
    for word, following in zip(words, [*words[1:], ""], strict=True):
        spread.append(word)
        if word == "--ray" and not _is_address(following):
            spread.append("")
    return spread


def _is_address(word: str) -> bool:
    host, _, port = word.removeprefix("ray://").rpartition(":")
    return word in ("auto", "local") or bool(host and port.isdigit())


def _listed(source: str) -> list[str]:
    """Return the names in a list: parted by NUL where there is one, as `find -print0` writes, else a line each."""
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as error:
        raise UnnoiseError(f"{source}: cannot be read: {error.strerror}") from error
    parts = data.split(b"\0") if b"\0" in data else data.splitlines()
    if not any(parts):
        raise UnnoiseError(f"no names in the list '{source}'")
    return [os.fsdecode(part) for part in parts if part]


def _clean_pipe(settings: DenoiseOptions, out: str | None) -> None:
    """Clean the picture on standard input; it leaves by standard output, of the same kind, or into a file."""
    from unnoise.pipeline import process

    if sys.stdin.isatty():
        raise UnnoiseError("nothing is piped in: unnoise - < noisy.png > clean.png")
    if out is None and sys.stdout.isatty():
        raise UnnoiseError("a picture is no text for a terminal: name a file with -o, or redirect with >")
    clean = process.denoise_bytes(sys.stdin.buffer.read(), settings, out)
    if clean is None:
        print_line(out)
    else:
        sys.stdout.buffer.write(clean)
        sys.stdout.buffer.flush()


def _tell(outcomes: Iterable[JobResult], *, as_json: bool) -> int:
    """Print what becomes of files: where each goes, or the error; return how many failed."""
    done = failed = skipped = 0
    for outcome in outcomes:
        if as_json:
            print_line(as_line(outcome.to_dict()))
        if outcome.error:
            failed += 1
            print_error(outcome.error)
        elif outcome.skipped:
            skipped += 1
        else:
            done += 1
            if not as_json:
                print_line(outcome.job.target)
    if skipped:
        print_note(f"{skipped} done before and unchanged, {done} cleaned now, {failed} failed")
    return failed


def finish(failed: int, total: int) -> None:
    """Leave with the status that tells of failures, if there are any."""
    if failed:
        raise typer.Exit(1 if failed < total else 2)


def as_line(value: Any) -> str:
    """Write JSON; NaN and infinity, for which it has no word, become null."""
    return json.dumps(json.loads(json.dumps(value), parse_constant=lambda _: None))
