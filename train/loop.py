"""The training loop: opens everything, steps, saves. Reads from top to bottom."""

import logging
import time
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

import torch
import yaml

from train.checkpoint import Checkpointer, TrainerState
from train.config import TrainConfig
from train.data.motion import finish
from train.distributed import Ranks, StopSignal, decided, process_group
from train.export import export, export_due, export_folder
from train.fsdp import compile_blocks, make_mesh, reshard, shard
from train.metrics import MetricsWriter
from train.model.conditions import ConditionEncoder
from train.model.encoders import Encoders
from train.model.mikudance import MikuDance, named_weights
from train.networks import open_encoders, open_model
from train.optim import ShardedAdamW, WeightAverage
from train.remote_run import open_remote, with_local_stage1
from train.resume import agree, fixed_settings
from train.step import LossFunction, TrainStep
from train.validate import Validator

log = logging.getLogger("train")


@dataclass(frozen=True)
class Finished:
    """step: the last one done. interrupted: asked to end before the last step of the configuration."""

    step: int
    interrupted: bool


def train(config: TrainConfig) -> Finished:
    """Trains one stage, going on from the newest checkpoint of `config.output` where there is one.

    Raises ConfigError, WeightsError, DatasetError, StateError, CheckpointError before the first step, and
    NonFiniteLossError in it.
    """
    with process_group(config.parallel) as ranks, StopSignal().listening() as stop:
        return _train(config, ranks, stop)


def _train(config: TrainConfig, ranks: Ranks, stop: StopSignal) -> Finished:
    accumulation = config.accumulation(ranks.world)
    remote = open_remote(config)
    beginning = agree(config, ranks)
    config = beginning.pinned(config)
    reader = config.reader.build(root=config.dataset, global_batch=config.global_batch)
    state = reader.start()
    if beginning.saved is not None:
        beginning.saved.reader.check(state)
    model, encoders = open_networks(with_local_stage1(config), ranks)
    conditioner = ConditionEncoder(encoders=encoders, model=config.model, encoding=config.encoding, stage=config.stage)
    optimizer = ShardedAdamW(
        parameters=named_weights(model),
        config=config.optimizer,
        steps=config.steps,
        copies=ranks.world // (config.parallel.shard_ranks or ranks.world),
    )
    average = None
    if config.optimizer.ema_decay is not None:
        average = WeightAverage(parameters=named_weights(model), decay=config.optimizer.ema_decay)
    checkpointer = Checkpointer(
        folder=config.folder / "checkpoints",
        model=model,
        optimizer=optimizer,
        average=average,
        keep=config.checkpoint.keep,
        asynchronous=config.checkpoint.asynchronous,
        publish=None if remote is None else remote.publish,
    )
    if beginning.checkpoint is not None:
        state = checkpointer.restore(beginning.checkpoint).reader
        log.info("going on from %s", beginning.checkpoint)
    first = step = state.step
    settings = fixed_settings(config)
    train_step = TrainStep(
        config=config,
        model=model,
        losses=LossFunction(config=config, model=model, conditioner=conditioner),
        optimizer=optimizer,
        average=average,
        ranks=ranks,
    )
    validator = None
    if config.validation.samples:
        validator = Validator(
            config=config, model=model, conditioner=conditioner, ranks=ranks, folder=config.folder / "validation"
        )
    metrics = None
    if ranks.first:
        metrics = MetricsWriter(folder=config.folder, first_step=step + 1, last_step=config.steps)
        (config.folder / "config.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
        log.info(
            "stage %d: steps %d to %d on %d ranks, release %d",
            *(config.stage, step + 1, config.steps, ranks.world, beginning.release),
        )
    batches = reader.batches(state, rank=ranks.rank, world=ranks.world, micro_batch=config.micro_batch)
    compat = config.model.motion_compat
    interrupted = exported = False
    with closing(batches), checkpointer.settling():
        while step < config.steps and not interrupted:
            began = time.perf_counter()
            micro = [finish(batch, ranks.device, compat=compat) for batch in islice(batches, accumulation)]
            loaded = time.perf_counter()
            result = train_step(micro, step=step + 1, stop=stop.received)
            step, state, interrupted = step + 1, state.advanced(), result.stop
            last = interrupted or step == config.steps
            values = {
                "loss": result.loss,
                "gradient_norm": result.gradient_norm,
                "learning_rate": config.optimizer.rate(step, steps=config.steps),
                "epoch": float(state.epoch),
                "step_seconds": time.perf_counter() - began,
                "data_seconds": loaded - began,
                "samples_per_second": config.global_batch / (time.perf_counter() - began),
            }
            if ranks.device.type == "cuda":
                values["peak_memory_gib"] = torch.cuda.max_memory_allocated() / 2**30
            if validator is not None and not interrupted and (last or step % config.validation.every == 0):
                with averaged(model, average):
                    values |= validator.run(step)
            if metrics is not None:
                metrics.write(step, values)
            exported = export_due(config, step)
            if exported:
                with averaged(model, average):
                    export(config, model, encoders, ranks, step)
            if last or step % config.checkpoint.every == 0:
                checkpointer.save(
                    TrainerState(stage=config.stage, step=step, world=ranks.world, reader=state, settings=settings)
                )
        if step == first:
            # No step was left. Where `steps` was lowered to those of a run that was stopped, it is exported now.
            stored = remote is not None and remote.exported(step)
            exported = decided(lambda: stored or export_folder(config, step).exists(), ranks)
        if not interrupted and not exported:
            with averaged(model, average):
                export(config, model, encoders, ranks, step)
    checkpointer.wait()
    if metrics is not None:
        metrics.close()
    if remote is not None:
        remote.finish()
    if ranks.first:
        log.info("stage %d: %s after step %d", config.stage, "asked to end" if interrupted else "done", step)
    return Finished(step=step, interrupted=interrupted)


def open_networks(config: TrainConfig, ranks: Ranks) -> tuple[MikuDance, Encoders]:
    """The network, sharded, and the frozen networks, on the rank's device."""
    model, reports = open_model(config)
    encoders, more = open_encoders(config)
    if ranks.first:
        for report in (*reports, *more):
            log.info("%s", report)
    return place_networks(config, ranks, model, encoders)


def place_networks(
    config: TrainConfig, ranks: Ranks, model: MikuDance, encoders: Encoders
) -> tuple[MikuDance, Encoders]:
    """Networks in the host's memory, made ready for training on the rank's device."""
    if config.parallel.checkpointing:
        model.enable_checkpointing()
    if config.parallel.compile:
        compile_blocks(model)
    if ranks.world > 1:
        shard(model, mesh=make_mesh(config.parallel, ranks.device, ranks.world), config=config.parallel)
    else:
        # One rank has nothing to share; FSDP would copy all weights twice a step for it. `LossFunction` sees to bf16.
        model.to(ranks.device)
    dtype = torch.bfloat16 if config.parallel.precision == "bfloat16" else torch.float32
    return model.train(), encoders.to(ranks.device, dtype).eval()


class averaged:  # noqa: N801 - reads as a statement: `with averaged(model, average):`
    """Puts the averaged weights in place inside the block; does nothing where there is no average."""

    def __init__(self, model: MikuDance, average: WeightAverage | None) -> None:
        self._model = model
        self._average = average

    def __enter__(self) -> None:
        self._exchange()

    def __exit__(self, *_error: object) -> None:
        self._exchange()

    def _exchange(self) -> None:
        # Weights gathered for a forward pass would outlive the exchange, and the next update.
        reshard(self._model)
        if self._average is not None:
            self._average.swap()
