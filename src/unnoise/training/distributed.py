"""Training with several processes and machines, on Lightning Fabric.

The batch of a recipe is shared equally by all processes. Patch n is the same in every process and gradients are
averaged, so a step gives the same result with 1 process and with 32. Processes are started by `train.devices`,
`torchrun` or SLURM's `srun`; the latter two override `train.devices` and `train.nodes`.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.utilities.rank_zero import rank_zero_only

from unnoise.errors import UnnoiseError, one_line
from unnoise.networks import Network

BF16_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16")
"""Names in `torch.cpu.get_capabilities` of instructions that compute with bfloat16."""

PRECISIONS: dict[str, Literal["bf16-mixed", "16-mixed", "32-true"]] = {
    "bf16": "bf16-mixed",
    "fp16": "16-mixed",
    "fp32": "32-true",
}
"""Precision of a recipe -> that of Fabric."""


def counts(devices: int, nodes: int) -> tuple[int, int]:
    """Return the number of processes per machine and the number of machines.

    Args:
        devices: `train.devices` of the recipe.
        nodes: `train.nodes` of the recipe.

    Raises:
        UnnoiseError: several machines without torchrun or SLURM, or different numbers of processes on them.
    """
    if TorchElasticEnvironment.detect():
        local, total = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
        return local, _divide(total, local)
    if SLURMEnvironment.detect():
        machines, total = int(os.environ.get("SLURM_NNODES", 1)), int(os.environ["SLURM_NTASKS"])
        return _divide(total, machines), machines
    if nodes > 1:
        raise UnnoiseError(f"train.nodes is {nodes}: start the training on all machines with srun or torchrun")
    return devices, nodes


def start(device: str, devices: int, nodes: int, precision: str) -> Fabric:
    """Return the Fabric of this process, after all processes have started and connected.

    Args:
        device: "cpu" or "cuda".
        devices: processes per machine, one per GPU where there are GPUs.
        nodes: number of machines.
        precision: "bf16", "fp16" or "fp32".

    Raises:
        UnnoiseError: as `counts`, or the machine has too few GPUs, or fp16 is asked of a processor.
    """
    devices, nodes = counts(devices, nodes)
    if precision == "fp16" and device == "cpu":
        raise UnnoiseError("train.precision: fp16 needs a GPU: set it to bf16 or fp32")
    if device == "cuda" and devices > (gpus := torch.cuda.device_count()):
        raise UnnoiseError(f"train.devices is {devices}, but this machine has {gpus} GPUs")
    several = devices * nodes > 1
    fabric = Fabric(
        accelerator=device,
        devices=devices,
        num_nodes=nodes,
        strategy="ddp" if several else "auto",
        precision=PRECISIONS[precision],
    )
    fabric.launch()
    return fabric


def choose_precision(device: str) -> Literal["bf16", "fp32"]:
    """Return "bf16" for hardware that has bfloat16 instructions, else "fp32".

    It depends on the hardware alone, not on its load. Machines of different kinds that train together need a stated
    `train.precision`.

    Args:
        device: "cpu" or "cuda".
    """
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    capabilities = torch.cpu.get_capabilities()
    return "bf16" if any(capabilities.get(name) for name in BF16_INSTRUCTIONS) else "fp32"


def is_rank_zero() -> bool:
    """Return whether this is the first process of its training, which writes files and messages."""
    return getattr(rank_zero_only, "rank") == 0  # noqa: B009 (an attribute of the function)


@contextlib.contextmanager
def raise_on_all_ranks(fabric: Fabric) -> Iterator[None]:
    """End all processes if one raises an exception inside; the first process raises it, the others exit silently.

    Raises:
        UnnoiseError: the first error, in the order of the processes.
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
    lines: list[str | None] = [None] * fabric.world_size
    line = None if error is None else one_line(error)
    torch.distributed.all_gather_object(lines, line)
    if first := next(filter(None, lines), None):
        if not is_rank_zero():
            sys.exit(2)
        raise UnnoiseError(first) from error


def rank_indices(first: int, batch: int, rank: int, size: int) -> Iterator[int]:
    """Yield, without end, the indices of the patches of one process.

    Args:
        first: index of the first patch of the first batch.
        batch: patches per step of all processes together; a multiple of `size`.
        rank: index of the process, from 0 up.
        size: number of processes.
    """
    own = batch // size
    for start in itertools.count(first, batch):
        yield from range(start + rank * own, start + (rank + 1) * own)


def mean(fabric: Fabric, values: Mapping[str, torch.Tensor]) -> dict[str, float]:
    """Average scalars over the processes, which all have the same names; `psnr` by its mean squared error."""
    if fabric.world_size > 1:
        together = torch.stack([value.detach().float().to(fabric.device) for value in values.values()])
        decibels = torch.tensor([name == "psnr" for name in values], device=fabric.device)
        together = torch.where(decibels, 10 ** (-together / 10), together)
        torch.distributed.all_reduce(together)
        together /= fabric.world_size
        values = dict(zip(values, torch.where(decibels, -10 * together.log10(), together), strict=True))
    return {key: value.item() for key, value in values.items()}


def total(fabric: Fabric, values: Mapping[str, float]) -> dict[str, float]:
    """Add up numbers by name over the processes; a process may lack some names."""
    gathered: list[Mapping[str, float]] = [values] * fabric.world_size
    if fabric.world_size > 1:
        torch.distributed.all_gather_object(gathered, dict(values))
    return {key: sum(one.get(key, 0.0) for one in gathered) for key in dict.fromkeys(itertools.chain(*gathered))}


def broadcast_buffers(fabric: Fabric, network: torch.nn.Module) -> None:
    """Copy the statistics of batch normalization from the first process to all; on CPUs each process has its own."""
    if fabric.world_size > 1:
        for buffer in network.buffers():
            torch.distributed.broadcast(buffer, 0)


def hardware_name(fabric: Fabric) -> str:
    """Return the name of the hardware, for the model card."""
    if fabric.device.type == "cuda":
        name = torch.cuda.get_device_name(fabric.device)
    else:
        name = f"{torch.get_num_threads()} cores ({platform.machine()})"
    return name if fabric.world_size == 1 else f"{fabric.world_size} x {name}"


def synchronized(fabric: Fabric, network: Network) -> Network:
    """Synchronize batch normalization over all processes; on CPUs, where PyTorch cannot, each uses its own share."""
    if fabric.world_size > 1 and fabric.device.type != "cpu":
        torch.nn.SyncBatchNorm.convert_sync_batchnorm(network)  # replaces its layers in place
    return network


def _divide(processes: int, parts: int) -> int:
    if processes % parts:
        raise UnnoiseError(f"{processes} processes do not divide evenly: start the same number on each machine")
    return processes // parts
