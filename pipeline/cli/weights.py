"""weights list | fetch | verify: the files that the reference backends load."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.common import Exit, console

app = typer.Typer(
    help="List, fetch and check weights of the reference backends.", no_args_is_help=True, rich_markup_mode=None
)
FolderOption = Annotated[
    Path | None, typer.Option("--folder", help="Weights folder. Default: $MIKUDANCE_WEIGHTS, else the user's cache.")
]


@app.command("list")
def list_sets(*, folder: FolderOption = None) -> None:
    """Print every set: backend, licence, where it comes from, and which of its files are here.

    Example:

      mikudance weights list
    """
    from extractors.weights.catalog import CATALOG
    from extractors.weights.store import default_folder, verify

    place = folder or default_folder()
    states = verify(place)
    console.print(f"folder: {place}")
    for entry in CATALOG:
        own = [state for state in states if state.set.name == entry.name]
        here = sum(state.state != "absent" for state in own)
        licence = f"{entry.licence}{' (not for commercial use)' if entry.non_commercial else ''}"
        console.print(f"{entry.name}: for {entry.backend}; {here} of {len(own)} files here; {licence}; {entry.page}")


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="A set's name, as `weights list` prints it.")],
    *,
    folder: FolderOption = None,
    mirror: Annotated[
        str | None, typer.Option("--mirror", help="Folder or https address with the same layout, asked instead.")
    ] = None,
    accept_non_commercial: Annotated[
        bool, typer.Option("--accept-non-commercial", help="You have read the licence and your use is not commercial.")
    ] = False,
) -> None:
    """Bring a set's files into the weights folder; a file whose sha256 differs is refused.

    Example:

      mikudance weights fetch depth-anything-v2-small --mirror /mnt/weights
    """
    from extractors.weights import catalog, store

    try:
        entry = catalog.find(name)
    except KeyError as error:
        raise typer.BadParameter(str(error.args[0])) from error
    place = folder or store.default_folder()
    paths = store.fetch(entry, folder=place, mirror=mirror, accept_non_commercial=accept_non_commercial)
    for path in paths:
        console.print(str(path), markup=False)


@app.command()
def verify(*, folder: FolderOption = None) -> None:
    """Check the sha256 of every file that is here. Exit code 4 if one differs.

    Example:

      mikudance weights verify
    """
    from extractors.weights import store

    bad = False
    for state in store.verify(folder or store.default_folder()):
        if state.state != "absent":
            bad |= state.state == "differs"
            console.print(
                f"{state.state}: {state.path}", markup=False, style="red" if state.state == "differs" else None
            )
    if bad:
        raise typer.Exit(Exit.DAMAGED)
