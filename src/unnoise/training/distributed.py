"""A training over processes and machines, by Lightning Fabric: who takes part, what each does, what they agree on.

The batch of a recipe is that of all processes together, and each takes an equal share of it: patch n is the same
whoever makes it, gradients are averaged, and so a step is the same step on 1 process and on 32. Processes are begun by
`train.devices`, by `torchrun`, or by SLURM's `srun`; where one of the latter two did, it is they who say how many.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.utilities.rank_zero import rank_zero_only

from unnoise.errors import UnnoiseError, one_line
from unnoise.networks import Network
from unnoise.networks.base import bf16_pays


def counts(devices: int, nodes: int) -> tuple[int, int]:
    """Return how many processes each machine has, and how many machines there are.

    Args:
        devices: what the recipe says.
        nodes: what the recipe says.

    Raises:
        UnnoiseError: several machines, and nobody who begins the processes on them; or uneven ones.
    """
    if TorchElasticEnvironment.detect():
        here, all_of_them = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
        return here, _even(all_of_them, here)
    if SLURMEnvironment.detect():
        machines, all_of_them = int(os.environ.get("SLURM_NNODES", 1)), int(os.environ["SLURM_NTASKS"])
        return _even(all_of_them, machines), machines
    if nodes > 1:
        raise UnnoiseError(f"train.nodes is {nodes}: begin it on all of them, by srun or torchrun")
    return devices, nodes


def start(device: str, devices: int, nodes: int, precision: str) -> Fabric:
    """Return the Fabric of this process, with the others begun and met.

    Args:
        device: "cpu" or "cuda".
        devices: processes on each machine, one a GPU where there are such.
        nodes: machines.
        precision: "auto", "bf16" or "fp32".

    Raises:
        UnnoiseError: as `counts`, or the machine has fewer GPUs.
    """
    devices, nodes = counts(devices, nodes)
    if device == "cuda" and devices > (there := torch.cuda.device_count()):
        raise UnnoiseError(f"train.devices is {devices}, and this machine has {there} GPUs")
    several = devices * nodes > 1
    fabric = Fabric(
        accelerator=device,
        devices=devices,
        num_nodes=nodes,
        strategy="ddp" if several else "auto",
        precision=_precision(precision, device, several=several),
    )
    fabric.launch()
    return fabric


def is_rank_zero() -> bool:
    """Say whether this process is the first of its training, the one that writes files and talks."""
    return getattr(rank_zero_only, "rank") == 0  # noqa: B009 (it is put on the function)


@contextlib.contextmanager
def raise_on_all_ranks(fabric: Fabric) -> Iterator[None]:
    """Let what one process raises in here end all of them: the first of them tells of it, the others go in silence.

    Raises:
        UnnoiseError: that of the first process that raised one.
    """
    error: Exception | None = None
    try:
        yield
    except Exception as raised:
        error = raised
    if fabric.world_size == 1:
        if error is not None:
            raise error
        return
    told: list[str | None] = [None] * fabric.world_size
    line = None if error is None else one_line(error)
    torch.distributed.all_gather_object(told, line)
    if first := next(filter(None, told), None):
        if not is_rank_zero():
            sys.exit(2)
        raise UnnoiseError(first) from error


def rank_indices(first: int, batch: int, rank: int, size: int) -> Iterator[int]:
    """Yield, without end, the numbers of the patches that one process makes.

    Args:
        first: number of the first patch of the first batch.
        batch: patches of all processes together; a multiple of `size`.
        rank: which process, from 0 up.
        size: how many there are.
    """
    own = batch // size
    for begin in itertools.count(first, batch):
        yield from range(begin + rank * own, begin + (rank + 1) * own)


def mean(fabric: Fabric, values: Mapping[str, torch.Tensor]) -> dict[str, float]:
    """Average scalars over the processes, all of which name the same ones; `psnr` by the errors that it tells of."""
    if fabric.world_size > 1:
        together = torch.stack([value.detach().float().to(fabric.device) for value in values.values()])
        decibels = torch.tensor([name == "psnr" for name in values], device=fabric.device)
        together = torch.where(decibels, 10 ** (-together / 10), together)
        torch.distributed.all_reduce(together)
        together /= fabric.world_size
        values = dict(zip(values, torch.where(decibels, -10 * together.log10(), together), strict=True))
    return {key: value.item() for key, value in values.items()}


def total(fabric: Fabric, values: Mapping[str, float]) -> dict[str, float]:
    """Add up numbers by their names over the processes, some of which may have none."""
    told: list[Mapping[str, float]] = [values] * fabric.world_size
    if fabric.world_size > 1:
        torch.distributed.all_gather_object(told, dict(values))
    return {key: sum(one.get(key, 0.0) for one in told) for key in dict.fromkeys(itertools.chain(*told))}


def broadcast_buffers(fabric: Fabric, network: torch.nn.Module) -> None:
    """Give every process the first one's statistics, which each takes of its own share on a processor."""
    if fabric.world_size > 1:
        for buffer in network.buffers():
            torch.distributed.broadcast(buffer, 0)


def hardware_name(fabric: Fabric) -> str:
    """Name what a training runs on, for the model's card."""
    if fabric.device.type == "cuda":
        name = torch.cuda.get_device_name(fabric.device)
    else:
        name = f"{torch.get_num_threads()} cores ({platform.machine()})"
    return name if fabric.world_size == 1 else f"{fabric.world_size} x {name}"


def synchronized(fabric: Fabric, network: Network) -> Network:
    """Let batch normalisation see the batch of all processes; on processors PyTorch cannot, and each sees its share."""
    if fabric.world_size > 1 and fabric.device.type != "cpu":
        torch.nn.SyncBatchNorm.convert_sync_batchnorm(network)  # its layers are exchanged, and it stays the same
    return network


def _even(whole: int, parts: int) -> int:
    if whole % parts:
        raise UnnoiseError(f"{whole} processes cannot be shared evenly: begin as many on each machine")
    return whole // parts


def _precision(wanted: str, device: str, *, several: bool) -> Any:
    """Choose Fabric's name for the precision.

    Where it is measured what pays, as on processors, several processes might find otherwise: they take float32.
    """
    if wanted == "auto":
        known = device != "cpu" or not several
        wanted = "bf16" if known and bf16_pays(device) else "fp32"
    return {"bf16": "bf16-mixed", "fp32": "32-true"}[wanted]
