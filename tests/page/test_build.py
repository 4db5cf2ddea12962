"""The folder of the page without a server, made with a stand-in for the package of npm."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import tarfile
import urllib.error
from email.message import Message
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from unnoise import denoisers
from unnoise.denoisers import onnx_graph
from unnoise.errors import UnnoiseError
from unnoise.page import build, runtime, settings


def archive(contents: dict[str, bytes]) -> bytes:
    with tarfile.open(fileobj=(file := io.BytesIO()), mode="w:gz") as packed:
        for name, data in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            packed.addfile(member, io.BytesIO(data))
    return file.getvalue()


def pin(monkeypatch: pytest.MonkeyPatch, package: bytes) -> None:
    monkeypatch.setattr(runtime, "INTEGRITY", base64.b64encode(hashlib.sha512(package).digest()).decode())


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a package of the pinned names, with contents of our own, and what must not be unpacked."""
    contents = {name: f"// {name}".encode() for name in runtime.FILES}
    monkeypatch.setattr(runtime, "FILES", {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()})
    members = {f"package/dist/{name}": data for name, data in contents.items()}
    file = tmp_path / "package.tgz"
    file.write_bytes(archive({**members, "../escaped.js": b"x", "package/dist/other.js": b"x"}))
    pin(monkeypatch, file.read_bytes())
    return file


def constants(folder: Path) -> dict[str, Any]:
    text = (folder / "local" / "settings.js").read_text()
    return json.loads(text.removeprefix("export default ").rstrip().removesuffix(";"))


def test_the_folder_holds_all_that_it_names(package: Path, tmp_path: Path) -> None:
    folder = tmp_path / "site" / "page"
    size = build.build(folder, package)
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    assert size == sum(path.stat().st_size for path in files.values())
    assert not {"escaped.js", "onnxruntime/other.js"} & set(files)
    values = constants(folder)
    assert set(values["files"].values()) <= set(files)
    assert all(set(engine.values()) <= set(files) for engine in values["runtime"].values())
    assert not [path for path in files if path.endswith(".mjs")], "some hosts do not know the type of .mjs"
    for name, path in files.items():
        if name.endswith(".js") and not name.startswith("onnxruntime/"):
            for imported in re.findall(
                r'^(?:import|export) .*?from "(\./|\.\./)([^"]+)"', path.read_text(), re.MULTILINE
            ):
                assert (path.parent / "".join(imported)).is_file(), f"{name} imports {''.join(imported)}"
    licenses = {name for name in files if name.startswith("licenses/")}
    assert licenses == {
        "licenses/onnxruntime/LICENSE",
        "licenses/onnxruntime/ThirdPartyNotices.txt",
        "licenses/unnoise/LICENSE",
    }


def test_the_service_worker_keeps_every_file_that_the_page_loads(package: Path) -> None:
    files = build.collect(package)
    made = json.loads(files["sw.js"].decode().partition("self.BUILD = ")[2].partition(";\n")[0])
    kept = {*made["FILES"], *made["LATER"]}
    assert kept == {
        "",
        *(name for name in files if not name.startswith("licenses/") and name not in ("sw.js", "index.html")),
    }
    assert "connect-src 'none'" in made["WORKER_POLICY"]


def test_the_version_changes_with_any_file(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = build.collect(package)["sw.js"]
    assert build.collect(package)["sw.js"] == before
    monkeypatch.setattr(settings, "ONLY", "something else")
    assert build.collect(package)["sw.js"] != before


def test_the_policy_stands_before_anything_that_is_loaded(package: Path) -> None:
    page = build.collect(package)["index.html"].decode()
    policy = page.index("Content-Security-Policy")
    assert all(policy < place.start() for place in re.finditer("<(?:link|script|img)", page))
    assert "default-src 'none'" in page and "data-local" in page
    assert not re.search(r"https?://", page)


def test_a_folder_of_its_own_is_replaced_and_no_other_one(package: Path, tmp_path: Path) -> None:
    folder = tmp_path / "page"
    build.build(folder, package)
    with pytest.raises(UnnoiseError, match="already exists"):
        build.build(folder, package)
    (folder / "old").touch()
    build.build(folder, package, overwrite=True)
    assert not (folder / "old").exists()
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine").touch()
    with pytest.raises(UnnoiseError, match="holds something else"):
        build.build(other, package, overwrite=True)
    with pytest.raises(UnnoiseError, match="is a file"):
        build.build(other / "mine", package)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "package.tgz", "page"]


def test_a_package_that_was_changed_is_refused(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = package.read_bytes()
    package.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(UnnoiseError, match="SHA-512 differs"):
        build.build(tmp_path / "page", package)
    forged = archive({f"package/dist/{name}": b"forged" for name in runtime.FILES})
    package.write_bytes(forged)
    pin(monkeypatch, forged)
    with pytest.raises(UnnoiseError, match="SHA-256 differs"):
        build.build(tmp_path / "page", package)
    assert not (tmp_path / "page").exists()


@pytest.mark.parametrize("lead", ["dist", "package/dist"])
def test_an_unpacked_package_is_checked_file_by_file(package: Path, tmp_path: Path, lead: str) -> None:
    folder = tmp_path / "unpacked" / lead
    folder.mkdir(parents=True)
    for name in runtime.FILES:
        (folder / name).write_bytes(f"// {name}".encode())
    assert runtime.files(tmp_path / "unpacked") == runtime.files(package)
    (folder / next(iter(runtime.FILES))).write_bytes(b"changed")
    with pytest.raises(UnnoiseError, match="SHA-256 differs"):
        runtime.files(tmp_path / "unpacked")


def test_missing_packages_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.tgz", tmp_path):
        with pytest.raises(UnnoiseError, match="No such file"):
            runtime.files(path)


def test_it_is_downloaded_from_the_registry_that_npm_uses(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def answer(url: str, timeout: float) -> io.BytesIO:
        asked.append(url)
        return io.BytesIO(package.read_bytes())

    monkeypatch.setattr("urllib.request.urlopen", answer)
    monkeypatch.setenv(runtime.REGISTRY, "https://registry.example/npm/")
    assert set(runtime.files()) == set(runtime.FILES)
    assert asked == [f"https://registry.example/npm/onnxruntime-web/-/onnxruntime-web-{runtime.VERSION}.tgz"]
    monkeypatch.setenv(runtime.REGISTRY, "file:///etc/passwd")
    with pytest.raises(UnnoiseError, match="must be the address of a registry"):
        runtime.files()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (urllib.error.URLError("Name or service not known"), "Name or service not known"),
        (urllib.error.HTTPError("https://x", 403, "Forbidden", Message(), None), "status 403"),
        (TimeoutError("timed out"), "timed out"),
    ],
)
def test_without_a_network_one_line_says_what_to_do(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("urllib.request.urlopen", fail)
    with pytest.raises(UnnoiseError, match=f"cannot download https://.*{said}.*npm pack") as caught:
        build.build(tmp_path / "page")
    assert "\n" not in str(caught.value) and not (tmp_path / "page").exists()


def test_the_constants_are_those_of_python(package: Path, tmp_path: Path) -> None:
    build.build(tmp_path / "page", package)
    values = constants(tmp_path / "page")
    color = denoisers.make("color", engine="onnx")
    found = {name: values["models"]["color"][name] for name in ("halo", "multiple_of", "margin", "corrects_clipping")}
    assert found == {name: getattr(color, name) for name in found}
    assert {name for choices in values["model_for_noise"].values() for names in choices for name in names[:1]} <= set(
        values["models"]
    ), "the first choice for every noise is among the networks of the page"


@pytest.mark.parametrize("name", ["blind", "noise_level"])
def test_networks_have_their_statistics_as_an_input_that_is_given(name: str) -> None:
    data = (denoisers.WEIGHTS / f"{name}.onnx").read_bytes()
    changed = onnx_graph.without_default(data, settings.STATISTICS)
    onnx = pytest.importorskip("onnx")
    onnx.checker.check_model(onnx.load_from_string(changed))
    noisy = np.random.default_rng(0).random((1, 3, 64, 64), np.float32)
    zeros = np.zeros((1, 192), np.float32)
    providers = ["CPUExecutionProvider"]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    before = onnxruntime.InferenceSession(data, options, providers=providers).run(None, {"noisy": noisy})
    session = onnxruntime.InferenceSession(changed, options, providers=providers)
    assert [put.name for put in session.get_inputs()] == ["noisy", "statistics"]
    after = session.run(None, {"noisy": noisy, "statistics": zeros})
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_model_without_such_an_input_is_not_changed() -> None:
    data = (denoisers.WEIGHTS / "color.onnx").read_bytes()
    assert onnx_graph.without_default(data, settings.STATISTICS) == data
