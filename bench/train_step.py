"""Step time of the trainer against the bare modules in a loop, on one rank.

    python -m bench.train_step [--steps 20]

Both do the same work on batches of the same shape: encode, add noise, predict, backward, clip, AdamW. The trainer adds
the reader, keyed random numbers, FSDP, the check for NaN, agreement between ranks and metrics. Steps of both alternate,
so that a busy machine slows both alike; medians are compared, of wall time on a GPU and of processor time on a CPU.
"""

import argparse
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
from train.networks import open_encoders, open_model
from train.optim import ShardedAdamW
from train.step import LossFunction, TrainStep

SIDE = 256
CHANNELS = [64, 128, 128, 128]
"""A step of seconds on one core. FSDP's hooks take a fixed time a step, which would be most of a smaller one."""


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


def trainer_step(config: TrainConfig, ranks: Ranks, metrics: MetricsWriter) -> Callable[[], None]:
    """One turn of the loop of `train.loop`, without checkpoints and validation."""
    reader = config.reader.build(root=config.dataset, global_batch=config.global_batch)
    model, encoders = open_networks(config, ranks)
    conditioner = ConditionEncoder(encoders=encoders, model=config.model, encoding=config.encoding, stage=config.stage)
    losses = LossFunction(config=config, model=model, conditioner=conditioner)
    optimizer = ShardedAdamW(parameters=dict(model.named_parameters()), config=config.optimizer, steps=config.steps)
    take = TrainStep(config=config, model=model, losses=losses, optimizer=optimizer, average=None, ranks=ranks)
    batches = reader.batches(reader.start(), rank=0, world=1, micro_batch=config.micro_batch)
    number = 0

    def step() -> None:
        nonlocal number
        number += 1
        micro = [finish(batch, ranks.device) for batch in islice(batches, config.accumulation(1))]
        result = take(micro, step=number, stop=False)
        metrics.write(number, {"loss": result.loss, "gradient_norm": result.gradient_norm})

    return step


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20)
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small_dataset(folder / "dataset", size=(SIDE, SIDE))
        config = load_config(
            "tiny.yaml",
            [
                f"dataset={folder / 'dataset'}",
                f"output={folder / 'run'}",
                "micro_batch=4",
                "validation.samples=0",
                f"reader.size=[{SIDE}, {SIDE}]",
                f"model.unet.block_out_channels={CHANNELS}",
            ],
        )
        with process_group(config.parallel) as ranks:
            gpu = ranks.device.type == "cuda"
            reader = config.reader.build(root=config.dataset, global_batch=4)
            batch = finish(next(reader.batches(reader.start(), rank=0, world=1, micro_batch=4)), ranks.device)
            metrics = MetricsWriter(folder=config.output, first_step=1, last_step=config.steps)
            bare, whole = bare_step(config, batch, ranks), trainer_step(config, ranks, metrics)
            steps = {"bare modules": bare, "trainer": whole}
            times: dict[str, list[float]] = {name: [] for name in steps}
            for turn in range(given.steps + 2):
                for name, step in steps.items():
                    began = time.perf_counter() if gpu else time.process_time()
                    step()
                    if gpu:
                        torch.cuda.synchronize()
                    if turn >= 2:  # the first two warm up
                        times[name].append((time.perf_counter() if gpu else time.process_time()) - began)
            metrics.close()
    medians = {name: statistics.median(values) for name, values in times.items()}
    unit_name = "wall" if gpu else "processor"
    for name, seconds in medians.items():
        print(f"train step, {name}: {seconds * 1000:.0f} ms {unit_name} time (median of {given.steps})")
    print(
        f"train step, trainer / bare modules: {medians['trainer'] / medians['bare modules']:.3f} (at most 1.05 wanted)"
    )


if __name__ == "__main__":
    main()
