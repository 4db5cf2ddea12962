"""The wheel holds all that the package needs, and README's first command works from it, outside the checkout."""

from __future__ import annotations

import os
import site
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
pytest.importorskip("hatchling")


def run(*words: str | Path, cwd: Path, environment: dict[str, str]) -> str:
    """Run a command that must succeed; return what it prints."""
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    return {key: value for key, value in os.environ.items() if key not in hidden}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, environment: dict[str, str]) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--wheel-dir", str(folder)]
    run(sys.executable, "-m", "pip", "wheel", *options, ROOT, cwd=folder, environment=environment)
    (file,) = folder.glob("*.whl")
    return file


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("unnoise/")}
    files = [path for path in (ROOT / "src").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert packed == {path.relative_to(ROOT / "src").as_posix() for path in files}
    assert {"unnoise/denoisers/weights/color.onnx", "unnoise/service/static/index.html"} <= packed


def test_the_main_job_works_from_the_wheel(wheel: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    venv.create(tmp_path / "venv", with_pip=False, symlinks=os.name != "nt")
    binaries = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin")
    packages = next((tmp_path / "venv").rglob("site-packages"))
    pip = [sys.executable, "-m", "pip", "--python", binaries / "python", "--disable-pip-version-check"]
    run(*pip, "install", "--quiet", "--no-deps", wheel, cwd=tmp_path, environment=environment)
    (packages / "dependencies.pth").write_text("\n".join(site.getsitepackages()))  # searched after the wheel's files
    code = "import unnoise, unnoise.cli; print(unnoise.__file__)"
    assert str(packages) in run(binaries / "python", "-c", code, cwd=tmp_path, environment=environment)
    run(binaries / "unnoise", "demo", cwd=tmp_path, environment=environment)
    run(binaries / "unnoise", "unnoise-demo/noisy.png", cwd=tmp_path, environment=environment)
    assert (tmp_path / "unnoise-demo" / "noisy.clean.png").stat().st_size > 100_000
