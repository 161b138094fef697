"""The container image is built and used without a daemon and without a registry of images."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from gnet.hooks.journal import runs_table

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ["python3", "python3-venv", "ca-certificates"]
"""What Debian's own Python needs to be a base."""
CONTEXT = ["LICENSE", "README.md", "conf", "pyproject.toml", "setup.py", "src"]
"""What of the project is in the image."""


def done(*command, **options):
    """What a command prints; if it fails, so does the test, with all that was printed."""
    ended = subprocess.run(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1200,
        **options,
    )
    assert ended.returncode == 0, f"{command}\n{ended.stdout[-6000:]}"
    return ended.stdout


def as_pip_here(folder):
    """Volumes that make pip in a build fetch from where pip fetches here: its configuration, as one file."""
    settings = {}
    for line in done(sys.executable, "-m", "pip", "config", "list").splitlines():
        name, value = line.split("=", 1)
        settings[name.rpartition(".")[2]] = value.strip("'\"")
    file = folder / "pip.conf"
    file.write_text("\n".join(["[global]", *(f"{name} = {value}" for name, value in settings.items())]))
    words = {word for value in settings.values() for word in value.split()}
    named = {  # an index in a folder has its files beside it
        Path(word.removeprefix("file://")).parent if word.startswith("file://") else Path(word)
        for word in words
    }
    volumes = [f"{path}:{path}:ro" for path in named if path.is_absolute() and path.exists()]
    return [f"--volume={volume}" for volume in (*volumes, f"{file}:/etc/pip.conf:ro")]


def test_hadolint_has_nothing_to_say():
    if not (hadolint := shutil.which("hadolint")):
        pytest.skip("hadolint is not installed")
    assert done(hadolint, ROOT / "Containerfile") == ""


def test_the_guide_mounts_what_the_image_expects():
    guide, containerfile = (ROOT / "docs" / "cluster.md").read_text(), (ROOT / "Containerfile").read_text()
    [work], [data] = (re.findall(rf"{name}[ =](\S+)", containerfile) for name in ("WORKDIR", "GNET_DATA"))
    mounted = re.findall(r"(?:/large/gnet|conf/local|/disk/nsd):(/[\w/]+)", guide)
    assert set(mounted) == {data, f"{work}/conf/local", "/nsd"}
    assert set(re.findall(r"--pwd (\S+)", guide)) == {work}


@pytest.fixture(scope="module")
def inside(tmp_path_factory):
    """Runs a command in a container of the image, as a user whom it does not know."""
    if not all(map(shutil.which, ("buildah", "mmdebstrap"))) or os.geteuid():
        pytest.skip("needs root and Debian's packages buildah and mmdebstrap")
    folder = tmp_path_factory.mktemp("container")
    base, storage = folder / "base", folder / "storage"
    base.mkdir()
    buildah = ["buildah", "--root", storage / "images", "--runroot", storage / "running"]
    isolated, at_home = ["--isolation", "chroot"], {"cwd": ROOT}
    try:
        included = f"--include={','.join(PACKAGES)}"
        done("mmdebstrap", "--variant=minbase", included, "bookworm", base / "base.tar")
        (base / "Containerfile").write_text("FROM scratch\nADD base.tar /\n")
        done(*buildah, "bud", *isolated, "--tag", "localhost/base", base)
        build = [*isolated, "--network", "host", *as_pip_here(folder), "--build-arg", "BASE=localhost/base"]
        build += ["--build-arg", "COMMIT=1234abc"]
        done(*buildah, "bud", *build, "--tag", "localhost/gnet", ".", **at_home)
        done(*buildah, "from", "--name", "gnet", "localhost/gnet")

        def run(*command, data, settings):
            mounted = [f"--volume={data}:/data", f"--volume={settings}:/gnet/conf/local:ro"]
            return done(*buildah, "run", *isolated, "--user", "12345", *mounted, "gnet", "--", *command)

        yield run
    finally:
        subprocess.run([*map(str, buildah), "rm", "--all"], check=False)
        shutil.rmtree(storage, ignore_errors=True)


@pytest.mark.container
@pytest.mark.slow
def test_workers_in_the_image_fit_models_with_the_users_settings(inside, tmp_path):
    data, settings = tmp_path / "data", tmp_path / "settings"
    data.mkdir()
    data.chmod(0o777)
    shutil.copytree(ROOT / "conf" / "tiny", settings)
    (settings / "cluster.yml").write_text("here: {type: local, workers: 1}\n")
    runner = ["--runner", "gnet.cluster.DaskRunner", "--runner-params", "cluster=here"]
    log = inside("kedro", "run", "--pipelines", "encoding_roi", *runner, data=data, settings=settings)
    assert "Pipeline execution completed successfully" in log
    [accuracy] = data.glob("07_model_output/gnet8r_accuracy.parquet/*/gnet8r_accuracy.parquet")
    scored = pd.read_parquet(accuracy)
    assert set(scored["area"]) == {"V1", "V2", "V3", "hV4"}
    assert scored["r"].mean() > 0.1
    assert set(runs_table(data)["commit"]) == {"1234abc"}
    assert {path.stat().st_uid for path in data.rglob("*")} == {12345}
    assert sorted(inside("ls", "-A", "/gnet", data=data, settings=settings).split()) == CONTEXT
