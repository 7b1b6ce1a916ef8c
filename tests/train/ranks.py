"""Runs the trainer on several ranks of this machine (gloo, one thread a rank)."""

import multiprocessing
import os
import socket
from collections.abc import Callable
from pathlib import Path

import torch

from train.config import TrainConfig, load_config
from train.metrics import read_metrics

CONTEXT = multiprocessing.get_context("forkserver")


def tiny_train(dataset: Path, output: Path | str, *settings: str) -> TrainConfig:
    """tiny.yaml with an even smaller network, without validation."""
    return load_config(
        "tiny.yaml",
        [
            f"dataset={dataset}",
            f"output={output}",
            "steps=3",
            "global_batch=4",
            "micro_batch=1",
            "model.unet.block_out_channels=[16, 16, 16, 16]",
            "model.unet.norm_num_groups=4",
            "model.unet.cross_attention_dim=16",
            "model.man_hidden=8",
            "reader.size=[64, 64]",
            "validation.samples=0",
            "parallel.device=cpu",
            "checkpoint.every=1000",
            *settings,
        ],
    )


def stage2(dataset: Path, output: Path | str, *settings: str) -> TrainConfig:
    return tiny_train(
        dataset, output, "stage=2", "reader.stage=2", "reader.size=[128, 128]", "reader.frames=2", *settings
    )


def start_ranks(
    config: TrainConfig, world: int, prepare: Callable[[int], None] | None = None
) -> list[multiprocessing.process.BaseProcess]:
    """prepare: called in each rank with its number, before it trains."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [
        CONTEXT.Process(target=_rank, args=(config, rank, world, port, prepare), daemon=True) for rank in range(world)
    ]
    for process in processes:
        process.start()
    return processes


def run_ranks(config: TrainConfig, world: int, prepare: Callable[[int], None] | None = None) -> list[float]:
    """Trains and returns the losses of all steps in the metrics file."""
    processes = start_ranks(config, world, prepare)
    for process in processes:
        process.join(240)
    assert [process.exitcode for process in processes] == [0] * world
    return losses(config)


def losses(config: TrainConfig) -> list[float]:
    return [line["loss"] for line in read_metrics(config.folder / "metrics.jsonl")]


def _rank(config: TrainConfig, rank: int, world: int, port: int, prepare: Callable[[int], None] | None) -> None:
    from train.loop import train

    torch.set_num_threads(1)
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    if prepare is not None:
        prepare(rank)
    train(config)
