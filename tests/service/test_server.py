"""The service on real sockets: slow, misbehaving and disconnected clients do not affect the next one."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra serve")

from tests.conftest import ROOT, serving
from unnoise import io

PATIENCE = 1.0


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(body_bytes=1_000_000, client_timeout=PATIENCE, workers=1, queue_size=4) as url:
        yield url


@pytest.fixture(scope="module")
def picture() -> bytes:
    rng = np.random.default_rng(0)
    return io.encode(io.from_array(rng.integers(0, 256, (200, 300, 3)).astype(np.uint8)), ".png")


@pytest.fixture(autouse=True)
def honest(address: str, picture: bytes) -> Iterator[None]:
    """After every test, a well-behaved client is served, and no job of the others is left."""
    yield
    request = urllib.request.Request(f"{address}/v1/denoise?model=median", picture)
    request.add_header("Content-Type", "image/png")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert io.read(answer.read()).pixels.shape == (200, 300, 3)
    until = time.monotonic() + 10
    while (state := gauges(address)) != {"working": 0, "waiting": 0, "held_bytes": 0}:
        assert time.monotonic() < until, state
        time.sleep(0.05)


def gauges(address: str) -> dict[str, float]:
    with urllib.request.urlopen(f"{address}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found = re.findall(r"^unnoise_(working|waiting|held_bytes) (\S+)$", text, flags=re.MULTILINE)
    return {name: float(value) for name, value in found}


def connected(address: str) -> socket.socket:
    place = urlsplit(address)
    connection = socket.create_connection((place.hostname, place.port), timeout=10)
    return connection


def head(length: int | str, path: str = "/v1/denoise?model=median") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: image/png", f"Content-Length: {length}"]
    return "\r\n".join([*lines, "", ""]).encode()


def ended(connection: socket.socket) -> bytes:
    """Read to the end; a reset counts as one."""
    said = b""
    try:
        while piece := connection.recv(65536):
            said += piece
    except ConnectionError:
        pass
    return said


def test_it_listens_to_this_machine_alone(address: str) -> None:
    assert urlsplit(address).hostname == "127.0.0.1"


@pytest.mark.parametrize("sent", [b"", b"POST /v1/denoise HTTP/1.1\r\nHost: loc"])
def test_headers_that_do_not_come_are_not_waited_for(address: str, sent: bytes) -> None:
    with connected(address) as connection:
        start = time.monotonic()
        connection.sendall(sent)
        assert ended(connection) == b""
        assert PATIENCE / 2 < time.monotonic() - start < 5 * PATIENCE


def test_headers_that_trickle_are_not_waited_for(address: str) -> None:
    with connected(address) as connection, pytest.raises(OSError):
        connection.sendall(b"GET /healthz HTTP/1.1\r\n")
        for _ in range(int(5 * PATIENCE / 0.1)):
            connection.sendall(b"X: y\r\n")
            time.sleep(0.1)


def test_a_slow_sender_gets_408(address: str, picture: bytes) -> None:
    with connected(address) as connection:
        connection.sendall(head(len(picture)) + picture[:100])
        said = ended(connection)
    assert said.startswith(b"HTTP/1.1 408")
    assert b"too slow" in said


def test_many_slow_senders_take_no_place(address: str, picture: bytes) -> None:
    slow = [connected(address) for _ in range(50)]
    for connection in slow:
        connection.sendall(head(len(picture)) + picture[:100])
    request = urllib.request.Request(f"{address}/v1/denoise?model=median", picture)
    request.add_header("Content-Type", "image/png")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200
    for connection in slow:
        connection.close()


def test_a_cut_connection_leaves_nothing(address: str, picture: bytes) -> None:
    for share in (0.0, 0.5, 1.0):
        with connected(address) as connection:
            connection.sendall(head(len(picture)) + picture[: int(share * len(picture))])


def test_ten_gigabytes_are_refused_when_they_are_announced(address: str) -> None:
    with connected(address) as connection:
        start = time.monotonic()
        connection.sendall(head(10_000_000_000))
        assert ended(connection).startswith(b"HTTP/1.1 413")
        assert time.monotonic() - start < 5


def test_a_refusal_reaches_a_client_that_is_still_sending(address: str) -> None:
    place = urlsplit(address)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=10)
    connection.request("POST", "/v1/denoise", body=bytes(5_000_000), headers={"Content-Type": "image/png"})
    assert connection.getresponse().status == 413
    connection.close()


def test_a_body_without_length_is_counted(address: str) -> None:
    place = urlsplit(address)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=10)
    pieces = (bytes(100_000) for _ in range(40))
    connection.request("POST", "/v1/denoise", pieces, {"Content-Type": "image/png"}, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


@pytest.mark.parametrize(
    "flood",
    [
        b"GET /healthz HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(20_000)),
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 1_000_000,
        b"GET /" + b"a" * 1_000_000,
        b"\x16\x03\x01" + bytes(1000),
        head("-1"),
        head("1e3"),
    ],
)
def test_floods_and_nonsense_are_refused(address: str, flood: bytes) -> None:
    with connected(address) as connection:
        try:
            connection.sendall(flood)
        except ConnectionError:
            return
        said = ended(connection)
    assert said == b"" or said.startswith(b"HTTP/1.1 4")


def test_an_answer_that_nobody_takes_is_given_up(address: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2500, 2500, 3)).astype(np.uint8)
    small = io.encode(io.from_array(noise), ".jpg", quality=2)  # and large as a PNG
    place = urlsplit(address)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20)
        connection.connect((place.hostname, place.port))
        connection.sendall(head(len(small), "/v1/preview?strength=0") + small)
        connection.recv(1, socket.MSG_PEEK)
        until = time.monotonic() + 10 * PATIENCE
        while gauges(address)["held_bytes"]:
            assert time.monotonic() < until
            time.sleep(0.1)
        said = ended(connection)
    (length,) = re.findall(rb"content-length: (\d+)", said)
    assert len(said) < int(length)


def test_the_client_of_the_examples_cleans_a_file(address: str, picture: bytes, tmp_path: Path) -> None:
    source, target = tmp_path / "noisy.png", tmp_path / "clean.png"
    source.write_bytes(picture)
    client = [sys.executable, str(ROOT / "examples" / "client.py"), "--address", address, "--model", "median"]
    done = subprocess.run([*client, str(source), str(target)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert io.read(target).pixels.shape == (200, 300, 3)
    assert "median" in done.stdout
    source.write_bytes(b"no picture")
    done = subprocess.run([*client, str(source), str(target)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "not an image in a supported format" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("signals", [1, 2])
def test_interrupts_end_it_without_tracebacks(picture: bytes, signals: int) -> None:
    """The first one when the work is done, and the address says so meanwhile; a second one at once."""
    code = (
        "import time\nfrom unnoise.denoisers.classical import Median\nfrom unnoise.service import server\n"
        "run = Median.run\nMedian.run = lambda *given: (time.sleep(3), run(*given))[1]\n"
        "server.run(port=0, engine='onnx')"
    )
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={"PYTHONPATH": str(ROOT / "src")})
    assert process.stderr is not None
    place = json.loads(process.stderr.readline())["address"]
    with connected(place) as connection:
        connection.sendall(head(len(picture)) + picture)
        until = time.monotonic() + 20
        while not gauges(place)["working"]:
            assert time.monotonic() < until
        for _ in range(signals):
            process.send_signal(signal.SIGINT)
            time.sleep(0.5)
        if signals == 1:
            with pytest.raises(urllib.error.HTTPError, match="503"):
                urllib.request.urlopen(f"{place}/readyz", timeout=10)
        assert ended(connection).startswith(b"HTTP/1.1 200") == (signals == 1)
    said = process.stderr.read()
    ends = (-signal.SIGINT, 0, 1, 130)  # 0 where the test runs in the background, which ignores interrupts
    process.stderr.close()
    assert process.wait(20) in (ends if signals == 1 else (130,))
    assert signals == 1 or "Traceback" not in said, said


def test_connections_of_one_address_leave_room_for_others() -> None:
    with serving(client_connections=3) as place, contextlib.ExitStack() as stack:
        port = urlsplit(place).port
        opened = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), 10, source_address=("127.0.0.2", 0)))
            for _ in range(5)
        ]
        assert [ended(one) for one in opened[3:]] == [b"", b""]
        with urllib.request.urlopen(f"{place}/healthz", timeout=10) as answer:
            assert answer.status == 200
        opened[0].close()
        time.sleep(0.3)
        with socket.create_connection(("127.0.0.1", port), 10, source_address=("127.0.0.2", 0)) as again:
            again.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert ended(again).startswith(b"HTTP/1.1 200")


def test_a_port_in_use_gives_a_one_line_error(address: str) -> None:
    port = str(urlsplit(address).port)
    command = [sys.executable, "-m", "unnoise", "serve", "--port", port]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(ROOT / "src")})
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"unnoise: cannot listen on 127.0.0.1, port {port}: ")
    assert "Traceback" not in done.stderr
