"""Batches on a Ray cluster of two machines give the same results as on one machine, even after crashes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unnoise import denoisers, io
from unnoise.cli import main, options as cli_options
from unnoise.errors import UnnoiseError
from unnoise.io import remote
from unnoise.pipeline import jobs as planning, ray_jobs, ray_pool, resume, runner
from unnoise.pipeline.manifest import NAME, Manifest
from unnoise.pipeline.process import DenoiseOptions, JobResult

pytest.importorskip("ray", reason="needs Ray: the extra ray")
pytestmark = [
    pytest.mark.ray,
    pytest.mark.filterwarnings("default"),  # Ray's own warnings are not ours
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds Ray's processes in /proc"),
]
RECORDED = {"model": "median", "sigma": None}


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """Start a local S3 server; return the address of an empty bucket."""
    moto = pytest.importorskip("moto.server", reason="needs moto, flask and s3fs: the extra dev")
    s3fs = pytest.importorskip("s3fs", reason="needs s3fs: the extra dev")
    server = moto.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for key, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            patch.setenv(key, value)
        s3fs.S3FileSystem().mkdir("pictures")
        try:
            yield "s3://pictures"
        finally:
            server.stop()


@pytest.fixture(scope="module")
def machines(bucket: str) -> Iterator[Any]:
    """Start a cluster of two machines with a core each, which reach the bucket, and connect to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_niceness", "0")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # so that actors can import this file
        from ray.cluster_utils import Cluster

        size = {"num_cpus": 1, "object_store_memory": 100 << 20}
        soon = {"health_check_period_ms": 1000, "health_check_failure_threshold": 5}  # to detect a dead machine
        head = {**size, "include_dashboard": False, "_system_config": soon}
        started = Cluster(initialize_head=True, head_node_args=head)
        started.add_node(**size)
        try:
            with ray_pool.ray_session(started.address):
                yield started
        finally:
            started.shutdown()


def write(folder: Path, count: int) -> None:
    """Write noisy images of 24 x 24 pixels, the last three of them truncated."""
    rng = np.random.default_rng(0)
    for number in range(count):
        place = folder / ("deep ü" if number % 3 == 0 else "") / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.clip(128 + 40 * rng.standard_normal((24, 24, 3)), 0, 255).astype(np.uint8)
        io.from_array(pixels).save(place)
        if number >= count - 3:
            place.write_bytes(place.read_bytes()[: 40 * (count - number - 1)])


def contents(folder: Path) -> dict[str, bytes]:
    """Return all files of a folder except its manifest."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if name != NAME}


def lines(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the lines of the manifest by target, without timings."""
    rows = [json.loads(line) for line in (folder / NAME).read_text().splitlines()]
    assert len({row["target"] for row in rows}) == len(rows), "one line per output"
    return {row["target"]: {key: value for key, value in row.items() if key != "seconds"} for row in rows}


def run(manifest: Manifest, *, on_ray: bool) -> Iterator[JobResult]:
    """Denoise in/ into the folder of a manifest, locally or on the cluster."""
    settings = DenoiseOptions(denoisers.make("median"))
    jobs = planning.plan_jobs(["in"], manifest.folder, manifest.taken)
    if on_ray:
        return ray_jobs.RayRun("median", False, None, settings, RECORDED).run(jobs, manifest)
    return runner.run_jobs(jobs, settings, work=resume.ResumableRun(manifest, RECORDED).clean)


def workers() -> list[int]:
    """Return the processes of the actors that this test has started."""
    parents, named = {}, []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if "MapBatches(_Actor)" in (entry / "cmdline").read_text():
                named.append(int(entry.name))
    ours = {os.getpid()}
    while more := {child for child, parent in parents.items() if parent in ours} - ours:
        ours |= more
    return [one for one in named if one in ours]


def test_crashed_workers_and_machines_are_recovered(
    machines: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "in", 500)
    with Manifest("alone") as manifest:
        expected = {str(one.job.source): one.error for one in run(manifest, on_ray=False)}
    killed, found = [], {}
    with Manifest("shared") as manifest:
        for number, outcome in enumerate(run(manifest, on_ray=True)):
            found[str(outcome.job.source)] = outcome.error
            if number == 60:
                killed = workers()[:1]
                os.kill(killed[0], signal.SIGKILL)
            if number == 200:
                machines.remove_node(machines.worker_nodes.copy().pop(), allow_graceful=False)
    assert killed and found == expected and sum(error is not None for error in found.values()) == 3
    assert len(contents(tmp_path / "shared")) == 497 and contents(tmp_path / "shared") == contents(tmp_path / "alone")
    assert lines(tmp_path / "shared") == lines(tmp_path / "alone")


def test_a_second_run_does_the_remaining_jobs(machines: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "in", 12)
    with Manifest("out") as manifest:
        list(run(manifest, on_ray=False))
    (tmp_path / "out" / "1.png").unlink()
    (tmp_path / "out" / "2.png").write_bytes(b"painted over")
    with Manifest("out") as manifest:
        results = {outcome.job.target.stem: outcome for outcome in run(manifest, on_ray=True)}
    assert [number for number, result in results.items() if not (result.skipped or result.error)] == ["1"]
    assert [number for number in sorted(results) if results[number].error] == ["10", "11", "2", "9"]
    assert "out/2.png: already exists" in str(results["2"].error)
    assert str(results["11"].error) == "in/11.png: the file is empty"
    assert (tmp_path / "out" / "2.png").read_bytes() == b"painted over"


class Fragile(ray_jobs.DenoiseActor):
    """A worker that one of the images crashes."""

    def __call__(self, item: dict[str, Any]) -> list[tuple[dict[str, Any], bytes]]:
        if item["source"][0].endswith("/4.png"):
            os._exit(1)
        return super().__call__(item)


@pytest.mark.slow
def test_an_image_that_crashes_its_worker_is_reported(
    machines: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ray_jobs, "DenoiseActor", Fragile)
    monkeypatch.setattr(ray_pool, "TRIES", 0)
    write(tmp_path / "in", 12)
    with Manifest("out") as manifest:
        errors = {outcome.job.source.name: outcome.error for outcome in run(manifest, on_ray=True)}
        assert manifest.last(Path("out/4.png")).error == errors["4.png"]
    assert len(errors) == 12 and sum(error is None for error in errors.values()) == 8
    assert str(errors["4.png"]).startswith("in/4.png: every worker that took it crashed")


def test_an_object_store_gives_the_same_results_as_a_folder(
    machines: Any, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "in", 12)
    with Manifest("alone") as manifest:
        list(run(manifest, on_ray=False))
    store = remote.to_path(bucket).fs  # type: ignore[attr-defined]
    store.put(f"{tmp_path}/in/", "pictures/in/", recursive=True)

    def clean(*words: str) -> tuple[int | str | None, list[str], list[str]]:
        with pytest.raises(SystemExit) as left:
            main.main([f"{bucket}/in/", "-m", "median", "-o", f"{bucket}/out/", "--ray", *words])
        out, err = capfd.readouterr()
        return left.value.code, sorted(out.splitlines()), sorted(err.splitlines())

    status, outputs, errors = clean()
    assert status == 1 and len(outputs) == 9 and outputs[0] == f"{bucket}/out/1.png: denoised with median", errors
    assert errors[1] == f"unnoise: {bucket}/in/11.png: the file is empty" and len(errors) == 3
    store.invalidate_cache()
    store.get("pictures/out/", f"{tmp_path}/shared/", recursive=True)
    assert contents(tmp_path / "shared") == contents(tmp_path / "alone"), "and no internal files"
    alone = lines(tmp_path / "alone")
    for target, line in lines(tmp_path / "shared").items():
        same = ("target", "source_sha256", "target_sha256", "model", "megapixels")
        assert {key: line[key] for key in same} == {key: alone[target][key] for key in same}
        assert line["source"] == alone[target]["source"].replace("..", bucket, 1)

    store.rm("pictures/out/1.png")
    store.pipe("pictures/out/2.png", b"painted over")
    status, outputs, errors = clean()
    assert status == 1 and outputs == [f"{bucket}/out/1.png: denoised with median"], errors
    assert any(f"{bucket}/out/2.png: already exists" in error for error in errors)
    assert store.cat("pictures/out/2.png") == b"painted over"


def test_errors_of_a_store_are_reported_in_one_line(machines: Any, capfd: pytest.CaptureFixture[str]) -> None:
    for words in (["s3://nobodys/in", "-o", "s3://pictures/out"], ["a.png", "-o", "nonsense://x/y"]):
        with pytest.raises(SystemExit) as left:
            main.main([*words, "--ray"])
        out, err = capfd.readouterr()
        assert left.value.code != 0 and not out and len(err.splitlines()) == 1, err


def test_the_command_line_runs_on_the_cluster(
    machines: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "in", 5)
    with pytest.raises(SystemExit) as left:
        main.main(["in", "-m", "median", "-o", "out", "--ray"])
    out, err = capfd.readouterr()
    said = [f"{target}: denoised with median" for target in ("out/1.png", "out/deep ü/0.png")]
    assert left.value.code == 1 and sorted(out.splitlines()) == said
    assert sorted(err.splitlines())[1] == "unnoise: in/4.png: the file is empty", err
    assert len(err.splitlines()) == 3, "one line per truncated file, and none of Ray"


def test_an_output_folder_is_required(machines: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main.main(["a.png", "--ray"])
    assert capsys.readouterr().err == "unnoise: --ray needs an output folder: name one with -o\n"


def test_a_worker_that_cannot_open_the_model_is_reported(machines: Any) -> None:
    order = ray_jobs.RayRun("nowhere.onnx", False, None, DenoiseOptions(denoisers.make("median")), RECORDED)
    with pytest.raises(UnnoiseError, match=r"the Ray cluster failed: .*no model file 'nowhere.onnx'"):
        list(ray_pool.map_rows([{"number": 0}], ray_jobs.DenoiseActor, (order, "/")))


def test_table_scores_are_the_same_as_on_one_machine(
    machines: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "in", 12)
    for words in (
        ["build", "in", "-o", "clean.parquet"],
        ["add", "gaussian:25", "clean.parquet", "-o", "pairs.parquet"],
    ):
        with pytest.raises(SystemExit):
            main.main(["table", *words])
    for words in (["-o", "alone.parquet"], ["-o", "shared.parquet", "--ray"]):
        with pytest.raises(SystemExit) as left:
            main.main(["table", "score", "median", "pairs.parquet", *words])
        assert left.value.code == 0, capsys.readouterr().err
    assert Path("shared.parquet").read_bytes() == Path("alone.parquet").read_bytes()


def test_a_missing_cluster_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with (
        pytest.raises(UnnoiseError, match=r"no Ray cluster at '127\.0\.0\.1:1': "),
        ray_pool.ray_session("127.0.0.1:1"),
    ):
        pass


@pytest.mark.parametrize(
    ("words", "spread"),
    [
        (["a/", "--ray", "-o", "b/"], ["a/", "--ray", "", "-o", "b/"]),
        (["--ray", "a/"], ["--ray", "", "a/"]),
        (["a/", "--ray"], ["a/", "--ray", ""]),
        (["--ray", "host:6379", "a/"], ["--ray", "host:6379", "a/"]),
        (["--ray", "ray://10.0.0.1:10001"], ["--ray", "ray://10.0.0.1:10001"]),
        (["--ray", "auto"], ["--ray", "auto"]),
    ],
)
def test_the_address_is_optional(words: list[str], spread: list[str]) -> None:
    assert cli_options.with_address(words) == spread
