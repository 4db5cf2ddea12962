"""Run the commands behind the published tables, and write them with their output to docs/results.md.

    python benchmarks/results.py [SECTION...] [--data ../shared/data] [--out docs/results.md]

SECTION is the beginning of a title ("DnCNN"); other sections are not changed. The data folder holds the test sets
cbsd68, bsd68, set12 and kodak24, none of which was trained on or tuned with, and the data of the reproductions. The
whole page takes about an hour on two cores, the sections of the bundled models ten minutes.
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from pathlib import Path

LEVELS = "--noise gaussian:15 gaussian:25 gaussian:50"
IN_FILES = "--noise " + " ".join(f"'gaussian:{level} + clip + quantize:8'" for level in (15, 25, 50))
SECTIONS = {
    "Gaussian noise, color": (
        "Sigma is given; the noisy image is not clipped; PSNR over all channels after rounding to 8 bits. Seconds "
        "in this and the next two sections were measured while tests ran on the same machine, and are not "
        "reliable.",
        [
            f"unnoise evaluate --engine onnx color color-large nlm wavelet --data images:{{data}}/cbsd68 {LEVELS}",
            f"unnoise evaluate --engine onnx color color-large --data images:{{data}}/kodak24 {LEVELS}",
        ],
    ),
    "Gaussian noise, clipped and quantized": (
        "As above, but clipped to [0, 1] and rounded to 8 bits, as in a file: noise on white can only darken it. "
        "The sigma that was added is given.",
        [
            f"unnoise evaluate --engine onnx color --data images:{{data}}/cbsd68 {IN_FILES}",
            f"unnoise evaluate --engine onnx gray --data images:{{data}}/bsd68 {IN_FILES}",
        ],
    ),
    "Gaussian noise, blind": (
        "The same images, with sigma estimated.",
        [f"unnoise evaluate --engine onnx color --blind --data images:{{data}}/cbsd68 {LEVELS}"],
    ),
    "Gray images": (
        "The gray network, and the color network on three copies of the gray image.",
        [
            f"unnoise evaluate --engine onnx gray color --data images:{{data}}/bsd68 {LEVELS}",
            f"unnoise evaluate --engine onnx gray color --data images:{{data}}/set12 {LEVELS}",
        ],
    ),
    "Impulse and other noise, blind": (
        "`impulse`, which is blind, beside classical filters; these are given sigma where one number describes "
        "the noise. The last images are gray, and `impulse` is given three copies of them.",
        [
            "unnoise evaluate --engine onnx impulse adaptive-median median --data images:{data}/cbsd68 "
            "--noise salt-pepper:0.1 salt-pepper:0.3 salt-pepper:0.5 salt-pepper:0.3,independent=true",
            "unnoise evaluate --engine onnx impulse adaptive-median median wavelet --data images:{data}/cbsd68 "
            "--noise 'salt-pepper:0.1 + gaussian:15' 'poisson:30 + salt-pepper:0.1'",
            "unnoise evaluate --engine onnx impulse wavelet bilateral tv median --data images:{data}/cbsd68 "
            "--noise poisson:30 speckle:50 uniform:40 'poisson:30 + gaussian:10'",
            "unnoise evaluate --engine onnx impulse adaptive-median --data images:{data}/bsd68 "
            "--noise salt-pepper:0.3 'salt-pepper:0.1 + gaussian:15'",
        ],
    ),
    "Black and white image content": (
        "A page of print, and contrast-stretched photographs; blind.",
        ["python benchmarks/quality/saturated.py --data {data}"],
    ),
    "Real camera noise": (
        "PolyU development pairs, single shots against the mean of many. `photo` is trained on such pairs: the "
        "scores are those of two trainings of the same recipe (`python benchmarks/quality/folds.py`), each on its "
        "held-out scenes. The others are given their best sigma, chosen with knowledge of the truth. The recipe "
        "was chosen on one of the two folds, its `start_weight` on both, and the ranges of its noise and the "
        "constants of the noise estimation on the pairs.",
        ["python benchmarks/quality/camera.py --data {data}"],
    ),
    "JPEG artifacts, blind": (
        "Clean images compressed as JPEG, against the truth. `auto` is the main command: where JPEG's block grid "
        "does not stand out, it leaves an image as it is, unless it finds other noise.",
        [
            "unnoise evaluate --engine onnx auto photo color --blind --data images:{data}/kodak24 "
            "--noise jpeg:40 jpeg:60 jpeg:75 jpeg:85 jpeg:95",
        ],
    ),
    "Clean images, blind": (
        "What the main command changes in images without noise: Kodak24 against itself.",
        ["unnoise evaluate --engine onnx auto color --blind --data images:{data}/kodak24 --noise gaussian:0"],
    ),
    "Noise estimation": ("", ["python benchmarks/quality/estimation.py --data {data}"]),
    "Model selection": (
        "What `--model auto` selects, blind, beside the best of the models for each image; `color-large`, which "
        "costs five times as much and is never selected, is left out.",
        ["python benchmarks/quality/estimation.py --selection --images 8 --data {data}"],
    ),
    "Camera calibration": (
        "Errors in percent: of gain, read and row noise from generated flat and dark frames; and of the standard "
        "deviation of the noise, at gray levels 0.2, 0.5 and 0.8, estimated from each of the 24 images of Kodak24 "
        "alone, in gray. Fine texture of an image, and the noise of its own camera, count as noise there.",
        ["python benchmarks/quality/calibration.py --data {data}"],
    ),
    "Expected and real error": (
        "The pixels of Kodak24, sorted into ten bins by their expected error; root mean squares in 8-bit units. "
        "Fitted on BSDS500, to Gaussian noise alone; the grain of photographs was added, measured on images of "
        "scikit-image, after a first run of this had shown the real error of its smoothest tenth at sigma 15 to "
        "be 1.44 times the expected one. Poisson noise is blind.",
        ["python benchmarks/quality/uncertainty.py --data {data}"],
    ),
    "Learning from a single image": (
        "Zero-shot Noise2Noise and Deep Image Prior beside bundled models, on all twelve images of Set12 at full "
        "size; the level of Poisson noise is not given. Seconds are processor time of one core, the mean over "
        "images of 256x256 and 512x512; those of Deep Image Prior, which takes more than an hour for each of its "
        "tables, and of `gray` and `impulse`, are of other, faster machines.",
        [
            "python benchmarks/quality/per_image.py deep_prior --noise gaussian:25 --data images:{data}/set12",
            "python benchmarks/quality/per_image.py zero_shot gray nlm --noise gaussian:25 --data images:{data}/set12",
            "python benchmarks/quality/per_image.py deep_prior --noise poisson:30 --data images:{data}/set12",
            "python benchmarks/quality/per_image.py zero_shot impulse gray nlm --noise poisson:30 "
            "--data images:{data}/set12",
        ],
    ),
    "Speed": (
        "Two cores of a processor with bfloat16 instructions, otherwise idle.",
        ["python benchmarks/speed/denoisers.py", "python benchmarks/speed/cost.py"],
    ),
    "The whole command": (
        "From a JPEG on the command line to the clean file, beside the network alone.",
        ["python benchmarks/speed/command.py --repeats 2"],
    ),
    "Memory": (
        "Peak memory of the process, with ONNX Runtime. The gigapixel was processed while other work ran on the "
        "machine.",
        [
            "python benchmarks/speed/memory.py --megapixels 1 12 50 200",
            "python benchmarks/speed/memory.py --megapixels 1000",
        ],
    ),
    "Robustness": (
        "A folder of files of all formats and bit depths, some of them broken; mutated files; and a batch that is "
        "killed and resumed. `wrong`, `crashes`, and all columns after them, should be 0. The last table shows what "
        "becomes of every kind of metadata: `kept`, `patched` for the clean image, left out and `named` in a "
        "warning, or `refused` with the image; `lost` should be 0.",
        [
            "python benchmarks/robustness/mixed_folder.py",
            "python benchmarks/robustness/fuzz.py",
            "python benchmarks/robustness/kill.py",
            "python benchmarks/robustness/metadata.py",
        ],
    ),
    "From one machine to many": (
        "Ray beside the plain pipeline, and an extrapolation from it: see [scale](explanation/scale.md).",
        ["python benchmarks/speed/cluster.py --data {data} --images 32 --copies 1 --rounds 1"],
    ),
    "The service": (
        "64 clients that send images of one megapixel for a minute, beside the bare model; and hostile clients, "
        "32 of each kind, with the time until the next honest client is served. `wrong` and `failed` should be 0.",
        ["python benchmarks/robustness/load.py", "python benchmarks/robustness/load.py --abuse"],
    ),
    "DnCNN on BSDS500": (
        "Thirty epochs take days on the two cores that this was made on. The models in examples/models/ are "
        "partly trained: `dncnn` 1,100 steps of 32 patches (0.41 epochs), `dncnn_gray` 550 (0.21), `dncnn_blind` "
        "500 (0.19); `unnoise train ... --resume` continues where the run folder is, and "
        "`init_from=examples/models/NAME.safetensors` starts from the weights. The published run shows one image, "
        "20.530 dB to 31.193 dB; the table shows the mean of all 100 validation images, and the one image that "
        "comes closest to that. The published 29.23 dB (BSD68) and 30.43 dB (Set12) of the gray network are those "
        "of the full training. Seconds were measured while trainings ran on the machine, and are not reliable.\n\n"
        "![One picture: the truth, noisy, denoised](images/dncnn_picture.png)\n\n"
        "![Patches: the truth, noisy, denoised](images/dncnn_patches.png)\n\n"
        "![PSNR over noise levels](images/dncnn_levels.png)\n\n"
        "![Training and validation loss over epochs](images/dncnn_losses.png)",
        [
            "python benchmarks/methods/dncnn.py headline --data {data}",
            "unnoise evaluate examples/models/dncnn_gray.safetensors --data images:{data}/bsd68 --noise gaussian:25",
            "unnoise evaluate examples/models/dncnn_gray.safetensors --data images:{data}/set12 --noise gaussian:25",
            "python benchmarks/methods/dncnn.py curve --data {data}",
        ],
    ),
    "The restoration framework: U-Net and VAE run by a config.json": (
        "A U-Net a quarter as wide as the framework's own and a VAE, each trained on images of 128x128 with one "
        "of three noises each. STL-10 could not be obtained: 96x96 crops of photographs in its layout replace it, "
        "training and test from different photographs. The VAE's 128 numbers cannot represent an image: it stays "
        "below the noisy input in PSNR, and is reported as it is.\n\n"
        "![The U-Net's losses](images/unet_losses.png)\n\n"
        "![The VAE's losses](images/vae_losses.png)\n\n"
        "![Gaussian noise](images/framework_gaussian.png)\n\n"
        "![Salt-and-pepper noise](images/framework_salt-pepper.png)\n\n"
        "![Uniform noise](images/framework_uniform.png)",
        ["python benchmarks/methods/restoration_framework.py --data {data}"],
    ),
    "Learning without clean images": (
        "The same small network, loss and schedule, and five minutes of one core each, on the same noisy shots of "
        "BSDS500 train: with the clean images, with a second shot of each, and with nothing else. PSNR on BSD68, "
        "noise not clipped; `seconds` are processor time, since the machine was shared; `grid` is the share of "
        "the error that is a checkerboard. For N2V2, the network has no skip from its input to its output. The "
        "times are much shorter than the papers': Noise2Void, which learns from a sixteenth of the pixels in a "
        "patch, is published with 27.71 dB at sigma 25, and Neighbor2Neighbor, whose steps on half-size images "
        "are quicker, about 0.2 dB below supervised learning.\n\n"
        "Then the limits: photographs with camera noise, which is correlated between neighbors. Both tasks for "
        "single images learn to keep it, and hardly improve on the noisy input; `color`, which was made for white "
        "noise and is not trained on camera noise, is ahead of them. `photo` is trained on pairs, and on these "
        "scenes: its score on held-out scenes stands under real camera noise.",
        [
            "python benchmarks/quality/self_supervised.py gaussian:25 poisson:30 --data {data}",
            "python benchmarks/quality/self_supervised.py camera --data {data}",
        ],
    ),
    "No-reference ranking": (
        "What `unnoise evaluate --no-reference` reports on noisy center crops of Kodak24, beside the PSNR against "
        "the truth.",
        ["python benchmarks/quality/ranking.py --data images:{data}/kodak24"],
    ),
    "Image tables: encoder-decoder pixel regression": (
        "Salt-and-pepper noise on 10 % of the pixels; trained on BSDS500, scored on Kodak24. The plain network "
        "has to pass all detail through its coarsest level; with skips it is 4.5 dB above the adaptive median.\n\n"
        "![Noisy, predicted, clean](images/tables_sheet.png)\n\n"
        "![Histograms of pixel intensities](images/tables_histograms.png)",
        [
            "python benchmarks/methods/image_tables.py --data {data}",
            'unnoise table show "runs/tables/Kodak24, encoder-decoder.parquet" -o docs/images/tables_sheet.png '
            "--crop 220 --rows 3 --histograms docs/images/tables_histograms.png --overwrite",
        ],
    ),
    "Digits: the dense autoencoder": (
        "MNIST with Gaussian noise of half the full scale, clipped; scored on the 10,000 test digits. First the "
        "trained autoencoder of 64 numbers (100 epochs) beside a small convolutional network (4 epochs), then an "
        "ablation of the autoencoder's four hyperparameters at 20 epochs each.\n\n"
        "![Noisy digits over denoised ones](images/digits.png)\n\n"
        "![Training and validation loss over epochs](images/digits_losses.png)",
        [
            "python benchmarks/methods/digits.py compare runs/digits_autoencoder/digits_autoencoder.safetensors "
            "runs/digits_conv/digits_conv.safetensors --sheet docs/images/digits.png",
            "python benchmarks/methods/digits.py study --epochs 20",
        ],
    ),
}


HEAD = """# Results

Written by `python benchmarks/results.py`, which runs the commands shown here."""


def main() -> None:
    """Run the sections and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("section", nargs="*", help="beginning of a title; all by default")
    parser.add_argument("--data", default="../shared/data")
    parser.add_argument("--out", type=Path, default=Path("docs/results.md"))
    arguments = parser.parse_args()
    prefixes = tuple(arguments.section) or ("",)
    if not all(any(title.startswith(prefix) for title in SECTIONS) for prefix in prefixes):
        parser.error(f"the sections are: {', '.join(SECTIONS)}")
    sections = read_sections(arguments.out)
    for title in SECTIONS:
        if title.startswith(prefixes):
            sections[title] = measure(title, arguments.data)
    parts = [HEAD, *(f"## {title}\n\n{sections[title]}" for title in SECTIONS if title in sections)]
    arguments.out.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def read_sections(page: Path) -> dict[str, str]:
    """Return the sections of the page, title -> text."""
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    pieces = re.split(r"^## (.*)$", text, flags=re.MULTILINE)[1:]
    return {title: body.strip() for title, body in zip(pieces[::2], pieces[1::2], strict=True)}


def measure(title: str, data: str) -> str:
    """Run the commands of a section; return its text, with each command and its output."""
    text, commands = SECTIONS[title]
    parts = [text] if text else []
    for template in commands:
        command = template.format(data=data)
        print(command, file=sys.stderr)
        parts.append(f"```sh\n{command}\n```\n\n{run(command)}")
    return "\n\n".join(parts)


def run(command: str) -> str:
    """Run a command with this interpreter, and return its output."""
    program, *arguments = shlex.split(command)
    call = [sys.executable, *arguments] if program == "python" else [sys.executable, "-m", program, *arguments]
    return subprocess.run(call, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


if __name__ == "__main__":
    main()
