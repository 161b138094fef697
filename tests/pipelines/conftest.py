"""Runs of the project in this process, each on a data folder of its own; nothing touches the repository."""

import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from gnet.hooks.endings import explain
from gnet.io.recording import MARKER
from gnet.settings import Catalog
from nsd_sizes import SIZES, merge

ROOT = Path(__file__).resolve().parents[2]
EXPENSIVE = {"prepare_images", "prepare_responses", "fit_gnet8j", "fit_gnet8r"}


class Listener(logging.Handler):
    """What a run says, also where the console's level would hide it."""

    def __init__(self):
        super().__init__(logging.INFO)
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())


@contextmanager
def listening() -> Iterator[Listener]:
    listener = Listener()
    loggers = [logging.getLogger(name) for name in ("gnet", "kedro.pipeline.node")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(listener)
        logger.setLevel(logging.INFO)
    try:
        yield listener
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(listener)
            logger.setLevel(level)


@dataclass(frozen=True)
class Run:
    """What a run said, and the names of the nodes that began."""

    log: str
    nodes: list[str]


@dataclass(frozen=True)
class Project:
    """The project with a data folder, and perhaps with a configuration folder, of its own."""

    data: Path
    conf: Path = ROOT / "conf"
    env: str = "tiny"
    variables: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def session(self, **parameters: Any) -> Iterator[KedroSession]:
        variables = {"GNET_DATA": str(self.data), "NSD_ROOT": "", **self.variables}
        with (
            mock.patch.dict(os.environ, variables),
            KedroSession.create(
                ROOT, env=self.env, runtime_params=parameters, conf_source=str(self.conf)
            ) as session,
        ):
            yield session

    def run(self, *pipelines: str, only: list[str] | None = None, **parameters: Any) -> Run:
        """Run pipelines (none: the default) with some parameters; `only`: no further than these outputs."""
        with listening() as listener, self.session(**parameters) as session:
            session.run(pipeline_names=list(pipelines), to_outputs=only)
        return _run(listener)

    def failed(self, *pipelines: str, **parameters: Any) -> tuple[str, Run]:
        """The message that a user sees when the run ends badly, "" if it does not."""
        message = ""
        with listening() as listener, self.session(**parameters) as session:
            try:
                session.run(pipeline_names=list(pipelines))
            except Exception as error:
                message = explained(error)
        return message, _run(listener)

    def refused(self, *pipelines: str, nodes: list[str] | None = None, **parameters: Any) -> tuple[str, Run]:
        """The message that a user sees when the run stops, having checked that it cost nothing."""
        before = self.files()
        with (
            listening() as listener,
            pytest.raises(Exception) as caught,  # noqa: PT011 - the text is asserted
            self.session(**parameters) as session,
        ):
            session.run(pipeline_names=list(pipelines), node_names=nodes)
        run = _run(listener)
        assert not EXPENSIVE & set(run.nodes)
        made = self.files() - before
        assert {name for name in made if "/inventory.csv" not in name} == set()
        return explained(caught.value), run

    def load(self, dataset: str) -> Any:
        """A stored dataset, of its latest version."""
        with self.session() as session:
            # not the context's own catalog, which checks the parameters of all pipelines
            configured = session.load_context().config_loader["catalog"]
            return Catalog.from_config(configured).load(dataset)

    def files(self) -> set[str]:
        """Everything below the data folder except the release and the journal."""
        files = {path.relative_to(self.data).as_posix() for path in self.data.rglob("*") if path.is_file()}
        return {name for name in files if not name.startswith(("01_raw/nsd/", "runs/"))}

    def with_parameters(self, conf: Path, **parameters: Any) -> "Project":
        """The same data, with a copy of the configuration in which the environment's parameters differ."""
        shutil.copytree(ROOT / "conf", conf)
        path = conf / self.env / "parameters.yml"
        merged = merge(yaml.safe_load(path.read_text()), parameters)
        path.write_text(yaml.safe_dump(merged))
        return replace(self, conf=conf)


def _run(listener: Listener) -> Run:
    log = "\n".join(listener.messages)
    return Run(log, re.findall(r"^Running node: (\w+):", log, re.MULTILINE))


def explained(error: BaseException) -> str:
    """What `gnet.hooks.explain` prints of an error; it must not be one that keeps its traceback."""

    def otherwise(kind, error, traceback):
        raise AssertionError("expected an error that a user can mend") from error

    with mock.patch("sys.stderr") as stderr:
        explain(otherwise, type(error), error, error.__traceback__)
    return "".join(call.args[0] for call in stderr.write.call_args_list).rstrip("\n")


def copy_stored(data: Path, target: Path, *layers: str) -> None:
    for path in data.iterdir():
        if path.name.startswith(layers):
            shutil.copytree(path, target / path.name)


def with_release(simulated: Project, folder: Path) -> Project:
    """A project in folder/data with the configuration of the real release, and the sizes of the tiny one.

    Its release, folder/nsd, is a copy of what a project simulated, without the mark of the simulation.
    """
    shutil.copytree(simulated.data / "01_raw" / "nsd", folder / "nsd")
    (folder / "nsd" / MARKER).unlink()
    project = Project(folder / "data", env="nsd", variables={"NSD_ROOT": str(folder / "nsd")})
    return project.with_parameters(folder / "conf", **SIZES)


@pytest.fixture(scope="session", autouse=True)
def _bootstrapped():
    bootstrap_project(ROOT)


@pytest.fixture(scope="session")
def project_at() -> type[Project]:
    """Make a project: project_at(data folder)."""
    return Project


@pytest.fixture
def fresh(tmp_path) -> Project:
    """Nothing there at all."""
    return Project(tmp_path / "data")


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> tuple[Project, dict[str, Run]]:
    """Both encodings on a fresh folder, the one by area first. Not to be written to."""
    project = Project(tmp_path_factory.mktemp("finished") / "data")
    runs = {name: project.run(name) for name in ("encoding_roi", "encoding_joint")}
    return project, runs


@pytest.fixture(scope="session")
def release_at(finished) -> Callable[[Path], Project]:
    """Make a project with the configuration of the real release: release_at(folder)."""
    return partial(with_release, finished[0])


@pytest.fixture(scope="session")
def measured(release_at, tmp_path_factory) -> Project:
    """As `finished`, but with the configuration of the real release. Not to be written to."""
    project = release_at(tmp_path_factory.mktemp("measured"))
    project.run("encoding_roi", "encoding_joint")
    return project


@pytest.fixture(params=["tiny", "nsd"])
def either(request, finished) -> Project:
    """Both encodings, with each configuration. Not to be written to."""
    return finished[0] if request.param == "tiny" else request.getfixturevalue("measured")


@pytest.fixture(scope="session")
def demo(tmp_path_factory) -> Project:
    """Both encodings at demo size, with the parameters of a newcomer."""
    project = Project(tmp_path_factory.mktemp("demo") / "data", env="base")
    project.run("encoding_joint", "encoding_roi")
    return project


@pytest.fixture
def encoded(finished, tmp_path) -> Project:
    """A copy of everything up to the fitted models and their accuracies."""
    copy_stored(finished[0].data, tmp_path / "data", "0")
    return Project(tmp_path / "data")


@pytest.fixture
def prepared(finished, tmp_path) -> Project:
    """A copy of the release and all that is prepared, without models."""
    copy_stored(finished[0].data, tmp_path / "data", "01", "02", "03", "05")
    return Project(tmp_path / "data")


@pytest.fixture
def raw(finished, tmp_path) -> Project:
    """A copy of the release alone, for a test to damage."""
    copy_stored(finished[0].data, tmp_path / "data", "01")
    return Project(tmp_path / "data")
