"""The command `gnet`: what is done outside the pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import gnet
from gnet.errors import GNetError

EXISTING = click.Path(exists=True, path_type=Path)
NEW = click.Path(dir_okay=False, path_type=Path)


class Commands(click.Group):
    """Shows a user's mistakes as one line, without a traceback."""

    def invoke(self, context: click.Context) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(context)
        except GNetError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=Commands)
@click.version_option(gnet.__version__, prog_name="gnet")
def main() -> None:
    """Brain-optimised encoding models of the visual cortex. Pipelines are run with `kedro run`."""


@main.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=EXISTING)
@click.option("--to", "target", metavar="MODEL.h5", required=True, type=NEW, help="The model file to write.")
@click.option("--pixels", type=click.IntRange(min=1), help="Side of the images it was fitted to.")
@click.option("--overwrite", is_flag=True, help="Replace the model file if there is one.")
def import_checkpoint(files: tuple[Path, ...], target: Path, pixels: int | None, overwrite: bool) -> None:
    """Make a model file of others' checkpoints.

    These are checkpoints of the published code or of BERG. The files are those that belong together: one, or
    one an area, or the parts of a split area. No code in them is run.
    """
    from gnet.evaluation.trained import TrainedModel
    from gnet.models.checkpoints import save_models
    from gnet.models.interchange.reading import import_checkpoints

    _refuse_existing(target, overwrite)
    models = import_checkpoints(files, pixels=pixels)
    described = repr(TrainedModel(models))
    save_models(models, target)
    click.echo(f"{target}: {described}, images of {models[0].network.architecture.pixels} pixels")


@main.command()
@click.argument("model", metavar="MODEL.h5", type=EXISTING)
@click.option("--to", "target", metavar="FILE.pt", required=True, type=NEW, help="The checkpoint to write.")
@click.option("--overwrite", is_flag=True, help="Replace the checkpoint if there is one.")
def export_checkpoint(model: Path, target: Path, overwrite: bool) -> None:
    """Write a model as a checkpoint of the published code.

    A file of several networks, as of one an area, becomes as many checkpoints: FILE-1.pt, FILE-2.pt, ...
    """
    from gnet.models.checkpoints import read_models
    from gnet.models.interchange.writing import export_checkpoint

    models, targets = read_models(model), [target]
    if len(models) > 1:
        targets = [target.with_stem(f"{target.stem}-{number}") for number in range(1, len(models) + 1)]
    for path in targets:
        _refuse_existing(path, overwrite)
    for part, path in zip(models, targets, strict=True):
        export_checkpoint(part, path)
        click.echo(f"{path}: {', '.join(part.areas) or 'areas unknown'}; {', '.join(part.voxel_index)}")


@main.command()
@click.option("--env", "-e", metavar="ENV", help="Configuration environment, as for kedro run.")
def doctor(env: str | None) -> None:
    """Print what a bug report needs.

    That is versions, machine, configuration, data and models. Call it in the project's folder and paste all
    of it. Your home folder is abbreviated; look over the other paths before you publish them.
    """
    from gnet.doctor import report

    click.echo(report(env))


@main.command()
@click.option("--env", "-e", metavar="ENV", help="Configuration environment, as for kedro run.")
@click.option("--to", "target", metavar="FILE.csv", type=NEW, help="Write the whole table instead.")
def runs(env: str | None, target: Path | None) -> None:
    """List the runs in the data folder and their accuracy.

    With their parameters, and how they ended.

    Accuracies are means of r over voxels, with their standard errors over voxels. With --to, all columns are
    written, as for pandas.read_csv.
    """
    from gnet.doctor import context_of
    from gnet.figures.printed import print_table
    from gnet.hooks.configuration import data_root
    from gnet.hooks.journal import readable, runs_table

    table = runs_table(data_root(context_of(env)))
    if target is None:
        print_table("runs; accuracies are means over voxels, ± standard error", readable(table))
    else:
        table.to_csv(target, index=False)


def _refuse_existing(path: Path, overwrite: bool) -> None:
    if path.exists() and not overwrite:
        advice = "Choose another or add --overwrite."
        raise click.ClickException(f"{path}: expected a new file, found one. {advice}")


if __name__ == "__main__":
    main()
