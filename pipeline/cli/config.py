"""config show | validate | schema."""

import json
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.common import console
from pipeline.dataset import Dataset

app = typer.Typer(help="Show, check and describe configurations.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def show(
    *,
    dataset: Annotated[str | None, typer.Option("--dataset", "-d", help="A dataset; without it, the defaults.")] = None,
) -> None:
    """Print a configuration as YAML, each field with its description.

    Example:

      mikudance config show > my.yaml
    """
    from pipeline.config import DatasetConfig
    from pipeline.config_file import dump

    config = Dataset.open(dataset).config if dataset else DatasetConfig()
    typer.echo(dump(config, comments=True), nl=False)


@app.command()
def validate(file: Annotated[Path, typer.Argument(help="A YAML configuration.", dir_okay=False)]) -> None:
    """Check a configuration file; every wrong key is named with a suggestion.

    Example:

      mikudance config validate my.yaml
    """
    from pipeline.config import DatasetConfig
    from pipeline.config_file import load

    load(DatasetConfig, file)
    console.print(f"{file} is valid")


@app.command()
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors that complete and check YAML."""
    from pipeline.config import DatasetConfig

    typer.echo(json.dumps(DatasetConfig.model_json_schema(), indent=1))
