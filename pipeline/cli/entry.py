"""Where `mikudance` begins: says which extra is missing where the commands cannot be loaded."""

import sys


def main() -> None:
    """Runs the command line. A package that is not installed becomes one line and exit code 1."""
    try:
        from pipeline.cli.main import main as run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("", "pipeline", "stages", "extractors", "schemas"):
            raise
        sys.stderr.write(
            f"error: {error.name} is not installed: mikudance needs its extra pipeline: "
            "pip install 'mikudance[pipeline]' (the trainer runs without it: python -m train)\n"
        )
        raise SystemExit(1) from None
    run()
