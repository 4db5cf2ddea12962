"""A cache of models opens each one once."""

from __future__ import annotations

import copy
import os
import pickle
import threading
from pathlib import Path

import pytest

from unnoise import denoisers
from unnoise.denoisers.classical import Median
from unnoise.denoisers.model_cache import ModelCache


class Opener:
    """Open a median filter and list the calls; raise if `fails`."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, object]]] = []
        self.fails = False

    def __call__(self, spec: str | Path, **options: object) -> Median:
        self.calls.append((str(spec), options))
        if self.fails:
            raise OSError("no such model")
        return Median()


def test_each_combination_of_spec_and_options_is_opened_once() -> None:
    opener = Opener()
    cache = ModelCache(opener)
    plain = cache.open("a")
    assert cache.open("a") is cache.open(Path("a")) is plain
    assert cache.open("a", ensemble=True, engine="onnx") is cache.open("a", engine="onnx", ensemble=True)
    assert cache.open("b") is not plain
    assert opener.calls == [("a", {}), ("a", {"ensemble": True, "engine": "onnx"}), ("b", {})]


def test_the_least_recently_used_is_dropped() -> None:
    opener = Opener()
    cache = ModelCache(opener, size=2)
    for spec in ("a", "b", "a", "c", "a", "b"):
        cache.open(spec)
    assert [spec for spec, _ in opener.calls] == ["a", "b", "c", "b"]


def test_a_changed_file_is_opened_again(tmp_path: Path) -> None:
    opener, file = Opener(), tmp_path / "a.onnx"
    file.touch()
    cache = ModelCache(opener)
    first = cache.open(file)
    assert cache.open(str(file)) is first
    os.utime(file, ns=(1, 1))
    assert cache.open(file) is not first and len(opener.calls) == 2


def test_a_denoiser_is_handed_to_make_and_not_kept() -> None:
    model = Median()
    cache = ModelCache(denoisers.make)
    assert cache.open(model) is model
    assert isinstance(cache.open(model, ensemble=True), denoisers.Ensemble)
    assert cache.open(model, ensemble=True) is not cache.open(model, ensemble=True)


def test_a_failure_is_not_kept() -> None:
    opener = Opener()
    cache, opener.fails = ModelCache(opener), True
    with pytest.raises(OSError, match="no such model"):
        cache.open("a")
    opener.fails = False
    assert isinstance(cache.open("a"), Median)


def test_threads_share_one_model() -> None:
    started, models = threading.Barrier(8), []
    opener = Opener()
    cache = ModelCache(opener)

    def work() -> None:
        started.wait()
        models.append(cache.open("a"))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(model) for model in models}) == len(opener.calls) == 1


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda cache: pickle.loads(pickle.dumps(cache))])
def test_a_copy_opens_the_same_models(copied) -> None:
    cache = ModelCache(denoisers.make, size=3)
    cache.open("median")
    again = copied(cache)
    assert again.size == 3 and str(again.open("median")) == "median"
