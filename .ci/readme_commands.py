"""Print one of the set-up command lines of README.md: python .ci/readme_commands.py 1

A set-up line is a line of a fenced `sh` block that holds `pip install`. README has two: the first sets up and cleans a
picture, the second sets up for development and runs the tests.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"
COUNT = 2


def commands(text: str) -> list[str]:
    """Return the command lines of all fenced `sh` blocks of a page that hold `pip install`."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines() if "pip install" in line]


def main() -> None:
    """Print the line whose number, from 1, is the argument."""
    found = commands(README.read_text(encoding="utf-8"))
    if len(found) != COUNT:
        sys.exit(f"README.md must hold {COUNT} lines with 'pip install' in its sh blocks, not {len(found)}")
    print(found[int(sys.argv[1]) - 1])


if __name__ == "__main__":
    main()
