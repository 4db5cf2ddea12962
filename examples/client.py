"""A client of `unnoise serve` that needs only Python's standard library.

    python client.py noisy.jpg clean.jpg [--model color] [--sigma 25] [--strength 0.8] [--address http://127.0.0.1:8000]

A busy service answers 429 with a `Retry-After` header; this client waits and retries. If the service requires a key, it
is read from the environment variable UNNOISE_KEY.
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


def denoise(image: bytes, address: str, *, tries: int = 10, **options: object) -> tuple[bytes, str]:
    """Send an image file; return the denoised file, and the name of the model used.

    Args:
        image: contents of the file.
        address: of the service, such as `http://127.0.0.1:8000`.
        tries: requests to make before giving up, while the service is busy.
        options: query parameters of `/v1/denoise`, such as `model` and `sigma`; None for their defaults.

    Raises:
        ValueError: the service refused the image; the message is its reason.
        OSError: the service cannot be reached.
    """
    query = urllib.parse.urlencode({name: value for name, value in options.items() if value is not None})
    request = urllib.request.Request(f"{address}/v1/denoise?{query}", image)
    request.add_header("Content-Type", "application/octet-stream")
    if key := os.environ.get("UNNOISE_KEY"):
        request.add_header("Authorization", f"Bearer {key}")
    for left in reversed(range(tries)):
        try:
            with urllib.request.urlopen(request, timeout=300) as response:
                return response.read(), response.headers.get("Unnoise-Model", "")
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
    parser.add_argument("--format", help="jpeg, png, tiff, webp, avif or gif; that of the input by default")
    parser.add_argument("--address", default="http://127.0.0.1:8000")
    arguments = parser.parse_args()
    try:
        clean, model = denoise(
            arguments.noisy.read_bytes(),
            arguments.address,
            model=arguments.model,
            sigma=arguments.sigma,
            strength=arguments.strength,
            format=arguments.format,
        )
    except (ValueError, OSError) as error:
        sys.exit(f"{arguments.noisy}: {error}")
    arguments.clean.write_bytes(clean)
    print(f"{arguments.clean}: denoised by {model}")


if __name__ == "__main__":
    main()
