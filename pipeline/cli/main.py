"""Wires the commands into `mikudance` and turns errors into messages and exit codes."""

import typer

from pipeline.cli import ablate as ablate_command
from pipeline.cli import animate as animate_command
from pipeline.cli import audit as audit_commands
from pipeline.cli import build as build_commands
from pipeline.cli import config as config_commands
from pipeline.cli import demo as demo_command
from pipeline.cli import demo_animate as demo_animate_command
from pipeline.cli import evaluate as evaluate_command
from pipeline.cli import inspect as inspect_commands
from pipeline.cli import study as study_commands
from pipeline.cli import weights as weights_commands
from pipeline.cli.common import EXIT_CODES, Exit, errors

app = typer.Typer(
    name="mikudance",
    help="Turns videos into audited training shards for MikuDance, and trains, animates and evaluates with them.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(build_commands.build)
app.command()(build_commands.add)
app.command()(build_commands.retry)
app.command()(inspect_commands.status)
app.command()(inspect_commands.plan)
app.command()(inspect_commands.verify)
app.command()(inspect_commands.dag)
app.command()(inspect_commands.doctor)
app.command()(audit_commands.audit)
app.command()(audit_commands.check)
app.command()(audit_commands.sql)
app.command()(audit_commands.explain)
app.command()(audit_commands.remove)
app.command()(demo_command.demo)
app.command()(demo_animate_command.demo_animate)
app.command()(animate_command.animate)
app.command()(evaluate_command.evaluate)
app.command()(ablate_command.ablate)
app.add_typer(config_commands.app, name="config")
app.add_typer(study_commands.app, name="study")
app.add_typer(weights_commands.app, name="weights")


def main() -> None:
    """The entry point: known errors become one clear message and exit code 1, or 2 for sources named wrongly."""
    from extractors.weights.store import WeightsError
    from pipeline.config_file import ConfigError
    from pipeline.dataset import DatasetError
    from pipeline.executor.loop import ExecutorError
    from pipeline.ingest.manifest import SourceError
    from pipeline.presets import PresetError
    from pipeline.storage import StorageError

    known = (
        ConfigError,
        DatasetError,
        ExecutorError,
        PresetError,
        SourceError,
        StorageError,
        WeightsError,
        FileNotFoundError,
    )
    try:
        app()
    except (*known, PermissionError, ConnectionError, OSError) as error:
        errors.print(f"error: {error}", style="red", markup=False)
        raise SystemExit(Exit.USAGE if isinstance(error, SourceError) else Exit.ERROR) from error
