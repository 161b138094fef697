"""What `cluster.yml` may say of a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from gnet.errors import ClusterError

Count = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """A cluster as `cluster.yml` describes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    threads: Count = 1
    """Of each worker."""
    gpu: bool = False
    """Whether workers have a GPU, for the nodes that need a device."""


class Local(Section):
    """Processes on this machine, which share its cores."""

    type: Literal["local"]
    workers: Count
    gpu: Literal[False] = False

    def environments(self) -> list[dict[str, str]]:
        """Environment variables of each worker."""
        return [{}] * self.workers


class Cards(Section):
    """The graphics cards of this machine, one process for each."""

    type: Literal["gpus"]
    gpus: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)
    gpu: Literal[True] = True

    def environments(self) -> list[dict[str, str]]:
        """Environment variables of each worker: it sees one card."""
        return [{"CUDA_VISIBLE_DEVICES": str(card)} for card in self.gpus]


class Slurm(Section):
    """Jobs of a Slurm cluster, one worker in each."""

    type: Literal["slurm"]
    jobs: Count
    sbatch: dict[str, str | int | None]
    prologue: tuple[str, ...] = ()
    interface: str | None = None
    python: str | None = None

    def options(self) -> list[str]:
        """The options as sbatch reads them.

        >>> Slurm(type="slurm", jobs=1, sbatch={"gres": "gpu:1", "exclusive": None}).options()
        ['--gres=gpu:1', '--exclusive']
        """
        return [f"--{name}" if value is None else f"--{name}={value}" for name, value in self.sbatch.items()]


class Running(Section):
    """A Dask cluster that somebody else has started."""

    type: Literal["running"]
    scheduler_file: str


def section_of(name: str, sections: Mapping[str, Any]) -> Section:
    """The section of this name; ClusterError if there is none, or what it says is not valid."""
    if name not in sections:
        raise ClusterError(
            f"cluster: expected one of {', '.join(sections)}, got {name}. Name one of these: --runner-params "
            "cluster=NAME, or describe it in conf/local/cluster.yml."
        )
    try:
        section = KINDS.validate_python(sections[name])
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, e['loc'][1:]))}: {e['msg']}" for e in error.errors()]
        raise ClusterError(f"cluster {name}: {'; '.join(wrong)}. Correct it in cluster.yml.") from error
    if isinstance(section, Slurm) and section.gpu and "gpu" not in " ".join(section.options()):
        raise ClusterError(
            f"cluster {name}: expected an option of sbatch that asks for a GPU, since gpu is true, found "
            f"{' '.join(section.options()) or 'no option at all'}. Add one, such as gres: gpu:1, or set gpu "
            "to false."
        )
    return section


KINDS: TypeAdapter[Section] = TypeAdapter(
    Annotated[Local | Cards | Slurm | Running, Field(discriminator="type")]
)
