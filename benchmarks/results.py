"""Run the commands behind the published tables, and write them with what they print to docs/results.md.

    python benchmarks/results.py [--data ../shared/data] [--out docs/results.md]

The data folder holds the test sets cbsd68, bsd68, set12 and kodak24, none of which was trained on or tuned with, and
the PolyU development pairs. Takes about ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

LEVELS = "--noise gaussian:15 gaussian:25 gaussian:50"
SECTIONS = {
    "Gaussian noise, colour": (
        "Told the level; the noisy picture is not clipped; PSNR over all channels after rounding to 8 bits.",
        [
            f"unnoise evaluate color nlm wavelet --data images:{{data}}/cbsd68 {LEVELS}",
            f"unnoise evaluate color --data images:{{data}}/kodak24 {LEVELS}",
        ],
    ),
    "Gaussian noise, level found": (
        "The same pictures, and nothing told.",
        [f"unnoise evaluate color --blind --data images:{{data}}/cbsd68 {LEVELS}"],
    ),
    "Grey pictures": (
        "The colour network on three copies of the grey picture; a network for grey pictures is still to come.",
        [
            f"unnoise evaluate color --data images:{{data}}/bsd68 {LEVELS}",
            f"unnoise evaluate color --data images:{{data}}/set12 {LEVELS}",
        ],
    ),
    "Real camera noise, nothing told": (
        "PolyU development pairs, single shots against the mean of many. The estimator's constants were chosen on "
        "these pairs, the network was not trained on them.",
        ["unnoise evaluate color nlm wavelet --data pairs:{data}/polyu"],
    ),
    "Clean pictures, nothing told": (
        "What the main job takes from pictures that have no noise: Kodak24 against itself.",
        ["unnoise evaluate color --blind --data images:{data}/kodak24 --noise gaussian:0"],
    ),
    "The noise level, found blindly": ("", ["python benchmarks/estimation.py --data {data}"]),
    "Speed": ("", ["python benchmarks/speed.py"]),
}


def main() -> None:
    """Run everything and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="../shared/data")
    parser.add_argument("--out", type=Path, default=Path("docs/results.md"))
    arguments = parser.parse_args()
    page = ["# Results", "", "Written by `python benchmarks/results.py`, which runs the commands that stand here."]
    for title, (text, commands) in SECTIONS.items():
        page += ["", f"## {title}"] + (["", text] if text else [])
        for template in commands:
            command = template.format(data=arguments.data)
            print(command, file=sys.stderr)
            page += ["", "```sh", command, "```", "", run(command)]
    arguments.out.write_text("\n".join(page) + "\n", encoding="utf-8")


def run(command: str) -> str:
    """Run a command with this interpreter and return what it prints."""
    program, *words = shlex.split(command)
    call = [sys.executable, *words] if program == "python" else [sys.executable, "-m", program, *words]
    return subprocess.run(call, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


if __name__ == "__main__":
    main()
