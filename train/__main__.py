"""`torchrun -m train stage1.yaml --dataset DIR --output runs/stage1`; see `--help`."""

import argparse
import logging
import sys

from train.config import load_config, packaged_configs
from train.refusals import EXPECTED


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 done or saved after SIGTERM, 2 refused with the reason on stderr."""
    parser = argparse.ArgumentParser(
        prog="train",
        description="Trains one stage from prebuilt shards. Run again with the same output folder, it goes on from the "
        "newest checkpoint, on any number of ranks.",
    )
    parser.add_argument("config", help=f"a YAML file, or one of {', '.join(packaged_configs())}")
    parser.add_argument("--dataset", help="folder or URI of the dataset")
    parser.add_argument("--output", help="folder or URI of the run")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override, e.g. optimizer.lr=2e-5"
    )
    parser.add_argument("--dry-run", action="store_true", help="print parameters, memory and step estimates, and end")
    parser.add_argument("--ranks", type=int, default=16, help="ranks that a dry run assumes (default 16)")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    settings = list(given.set)
    settings += [f"{name}={value}" for name in ("dataset", "output") if (value := getattr(given, name)) is not None]
    try:
        config = load_config(given.config, settings)
        if given.dry_run:
            from train.estimate import estimate

            sys.stdout.write(f"{estimate(config, ranks=given.ranks)}\n")
            return 0
        from diffusers.utils import logging as diffusers_logging
        from transformers.utils import logging as transformers_logging

        from train.data.workers import preload_workers
        from train.loop import train

        preload_workers()
        diffusers_logging.disable_progress_bar()
        transformers_logging.disable_progress_bar()

        train(config)
    except EXPECTED as error:
        sys.stderr.write(f"train: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
