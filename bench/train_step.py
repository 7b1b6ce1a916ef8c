"""Step time of the trainer against the bare modules in a loop.

    python -m bench.train_step [--steps 30]               # one rank, where the trainer shards nothing
    python -m bench.train_step --ranks 2 [--steps 30]     # gloo ranks of this machine, sharded by FSDP2

Both do the same work on batches of the same shape: encode, add noise, predict, backward, clip, AdamW. The trainer adds
the reader, keyed random numbers, the check for NaN, agreement between ranks and metrics; on several ranks also FSDP and
the exchange of weights and gradients, while each rank's bare loop trains a copy of its own on the same local batch and
exchanges nothing. Steps of both alternate, each first in every other turn, so that a busy machine slows both alike; the
ratio is taken within each turn of the first rank, of wall time on a GPU and of processor time on a CPU.
"""

import argparse
import multiprocessing
import os
import socket
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import torch
from torch.nn import functional

from tests.train.shards import small_dataset
from train.config import TrainConfig, load_config
from train.data.batch import TrainBatch, signed, unit
from train.data.motion import finish
from train.distributed import Ranks, process_group
from train.loop import open_networks
from train.metrics import MetricsWriter
from train.model.conditions import ConditionEncoder
from train.model.mikudance import named_weights
from train.networks import open_encoders, open_model
from train.optim import ShardedAdamW
from train.step import LossFunction, TrainStep

SIDE = 256
CHANNELS = [64, 128, 128, 128]
"""A step of seconds on one core: what the trainer adds takes a fixed time, which would be most of a smaller one."""
LOCAL_BATCH = 4
"""Samples of a step on each rank."""


def bare_step(config: TrainConfig, batch: TrainBatch, ranks: Ranks) -> Callable[[], None]:
    """A training step as one would write it in a notebook."""
    model = open_model(config)[0].to(ranks.device).train()
    encoders = open_encoders(config)[0].to(ranks.device)
    scheduler = config.noise.train_scheduler()
    parameters = [p for p in model.parameters() if p.requires_grad]
    adam = torch.optim.AdamW(parameters, lr=config.optimizer.lr, weight_decay=config.optimizer.weight_decay)

    def step() -> None:
        with torch.no_grad():
            target = encoders.latents(
                signed(batch.target), torch.randn(len(batch), 1, 4, SIDE // 8, SIDE // 8, device=ranks.device)
            )
            images = (batch.reference[:, None], batch.reference_pose[:, None], batch.pose_body, batch.pose_face)
            pictures = torch.cat([encoders.latents(signed(i)) for i in (*images, batch.pose_hand)], dim=2)
            tokens = encoders.tokens(unit(batch.reference))
        noise = torch.randn_like(target)
        timesteps = torch.randint(0, 1000, (len(batch),), device=ranks.device)
        noisy = scheduler.add_noise(target, noise, timesteps)
        keep = torch.ones(len(batch), device=ranks.device)
        functional.mse_loss(model(noisy, timesteps, pictures, tokens, keep), noise).backward()
        torch.nn.utils.clip_grad_norm_(parameters, config.optimizer.clip)
        adam.step()
        adam.zero_grad()

    return step


def trainer_step(config: TrainConfig, ranks: Ranks, metrics: MetricsWriter | None) -> Callable[[], None]:
    """One turn of the loop of `train.loop`, without checkpoints and validation."""
    reader = config.reader.build(root=config.dataset, global_batch=config.global_batch)
    model, encoders = open_networks(config, ranks)
    conditioner = ConditionEncoder(encoders=encoders, model=config.model, encoding=config.encoding, stage=config.stage)
    losses = LossFunction(config=config, model=model, conditioner=conditioner)
    optimizer = ShardedAdamW(parameters=named_weights(model), config=config.optimizer, steps=config.steps)
    take = TrainStep(config=config, model=model, losses=losses, optimizer=optimizer, average=None, ranks=ranks)
    batches = reader.batches(reader.start(), rank=ranks.rank, world=ranks.world, micro_batch=config.micro_batch)
    number = 0

    def step() -> None:
        nonlocal number
        number += 1
        micro = [finish(batch, ranks.device) for batch in islice(batches, config.accumulation(ranks.world))]
        result = take(micro, step=number, stop=False)
        if metrics is not None:
            metrics.write(number, {"loss": result.loss, "gradient_norm": result.gradient_norm})

    return step


def compare(config: TrainConfig, steps: int) -> None:
    """Alternates both and prints what the first rank took."""
    torch.set_num_threads(1)
    with process_group(config.parallel) as ranks:
        gpu = ranks.device.type == "cuda"
        reader = config.reader.build(root=config.dataset, global_batch=config.global_batch)
        stream = reader.batches(reader.start(), rank=ranks.rank, world=ranks.world, micro_batch=LOCAL_BATCH)
        batch = finish(next(stream), ranks.device)
        metrics = None
        if ranks.first:
            metrics = MetricsWriter(folder=config.folder, first_step=1, last_step=config.steps)
        clock = time.perf_counter if gpu else time.process_time
        takes = {"bare modules": bare_step(config, batch, ranks), "trainer": trainer_step(config, ranks, metrics)}
        times: dict[str, list[float]] = {name: [] for name in takes}
        for turn in range(steps + 2):
            for name, take in list(takes.items())[:: -1 if turn % 2 else 1]:
                began = clock()
                take()
                if gpu:
                    torch.cuda.synchronize()
                if turn >= 2:  # the first two warm up
                    times[name].append(clock() - began)
        if metrics is None:
            return
        metrics.close()
        for name, seconds in times.items():
            kind = "wall" if gpu else "processor"
            print(f"train step, {name}: {statistics.median(seconds) * 1000:.0f} ms {kind} time (median of {steps})")
        ratios = [ours / bare for ours, bare in zip(times["trainer"], times["bare modules"], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        goal = " (at most 1.05 wanted)" if ranks.world == 1 else ""
        print(
            f"train step on {ranks.world} ranks, trainer / bare modules within a turn: {middle:.3f}, "
            f"half of the turns {low:.3f}-{high:.3f}{goal}"
        )


def _rank(config: TrainConfig, steps: int, rank: int, world: int, port: int) -> None:
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in place.items()}
    compare(config, steps)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--ranks", type=int, default=1)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small_dataset(folder / "dataset", size=(SIDE, SIDE))
        config = load_config(
            "tiny.yaml",
            [
                f"dataset={folder / 'dataset'}",
                f"output={folder / 'run'}",
                f"micro_batch={LOCAL_BATCH}",
                f"global_batch={given.ranks * LOCAL_BATCH}",
                "validation.samples=0",
                f"reader.size=[{SIDE}, {SIDE}]",
                f"model.unet.block_out_channels={CHANNELS}",
            ],
        )
        if given.ranks == 1:
            compare(config, given.steps)
            return
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        spawn = multiprocessing.get_context("spawn")
        processes = [
            spawn.Process(target=_rank, args=(config, given.steps, rank, given.ranks, port))
            for rank in range(given.ranks)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
            if process.exitcode:
                raise SystemExit(process.exitcode)


if __name__ == "__main__":
    main()
