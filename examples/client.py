"""A client of `unnoise serve`, with the standard library only.

    python client.py noisy.jpg clean.jpg [--model color] [--sigma 25] [--strength 0.8] [--address http://127.0.0.1:8000]

A busy service answers 429 and says when to retry; this client does. The key, if the service requires one, is read from
the variable UNNOISE_KEY.
"""

import argparse
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path


def denoise(picture: bytes, address: str, *, tries: int = 10, **asked: object) -> tuple[bytes, str]:
    """Send an image; return the denoised one, and the name of the model.

    Raises:
        ValueError: the service refuses it; the line says why.
        OSError: the service cannot be reached.
    """
    query = urllib.parse.urlencode({name: value for name, value in asked.items() if value is not None})
    request = urllib.request.Request(f"{address}/v1/denoise?{query}", picture)
    request.add_header("Content-Type", "application/octet-stream")
    if key := os.environ.get("UNNOISE_KEY"):
        request.add_header("Authorization", f"Bearer {key}")
    for left in reversed(range(tries)):
        try:
            with urllib.request.urlopen(request, timeout=300) as answer:
                return answer.read(), answer.headers.get("Unnoise-Model", "")
        except urllib.error.HTTPError as error:
            with error:
                problem = json.load(error)
                if error.code not in (429, 503) or not left:
                    raise ValueError(problem["detail"]) from error
                wait = int(error.headers.get("Retry-After", 1))
        time.sleep(wait)
    raise AssertionError("the last try returns or raises")


def main() -> None:
    """Denoise one file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("noisy", type=Path)
    parser.add_argument("clean", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--sigma", type=float)
    parser.add_argument("--strength", type=float)
    parser.add_argument("--format", help="jpeg, png, tiff, webp, avif or gif; as it came without it")
    parser.add_argument("--address", default="http://127.0.0.1:8000")
    asked = vars(parser.parse_args())
    noisy, target = asked.pop("noisy"), asked.pop("clean")
    try:
        clean, model = denoise(noisy.read_bytes(), **asked)
    except (ValueError, OSError) as error:
        sys.exit(f"{noisy}: {error}")
    target.write_bytes(clean)
    print(f"{target}: cleaned by {model}")


if __name__ == "__main__":
    main()
