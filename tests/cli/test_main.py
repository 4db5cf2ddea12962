"""The command line: correct and incorrect calls."""

from __future__ import annotations

import functools
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from unnoise import __version__, io as image_io
from unnoise.cli import main
from unnoise.pipeline import process as pipeline, watch

SOURCE = Path(main.__file__).parents[2]
Call = Callable[..., tuple[int, str, str]]


@functools.cache
def encoded(suffix: str) -> bytes:
    noisy = np.random.default_rng(0).integers(60, 190, (24, 31, 3), dtype=np.uint8)
    return image_io.encode(image_io.from_array(noisy), suffix)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to a folder with a.png, "b ü [1].jpg", and one file for every way of being an invalid image."""
    monkeypatch.chdir(tmp_path)
    Path("a.png").write_bytes(encoded(".png"))
    Path("b ü [1].jpg").write_bytes(encoded(".jpg"))
    Path("bad").mkdir()
    Path("bad/cut.png").write_bytes(encoded(".png")[:500])
    Path("bad/empty.png").touch()
    Path("bad/text.png").write_text("no picture")
    return tmp_path


@pytest.fixture
def unnoise(capsys: pytest.CaptureFixture[str]) -> Call:
    """Return the command: words -> (exit status, stdout, stderr). All lines on stderr must be our own messages."""

    def call(*words: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as left:
            main.main([str(word) for word in words])
        out, err = capsys.readouterr()
        assert all(line.startswith("unnoise: ") for line in err.splitlines()), err
        assert "unexpected error" not in err
        return int(left.value.code or 0), out, err

    return call


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def process(*words: str, **options: int) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    return subprocess.Popen([sys.executable, "-m", "unnoise", *words], env=environment, **options)


# The main job


def test_a_picture_is_cleaned_beside_itself(unnoise: Call, here: Path) -> None:
    assert unnoise("a.png", "-m", "median") == (0, "a.clean.png: denoised with median\n", "")
    assert image_io.read("a.clean.png").pixels.std() < 0.7 * image_io.read("a.png").pixels.std()
    assert Path("a.png").read_bytes() == encoded(".png")


def test_folders_patterns_and_odd_names(unnoise: Call, here: Path) -> None:
    status, out, err = unnoise("clean", "*.jpg", "b ü [1].jpg", "a.png", "-o", "new/folder", "--model", "median")
    assert (status, err) == (0, "")
    assert [line.partition(": ")[0] for line in out.splitlines()] == [
        str(Path("new/folder") / name) for name in ("b ü [1].jpg", "a.png")
    ]


def test_bad_files_among_good_ones(unnoise: Call, here: Path) -> None:
    status, out, err = unnoise(".", "missing.png", "-o", "out", "-m", "median")
    assert status == 1
    assert files(Path("out")) == ["a.png", "b ü [1].jpg", "unnoise.jsonl"] and len(out.splitlines()) == 2
    failed = [line.split(":")[1].strip() for line in err.splitlines()]
    assert failed == ["bad/cut.png", "bad/empty.png", "bad/text.png", "missing.png"]


def test_bad_files_alone_leave_a_manifest_at_most(unnoise: Call, here: Path) -> None:
    before = files(here)
    status, out, err = unnoise("bad", "missing.png", "-o", "out", "-m", "median")
    assert (status, out, len(err.splitlines())) == (2, "", 4)
    assert files(here) == [*before, "out/unnoise.jsonl"]
    assert unnoise("bad/cut.png", "-o", "cut.png", "-m", "median")[0] == 2 and not Path("cut.png").exists()


def test_json_tells_every_file(unnoise: Call, here: Path) -> None:
    status, out, err = unnoise("a.png", "bad/empty.png", "--sigma", "20", "-m", "tv", "--json")
    good, bad = map(json.loads, out.splitlines())
    assert status == 1 and good["target"] == "a.clean.png" and good["error"] is None
    assert (good["sigma"], good["model"]) == (20, "tv")
    assert bad["error"] == "bad/empty.png: the file is empty" and f"unnoise: {bad['error']}\n" == err


def test_the_default_is_the_suggested_model(unnoise: Call, here: Path) -> None:
    (blind, given, named) = (
        json.loads(unnoise("a.png", "-o", f"{n}.png", "--json", *more)[1])
        for n, more in enumerate(([], ["--sigma", "20"], ["--model", "color", "--sigma", "20"]))
    )
    assert blind["model"] == given["model"] == named["model"] == "color"
    assert blind["sigma"] > 25 and given["sigma"] == 20
    assert Path("1.png").read_bytes() == Path("2.png").read_bytes() != Path("0.png").read_bytes()


def test_nothing_is_overwritten_unasked(unnoise: Call, here: Path) -> None:
    Path("a.clean.png").write_text("mine")
    for words in ("a.png", "a.png -o a.png", "a.png -o .", "demo -o a.png", "add gaussian:5 a.png -o a.png"):
        assert unnoise(*words.split())[0] == 2
    assert Path("a.clean.png").read_text() == "mine" and Path("a.png").read_bytes() == encoded(".png")
    assert unnoise("a.png", "-o", "a.png", "--overwrite", "-m", "median")[:2] == (0, "a.png: denoised with median\n")
    assert Path("a.png").read_bytes() != encoded(".png")


def test_a_link_is_cleaned_and_stays(unnoise: Call, here: Path) -> None:
    Path("link.png").symlink_to("a.png")
    assert unnoise("link.png", "-m", "median")[:2] == (0, "link.clean.png: denoised with median\n")
    assert Path("link.png").is_symlink() and not Path("link.clean.png").is_symlink()


def test_the_pixel_limit(unnoise: Call, here: Path) -> None:
    assert "limit of 100" in unnoise("a.png", "--max-pixels", "100")[2]
    assert unnoise("inspect", "a.png", "--max-pixels", "100")[0] == 2


def test_a_closed_folder(unnoise: Call, here: Path) -> None:
    Path("bad").chmod(0o555)
    if os.access("bad", os.W_OK):
        pytest.skip("this user may write everywhere")
    status, _, err = unnoise("a.png", "-o", "bad/new/x.png")
    assert status == 2 and "no permission" in err


def test_an_interruption_leaves_nothing(unnoise: Call, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    before = files(here)
    monkeypatch.setattr(pipeline, "denoise_picture", interrupted)
    note = "interrupted: 0 of 5 files done (0 denoised, 0 copied, 0 failed); the same command does the rest"
    assert unnoise(".", "-o", "out", "-m", "median") == (130, "", f"unnoise: {note}\n")
    assert files(here) == before and not Path("out").exists()


def test_an_archive_is_brought_up_to_date(unnoise: Call, here: Path) -> None:
    words = (".", "-o", "out", "-m", "median")
    assert unnoise(*words)[0] == 1
    Path("bad/empty.png").write_bytes(encoded(".png"))
    status, out, err = unnoise(*words, "--workers", "2")
    assert (status, out.splitlines()) == (1, [f"{Path('out/bad/empty.png')}: denoised with median"])
    assert err.splitlines()[-1] == "unnoise: 2 skipped (done and unchanged), 1 denoised, 0 copied, 2 failed"
    rows = [json.loads(line) for line in unnoise(*words, "--json")[1].splitlines()]
    assert [row["source"] for row in rows if row["skipped"]] == ["a.png", "b ü [1].jpg", "bad/empty.png"]


@pytest.mark.parametrize("names", [b"a.png\nb \xc3\xbc [1].jpg\n", b"a.png\0b \xc3\xbc [1].jpg\0"])
def test_a_list_of_names(unnoise: Call, here: Path, monkeypatch: pytest.MonkeyPatch, names: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(names)))
    assert unnoise("--files-from", "-", "-o", "out", "-m", "median")[::2] == (0, "")
    Path("list").write_bytes(names)
    assert unnoise("--files-from", "list", "-o", "two", "-m", "median")[::2] == (0, "")
    assert files(Path("out")) == files(Path("two")) == ["a.png", "b ü [1].jpg", "unnoise.jsonl"]


def test_a_name_that_is_no_text_has_its_line(here: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    try:
        Path(os.fsdecode(b"\xff.png")).write_bytes(encoded(".png"))
    except OSError:
        pytest.skip("this file system takes only text as names")
    for message in (b"", b"unnoise: 2 skipped (done and unchanged), 0 denoised, 0 copied, 0 failed\n"):
        with pytest.raises(SystemExit):
            main.main(["*.png", "-o", "out", "-m", "median"])
        assert capfdbinary.readouterr().err == message


def test_watching_goes_on_until_it_is_interrupted(unnoise: Call, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            Path("new.png").write_bytes(encoded(".png"))
        if len(slept) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(watch.watch_folder, "__defaults__", (sleep,))
    status, out, _ = unnoise("*.png", "-o", "out", "-m", "median", "--watch")
    assert (status, out.splitlines()) == (
        130,
        [f"{Path('out') / name}: denoised with median" for name in ("a.png", "new.png")],
    )


def test_what_was_done_is_said(unnoise: Call, here: Path) -> None:
    image_io.from_array(np.full((40, 50, 3), 99, np.uint8)).save("flat.png")
    status, out, err = unnoise("*.png", "-o", "out")
    noisy, flat = out.splitlines()
    assert status == 0 and err == "unnoise: 1 denoised, 1 copied, 0 failed\n"
    assert re.fullmatch(r"out.flat\.png: no noise found, copied \(.+ is below 1/255\)", flat)
    assert re.fullmatch(r"out.a\.png: Gaussian noise, sigma [\d.]+, denoised with color", noisy)
    assert Path("out/flat.png").read_bytes() == Path("flat.png").read_bytes()
    again = unnoise("*.png", "-o", "out", "--json")
    rows = [json.loads(line) for line in again[1].splitlines()]
    assert again[2] == "unnoise: 2 skipped (done and unchanged), 0 denoised, 0 copied, 0 failed\n"
    assert [(row["done"], row["noise"], row["model"]) for row in rows] == [
        ("denoised", "gaussian", "color"),
        ("copied", "none", None),
    ]
    assert rows[0]["sigma"] > 25 and rows[1]["sigma"] == 0 and rows[1]["reason"].endswith("is below 1/255")


def test_the_limit_of_noise_can_be_moved(unnoise: Call, here: Path) -> None:
    image_io.from_array(np.full((40, 50, 3), 99, np.uint8)).save("flat.png")
    assert unnoise("*.png", "-o", "out", "--force")[1].splitlines()[1].endswith("denoised with blind all the same")
    _, out, err = unnoise("*.png", "-o", "out", "--min-noise", "200")  # other options: both are done again
    assert out.count("no noise found, copied") == 2 and err == "unnoise: 0 denoised, 2 copied, 0 failed\n"


# Pipes


def test_a_name_that_is_no_text_is_printed_as_it_is(here: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    try:
        Path(os.fsdecode(b"\xff.png")).write_bytes(encoded(".png"))
    except OSError:
        pytest.skip("this file system takes only text as names")
    with pytest.raises(SystemExit):
        main.main(["*.png", "-m", "median"])
    assert capfdbinary.readouterr() == (
        b"a.clean.png: denoised with median\n\xff.clean.png: denoised with median\n",
        b"",
    )


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_pipe_keeps_the_format(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes], suffix: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(encoded(suffix))))
    with pytest.raises(SystemExit) as left:
        main.main(["-", "-m", "median"])
    out, err = capfdbinary.readouterr()
    assert (left.value.code, err) == (0, b"unnoise: denoised with median\n")
    assert image_io.suffix_of(out) == suffix and image_io.read(out).pixels.std() < 0.1


@pytest.mark.parametrize("as_json", [False, True])
def test_a_pipe_says_what_was_done(
    here: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes], as_json: bool
) -> None:
    flat = image_io.encode(image_io.from_array(np.full((40, 50, 3), 99, np.uint8)), ".png")
    for words in (["-"], ["-", "-o", "x.png"]):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(flat)))
        with pytest.raises(SystemExit):
            main.main([*words, *(["--json"] if as_json else [])])
        out, err = capfdbinary.readouterr()
        said = out if "-o" in words else err
        if as_json:
            assert json.loads(said)["done"] == "copied" and json.loads(said)["target"] == (words[2:] or [None])[0]
        else:
            assert said.count(b"\n") == 1 and b"no noise found, copied" in said
        assert (out == flat) if "-o" not in words else (err == b"" and Path("x.png").read_bytes() == flat)


@pytest.mark.parametrize("data", [b"", b"no picture", encoded(".png")[:500]])
def test_a_bad_pipe(unnoise: Call, here: Path, monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    assert "cannot be mixed with files" in unnoise("-", "a.png")[2]
    for words in (["-"], ["-", "-o", "out.png"], ["-", "-o", "out.xyz"]):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        status, out, err = unnoise(*words)
        assert (status, out, err.count("\n")) == (2, "", 1)
    assert not Path("out.png").exists()


def test_a_closed_pipe_is_left_in_silence(here: Path) -> None:
    running = process(".", "-o", "out", "-m", "median", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    running.stdout.close()
    assert b"Traceback" not in (err := running.stderr.read()) and b"BrokenPipe" not in err
    running.stderr.close()
    running.wait(60)
    assert not list(Path().rglob("*.part"))


# Wrong calls


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["missing.png"], "missing.png: cannot be read: No such file"),
        (["*.gif"], r"\*.gif: cannot be read"),
        ([""], "an empty name"),
        (["inspct", "a.png"], "did you mean unnoise inspect"),
        (["evaluat", "tv", "--data", "images:."], "did you mean unnoise evaluate"),
        (["help"], "did you mean unnoise --help"),
        (["a.png", "--sgima", "3"], "No such option.*--sigma.*see unnoise clean --help"),
        (["a.png", "--sigma", "-3"], "sigma must be between 0 and 255"),
        (["a.png", "--strength", "nan"], "strength must be between 0 and 1.5, got nan"),
        (["a.png", "--min-noise", "256"], "minimum noise level must be between 0 and 255"),
        (["a.png", "--min-noise", "3", "--sigma", "4"], "leave sigma out"),
        (["a.png", "--force", "-m", "median"], "force, are for the model auto"),
        (["a.png", "--quality", "101"], "quality must be between 1 and 100, got 101"),
        (["a.png", "-m", "colour"], "unknown model 'colour': did you mean 'color'"),
        (["a.png", "-m", "gone.onnx"], "no model file 'gone.onnx'"),
        (["a.png", "-m", "tv:wait=1"], "unknown option of tv 'wait': did you mean 'weight'"),
        (["a.png", "-o", "a.xyz"], "writes .jpg, .png.* not .xyz"),
        (["a.png", "-o", "bad/empty.png/x"], "is a file"),
        (["a.png", "-o", ""], "an empty name"),
        (["a.png", "b ü [1].jpg", "-o", "c.png"], "there are 2 images: name a folder"),
        (["--files-from", "gone"], "gone: cannot be read: No such file"),
        (["--files-from", "bad/empty.png"], "the list .* is empty"),
        (["a.png", "-o", "-", "--dry-run"], "-o - writes one image"),
        (["a.png", "b ü [1].jpg", "-o", "-"], "takes one image, and here are 2"),
        (["missing.png", "-o", "-"], "missing.png: cannot be read"),
        (["bad/text.png", "-o", "-"], "bad/text.png: not an image"),
        (["a.png", "-o", "x/", "--watch", "--dry-run"], "leave --watch out"),
        (["a.png", "--watch"], "--watch needs an output folder"),
        (["a.png", "--workers", "0"], "Invalid value for '--workers'"),
        (["a.png", "-o"], "-o.*requires an argument"),
        (["clean"], "Missing argument.*see unnoise clean --help"),
        (["inspect", "missing.png"], "missing.png: cannot be read"),
        (["add", "gausian:5", "a.png", "-o", "x.png"], "unknown noise 'gausian': did you mean 'gaussian'"),
        (["add", "gaussian:5", "missing.png", "-o", "x.png"], "missing.png: cannot be read"),
        (["add", "gaussian:5", "a.png", "-o", "nowhere/x.png"], "folder nowhere does not exist"),
        (["evaluate", "tv", "--data", "images:nowhere", "--noise", "gaussian:5"], "no data at 'nowhere'"),
        (["evaluate", "tv", "--data", "imags:.", "--noise", "gaussian:5"], "unknown dataset 'imags'"),
        (["evaluate", "tv", "--data", "images:."], "name a noise"),
        (["demo", "-o", "a.png"], "is a file|cannot make"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_invalid_calls_give_a_one_line_error(unnoise: Call, here: Path, words: list[str], message: str) -> None:
    before = files(here)
    status, out, err = unnoise(*words)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert re.search(message, err), err
    assert files(here) == before


def test_debug_shows_where(here: Path) -> None:
    running = process("a.png", "-m", "colour", "--debug", stderr=subprocess.PIPE)
    err = running.communicate(timeout=60)[1].decode()
    assert running.returncode == 2 and "Traceback" in err and err.endswith("did you mean 'color'?\n")


# The other verbs


def test_nothing_asked_is_answered_with_help(unnoise: Call) -> None:
    (status, out, _), asked = unnoise(), unnoise("--help")
    assert (status, out) == (2, asked[1]) and asked[0] == 0
    assert all(verb in out for verb in ("clean", "inspect", "add", "models", "evaluate", "train", "export", "demo"))


def test_version_is_quick(fresh_python: Callable[[str], str]) -> None:
    code = "import sys; from unnoise.cli.main import main\ntry: main(['--version'])\nfinally: print(*sys.modules)"
    version, modules = fresh_python(code).splitlines()
    assert version == f"unnoise {__version__}"
    assert not {"numpy", "rich.console", "pyvips", "skimage", "onnxruntime", "torch"} & set(modules.split())


def test_inspect_tells_each_file(unnoise: Call, here: Path) -> None:
    status, out, err = unnoise("inspect", ".")
    assert status == 1 and len(err.splitlines()) == 3
    assert [line.partition(": ")[0] for line in out.splitlines()] == ["a.png", "b ü [1].jpg"]
    row = json.loads(unnoise("inspect", "a.png", "--json")[1])
    assert row["path"] == "a.png" and row["sigma"] > 0 and row["kind"] == "gaussian"
    assert (row["model"], row["impulses"]) == ("color", 0) and "suggested model: color" in out


def test_inspect_draws_a_map(unnoise: Call, here: Path) -> None:
    status, out, err = unnoise("inspect", "a.png", "--map", "m.png")
    first, second = out.splitlines()
    assert (status, err) == (0, "") and first.startswith("a.png: gaussian noise")
    assert re.match(r"m\.png: estimated noise level in 8-bit units, logarithmic: .*; here [\d.]+ to [\d.]+", second)
    assert image_io.read("m.png").to_array().shape == (24, 31, 1)
    row = json.loads(unnoise("inspect", "a.png", "--map", "m.png", "--overwrite", "--json")[1])
    assert row["map"]["path"] == "m.png" and row["map"]["lowest"] <= row["map"]["highest"]
    assert (row["map"]["black"], row["map"]["white"], row["map"]["scale"]) == (0.5, 64, "logarithmic")
    before = files(here)
    for words, message in {
        ("a.png", "--map", "m.png"): "already exists",
        (".", "--map", "n.png"): "--map takes one image, and here are",
        ("a.png", "--map", "n.tif"): "is a .png file",
        ("bad/cut.png", "--map", "n.png"): "bad/cut.png",
    }.items():
        status, out, err = unnoise("inspect", *words)
        assert (status, out, err.count("\n")) == (2, "", 1) and message in err
    assert files(here) == before


def test_add_puts_the_same_noise_in(unnoise: Call, here: Path) -> None:
    for name in ("x.png", "y.png"):
        assert unnoise("add", "gaussian:20 + clip", "a.png", "-o", name, "--seed", "7") == (0, f"{name}\n", "")
    assert Path("x.png").read_bytes() == Path("y.png").read_bytes() != encoded(".png")
    assert unnoise("add", "gaussian:20", "a.png", "-o", "x.png")[0] == 2


def test_models_lists_all(unnoise: Call) -> None:
    named = [row["name"] for row in json.loads(unnoise("models", "--json")[1])]
    assert {"color", "median", "nlm"} <= set(named)
    assert [line.split()[0] for line in unnoise("models")[1].splitlines() if line[0] != " "] == named


def test_evaluate_prints_a_row_per_noise_and_model(unnoise: Call, here: Path) -> None:
    words = ["evaluate", "median", "tv", "--data", "images:a.png", "--noise", "gaussian:5", "gaussian:9", "--seed", "1"]
    status, out, _ = unnoise(*words)
    rows = [re.split(r"\s*\|\s*", line)[1:-1] for line in out.splitlines()]
    assert status == 0 and rows[0][:4] == ["model", "data", "noise", "images"]
    expected = ["median gaussian:5", "tv gaussian:5", "median gaussian:9", "tv gaussian:9"]
    assert [f"{row[0]} {row[2]}" for row in rows[2:]] == expected
    parsed = [json.loads(line) for line in unnoise(*words, "--json")[1].splitlines()]
    assert [f"{row['psnr']:.2f}" for row in parsed] == [row[5] for row in rows[2:]]


def test_evaluate_draws_a_line_per_model(unnoise: Call, here: Path) -> None:
    pytest.importorskip("matplotlib")
    words = ["evaluate", "median", "tv", "--data", "images:a.png", "--curve", "curve.png", "--noise", "gaussian:5"]
    for more, message in (
        ([], "at least two noise levels"),
        (["poisson:30"], "got 'poisson:30'"),
        (["gaussian:9", "--curve", "curve.jpg"], "a .png file"),
        (["gaussian:9", "--curve", "gone/curve.png"], "does not exist"),
        (["gaussian:9", "--curve", "a.png"], "already exists"),
    ):
        status, out, err = unnoise(*words, *more)
        assert (status, out, err.count("\n")) == (2, "", 1) and message in err, err
    assert not Path("curve.png").exists()
    assert unnoise(*words, "gaussian:9 + clip")[0] == 0
    assert Path("curve.png").read_bytes().startswith(b"\x89PNG")
    assert unnoise(*words, "gaussian:9", "--overwrite")[0] == 0
    assert "curve.png" in files(here) and len(files(here)) == 6


def test_an_ensemble_does_otherwise(unnoise: Call, here: Path) -> None:
    words = ["evaluate", "color", "--data", "images:a.png", "--noise", "gaussian:25", "--json"]
    plain, ensemble = (json.loads(unnoise(*words, *more)[1])["psnr"] for more in ([], ["--ensemble"]))
    assert 0 < abs(plain - ensemble) < 1
    for out, more in (("plain.png", []), ("ensemble.png", ["--ensemble"])):
        assert unnoise("a.png", "-o", out, *more)[0] == 0
    assert Path("plain.png").read_bytes() != Path("ensemble.png").read_bytes()


def test_json_has_no_word_for_nan(unnoise: Call, tmp_path: Path) -> None:
    image_io.from_array(np.full((5, 5), 99, np.uint8)).save(tmp_path / "small.png")
    out = unnoise("evaluate", "median", "--data", f"images:{tmp_path}", "--noise", "gaussian:5", "--json")[1]
    assert json.loads(out, parse_constant=pytest.fail)["ssim"] is None


def test_demo_shows_what_the_tool_does(unnoise: Call, here: Path) -> None:
    status, out, _ = unnoise("demo", "-o", "shown")
    noisy, clean = (float(value) for value in re.findall(r"([\d.]+) dB", out))
    assert status == 0 and clean > noisy + 5
    assert files(Path("shown")) == ["clean.png", "comparison.png", "noisy.png"]
    Path("shown/noisy.png").unlink()
    assert unnoise("demo", "-o", "shown")[0] == 2
    assert files(Path("shown")) == ["clean.png", "comparison.png"]


def test_train_and_export_refuse_in_one_line(unnoise: Call, here: Path) -> None:
    pytest.importorskip("torch")
    recipe = {"name": "x", "network": "dncnn", "noise": "gaussian:25", "data": {"train": ["images:."]}}
    Path("r.yaml").write_text(json.dumps({**recipe, "train": {"steps": 1}}))
    for words, message in (
        (["train", "missing.yaml"], "cannot read the recipe"),
        (["train", "r.yaml", "train.stepps=5"], "did you mean 'train.steps'"),
        (["train", "r.yaml", "faster"], "write key=value"),
        (["export", "missing.safetensors"], "missing.safetensors"),
        (["export", "a.png"], "a.png"),
    ):
        status, out, err = unnoise(*words)
        assert (status, out, err.count("\n")) == (2, "", 1) and message in err, err
    assert not Path("runs").exists()
