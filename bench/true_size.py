"""Step time, peak memory and the share of data loading of a true-size training step, from random weights.

    python -m bench.true_size --stage 1                          # one GPU, the paper's pictures of 768²
    torchrun --nproc-per-node 8 -m bench.true_size --stage 2     # sharded
    python -m bench.true_size --stage 2 --set micro_batch=1 --set reader.frames=16

Nothing is downloaded: the UNets, the autoencoder and CLIP ViT-L/14 have their true sizes and random weights, and the
shards are written here, so that reading and drawing cost what they cost in training. Each rank takes one micro batch a
step unless `--set global_batch=…` says otherwise. `--dry-run` of the trainer estimates what this measures.
"""

import argparse
import os
import resource
import statistics
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch

from tests.train.shards import small_dataset
from train.config import TrainConfig, load_config
from train.data.motion import finish
from train.data.workers import preload_workers
from train.distributed import Ranks, decided, process_group
from train.loop import place_networks
from train.model.conditions import ConditionEncoder
from train.model.encoders import Encoders, true_image_encoder, true_vae
from train.model.mikudance import named_weights
from train.networks import open_encoders, open_model
from train.optim import ShardedAdamW
from train.step import LossFunction, TrainStep

WARM_UP = 2
"""Steps that are not counted: the first ones allocate memory and choose kernels."""


@dataclass(frozen=True)
class Measured:
    """Of one rank, medians over the steps. seconds: of a whole step. loading: of them, waiting for the reader.
    peak_bytes: of the GPU's memory; on a CPU, of all that the process ever held.
    """

    seconds: float
    loading: float
    peak_bytes: int

    def __str__(self) -> str:
        return (
            f"step {self.seconds:.3f} s, of which waiting for data {100 * self.loading / self.seconds:.1f} %; "
            f"peak memory {self.peak_bytes / 2**30:.1f} GiB"
        )


def settings_of(stage: int, dataset: Path, output: Path, world: int, given: list[str]) -> TrainConfig:
    """The paper's configuration of a stage, with a global batch of one micro batch a rank."""
    settings = [f"dataset={dataset}", f"output={output}", "weights.random=true", "validation.samples=0"]
    config = load_config(f"stage{stage}.yaml", [*settings, *given])
    if not any(setting.startswith("global_batch=") for setting in given):
        config = config.model_copy(update={"global_batch": world * config.micro_batch})
    return config


def write_shards(folder: Path, size: tuple[int, int]) -> None:
    """Clips of 85 frames, the mean length of the paper's dataset, of both kinds. size: (width, height), pixels."""
    small_dataset(folder, characters=4, cameras=1, frames=85, size=size)


def measure(config: TrainConfig, ranks: Ranks, *, steps: int, true_encoders: bool = True) -> Measured:
    """Takes steps as `train.loop` does, without checkpoints and validation. Collective."""
    torch.manual_seed(0)
    model, _ = open_model(config)
    if true_encoders:
        encoders = Encoders(vae=true_vae(), image_encoder=true_image_encoder(), chunk=config.encoding.chunk)
    else:
        encoders, _ = open_encoders(config)
    model, encoders = place_networks(config, ranks, model, encoders)
    conditioner = ConditionEncoder(encoders=encoders, model=config.model, encoding=config.encoding, stage=config.stage)
    copies = ranks.world // (config.parallel.shard_ranks or ranks.world)
    optimizer = ShardedAdamW(
        parameters=named_weights(model), config=config.optimizer, steps=config.steps, copies=copies
    )
    losses = LossFunction(config=config, model=model, conditioner=conditioner)
    take = TrainStep(config=config, model=model, losses=losses, optimizer=optimizer, average=None, ranks=ranks)
    reader = config.reader.build(root=config.dataset, global_batch=config.global_batch)
    batches = reader.batches(reader.start(), rank=ranks.rank, world=ranks.world, micro_batch=config.micro_batch)
    seconds, loading = [], []
    with closing(batches):
        for number in range(1, WARM_UP + steps + 1):
            if number == WARM_UP + 1 and ranks.device.type == "cuda":
                torch.cuda.reset_peak_memory_stats()
            began = time.perf_counter()
            micro = list(islice(batches, config.accumulation(ranks.world)))
            loaded = time.perf_counter()
            moved = [finish(batch, ranks.device, compat=config.model.motion_compat) for batch in micro]
            take(moved, step=number, stop=False)
            if ranks.device.type == "cuda":
                torch.cuda.synchronize()
            if number > WARM_UP:
                seconds.append(time.perf_counter() - began)
                loading.append(loaded - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if ranks.device.type == "cuda":
        peak = torch.cuda.max_memory_allocated()
    return Measured(statistics.median(seconds), statistics.median(loading), peak)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", type=int, choices=(1, 2), required=True)
    parser.add_argument("--steps", type=int, default=20, help="steps that are counted (default 20)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override of stageN.yaml")
    parser.add_argument("--small-encoders", action="store_true", help="the demonstration's, to try this on a CPU")
    given = parser.parse_args(arguments)
    preload_workers()
    world = int(os.environ.get("WORLD_SIZE", "1"))
    with tempfile.TemporaryDirectory() as name:
        config = settings_of(given.stage, Path(name) / "dataset", Path(name) / "run", world, given.set)
        with process_group(config.parallel) as ranks:
            # One folder of shards for all ranks of a machine; ranks of others want a folder that all of them see.
            dataset = decided(lambda: config.dataset, ranks)
            config = config.model_copy(update={"dataset": dataset})
            decided(lambda: write_shards(Path(dataset), config.reader.size), ranks)
            measured = measure(config, ranks, steps=given.steps, true_encoders=not given.small_encoders)
            if ranks.first:
                print(
                    f"true size, stage {config.stage}, {config.reader.size[0]} × {config.reader.size[1]}, "
                    f"{config.reader.frames} frames, {config.global_batch} samples a step on {ranks.world} ranks "
                    f"({ranks.device.type}): {measured}"
                )
            decided(lambda: None, ranks)  # the shards stay until all have ended


if __name__ == "__main__":
    main()
