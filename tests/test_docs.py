"""README and docs say what is so: their commands, names, trees and numbers are run or compared."""

import os
import pydoc
import re
import shlex
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml
from kedro.io import CatalogConfigResolver

import gnet
from gnet.evaluation.accuracy import FEV_CEILING
from gnet.paper import published_accuracy, published_fev
from gnet.pipeline_registry import register_pipelines
from gnet.readers.nsd.inventory import inventory
from gnet.readers.nsd.layout import BUCKET, Layout
from gnet.readers.nsd.rois import MASK_FAMILIES

ROOT = Path(__file__).resolve().parents[1]
PAGES = {page.relative_to(ROOT).as_posix(): page.read_text() for page in ROOT.glob("*.md")}
PAGES |= {page.relative_to(ROOT).as_posix(): page.read_text() for page in (ROOT / "docs").glob("*.md")}
PAGES["tests/golden/README.md"] = (ROOT / "tests/golden/README.md").read_text()
HISTORY = {"CHANGELOG.md", "docs/LOG.md"}
"""Pages that keep the names of their time."""
RUNNER = "gnet.cluster.DaskRunner"
CLUSTERS = yaml.safe_load((ROOT / "conf" / "base" / "cluster.yml").read_text())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGE = ROOT / "src" / "gnet"
FIRST_COMMANDS = (
    "python -m venv .venv && . .venv/bin/activate && pip install -e . && kedro run --pipelines encoding_roi",
    'pip install -e ".[dev]" && pytest',
)
COMPARED = {"aws", "export", "S=subj01", "for", "..."}
"""First words of commands that are compared with the code elsewhere in this module, or set a variable."""
TOOLS = {
    "python",
    "pip",
    "pytest",
    "kedro",
    "gnet",
    "pre-commit",
    ".",
    "lint-imports",
    "ruff",
    "squeue",
    "tail",
    "tensorboard",
}
AROUND = {"docker", "apptainer", "sbatch"}
"""First words of commands that run another one elsewhere, which is checked, too."""


def code_blocks(page, language):
    """Contents of the fenced blocks of one language; "" for those without."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", PAGES[page], re.MULTILINE | re.DOTALL)
    return [content for name, content in blocks if name == language]


def commands():
    """(page, command) of every line of a shell block, and of every code span that starts like a command."""
    found = []
    for page, text in PAGES.items():
        lines = [line for block in code_blocks(page, "sh") for line in block.splitlines()]
        spans = re.findall(r"`((?:NSD_ROOT=\S+ |GNET_DATA=\S+ )*(?:kedro|pip|pytest|aws|gnet) [^`]+)`", text)
        for line in lines + spans:
            command = re.sub(r"^srun (--\S+ )*", "", line.split(" #")[0].strip())
            if command.startswith("#"):  # of a script
                continue
            if command.split(" ")[0] in AROUND:
                inner = re.findall(r"(?<= )kedro run [^\"]+", command)
                found += [(page, words) for words in (command, *inner)]
                continue
            found += [(page, part.strip()) for part in re.split(r"&&|;", command) if part.strip()]
    return list(dict.fromkeys(found))


COMMANDS = commands()
KEDRO = [(page, command) for page, command in COMMANDS if re.match(r"(\w+=\S+ )*kedro ", command)]


def words(command):
    """The words of a command after its variables, which come first."""
    split = shlex.split(command)
    variables = [word for word in split if re.match(r"[A-Z_]+=", word)]
    return [word for word in split if word not in variables], dict(word.split("=", 1) for word in variables)


def test_there_is_something_to_check():
    assert len(COMMANDS) > 15
    assert len(KEDRO) > 8


def test_the_two_commands_are_on_the_first_screen_and_nothing_else():
    first, second = code_blocks("README.md", "sh")[:2]
    assert (first.strip(), second.strip()) == FIRST_COMMANDS
    screen = "\n".join(PAGES["README.md"].splitlines()[:40])
    assert all(command in screen for command in FIRST_COMMANDS)


def test_the_gate_runs_them_as_they_stand_there():
    gate = (ROOT / ".ci" / "run").read_text()
    assert all(command in gate for command in FIRST_COMMANDS)


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_commands_are_of_known_tools(page, command):
    plain, variables = words(command)
    assert set(variables) <= {
        "NSD_ROOT",
        "NSD",
        "GNET_DATA",
        "GNET_REFERENCE",
        "OMP_NUM_THREADS",
        "S",
        "COMMIT",
    }
    if plain:
        assert plain[0] in TOOLS | AROUND | COMPARED | {"do", "done"}, f"{page}: {command}"


@pytest.mark.parametrize(("page", "command"), [c for c in COMMANDS if c[1].startswith("pip install -e")])
def test_extras_exist(page, command):
    extras = re.findall(r"\.\[(\w+)\]", command)
    assert set(extras) <= set(PROJECT["project"]["optional-dependencies"]), page


@pytest.mark.parametrize(("page", "command"), KEDRO)
def test_kedro_commands_name_what_exists(page, command):
    plain, _ = words(command)
    assert plain[1] in {"run", "registry", "viz", "jupyter", "--help"}
    options = dict(zip(plain[2::2], plain[3::2], strict=False)) if plain[1] == "run" else {}
    runner = {options.pop("--runner", RUNNER), options.pop("--runner-params", "cluster=local")}
    assert runner <= {RUNNER, *(f"cluster={name}" for name in CLUSTERS)}
    assert set(options) <= {"--pipeline", "--pipelines", "--env", "--params", "--to-outputs"}
    pipelines = register_pipelines()
    named = [
        name for key in ("--pipeline", "--pipelines") for name in options.get(key, "").split(",") if name
    ]
    assert set(named) <= set(pipelines)
    assert (ROOT / "conf" / options.get("--env", "base")).is_dir()
    outputs = set().union(*(pipelines[name].all_outputs() for name in named))
    assert set(options.get("--to-outputs", "").split(",")) - {""} <= outputs
    files = [path.read_text() for path in (ROOT / "conf" / "base").glob("parameters*.yml")]
    parameters = {name: value for text in files for name, value in yaml.safe_load(text).items()}
    for setting in filter(None, options.get("--params", "").split(",")):
        name = setting.split("=")[0]
        group, dot, inner = name.partition(".")
        known = inner in parameters[group] if dot else f"${{runtime_params:{name}," in "".join(files)
        assert known, setting


def test_the_address_of_alexnet_is_the_configured_one():
    configured = yaml.safe_load((ROOT / "conf/base/parameters_data_engineering.yml").read_text())["prefilter"]
    assert f"<{configured['url']}>" in PAGES["docs/trouble.md"]
    assert configured["path"].endswith(f"/01_raw/{configured['url'].rpartition('/')[2]}")


def run(*command, **variables):
    environment = {name: value for name, value in os.environ.items() if name not in ("NSD_ROOT", "GNET_DATA")}
    return subprocess.run(
        [Path(sys.executable).parent / command[0], *command[1:]],
        cwd=ROOT,
        env=environment | {"OMP_NUM_THREADS": "1", "COLUMNS": "120"} | variables,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_the_main_job_prints_the_table_that_readme_shows_and_stores_the_picture(whole_run):
    """What `.ci/run` runs as it stands there, here as a part of the whole run."""
    told = (whole_run.parent / "printed.txt").read_text().split("\ngnet8r_summary: ")[1].splitlines()[1:]
    printed = told[: 1 + next(number for number, line in enumerate(told) if line.startswith("└"))]
    shown = code_blocks("README.md", "")[0].splitlines()
    assert printed[1].split() == shown[1].split()
    assert [line.split()[1:4:2] for line in printed[3:-1]] == [line.split()[1:4:2] for line in shown[3:-1]]
    [picture] = (whole_run / "08_reporting" / "gnet8r_figure.png").glob("*/gnet8r_figure.png")
    assert picture.read_bytes()[1:4] == b"PNG"


def test_checking_the_release_says_what_is_missing_and_reads_nothing_else(tmp_path):
    [command] = {command for _, command in KEDRO if "--to-outputs trials" in command}
    plain, _ = words(command)
    (tmp_path / "nsd" / "nsddata").mkdir(parents=True)
    done = run(*plain, NSD_ROOT=str(tmp_path / "nsd"), GNET_DATA=str(tmp_path / "made"))
    assert done.returncode != 0
    assert "Data Access Agreement" in done.stderr
    assert f"aws s3 cp --no-sign-request {BUCKET}/nsddata_betas/" in done.stderr
    assert {path.name for path in (tmp_path / "made").iterdir()} == {"02_intermediate", "runs"}


def test_the_command_line_is_there():
    assert set(PROJECT["project"]["scripts"]) == {"gnet"}
    shown = run("python", "-m", "gnet", "--help").stdout
    assert "checkpoint" in shown
    assert "..." not in shown.split("Commands:")[1]  # a summary that was cut


def test_the_registry_can_be_listed():
    done = run("kedro", "registry", "list")
    assert set(yaml.safe_load(done.stdout)) == set(register_pipelines())


def downloaded(path):
    """Whether the data guide's commands for all subjects and for one fetch this path of the release."""
    for line in "\n".join(code_blocks("docs/data.md", "sh")).splitlines():
        if not line.startswith("aws s3"):
            continue
        plain = shlex.split(line.replace("$NSD_ROOT", "ROOT").replace("$NSD", BUCKET).replace("$S", "subj01"))
        source, target = (word for word in plain if word.startswith((BUCKET, "ROOT")))
        source, target = source.removeprefix(f"{BUCKET}/"), target.removeprefix("ROOT/")
        assert source == target
        included = [pattern for word, pattern in pairwise(plain) if word == "--include"]
        if path == source:
            return True
        if path.startswith(f"{source}/"):
            inner = path.removeprefix(f"{source}/")
            return any(fnmatch(inner, pattern) for pattern in included)
    return False


def test_the_data_guide_fetches_what_the_inventory_asks_for_and_no_more(tmp_path):
    layout = Layout(tmp_path)
    asked = set(inventory(layout, {"subj01": 40}, MASK_FAMILIES, "hdf5")["path"])
    assert {path for path in asked if not downloaded(path)} == set()
    patterns = re.findall(r'--include "([^"]+)"', PAGES["docs/data.md"])
    for pattern in patterns:
        used = [path for path in asked if fnmatch(path, f"*/{pattern}")]
        assert used or fnmatch(layout.anatomy("subj01").name, pattern), f"nobody reads {pattern}"


def test_the_data_guide_counts_the_kinds_of_file(tmp_path):
    numbers = dict(zip(("Four", "Seven", "Eleven"), (4, 7, 11), strict=True))
    text = PAGES["docs/data.md"].split("## What to download")[1].split("The commands use")[0]
    total, required, optional = (
        numbers[re.search(pattern, text)[1]]
        for pattern in (r"(\w+) kinds of file", r"(\w+) are required", r"(\w+) are optional")
    )
    rows = [len(re.findall(r"^\| `", part, re.MULTILINE)) for part in text.split("are optional")]
    assert rows == [required, optional]
    kinds = inventory(Layout(tmp_path), {"subj01": 1}, MASK_FAMILIES, "hdf5")["kind"].nunique()
    assert required + optional == total == kinds + 1  # the T1 volume is not in the inventory


def test_times_in_the_data_guide_follow_from_measured_rates():
    measured = PAGES["docs/performance.md"].split("| b: 227 px, 4,627 voxels")[1].split("| c: ")[0]
    rate = {
        name: float(re.search(rf"\| {name} \| ([\d.]+) \|", measured)[1]) for name in ("published", "revised")
    }
    rows = re.findall(r"\| ([\d,]+) \w+.*? x (\d+) \| .*?([\d.]+) h", PAGES["docs/data.md"])
    for (samples, epochs, hours), protocol in zip(rows, ("published", "revised", "published"), strict=True):
        expected = int(samples.replace(",", "")) * int(epochs) / rate[protocol] / 3600
        assert float(hours) == pytest.approx(expected, abs=0.5)
        assert f"{rate[protocol]} trials/s" in PAGES["docs/data.md"]
    assert f"at most {rows[-1][2]} h (extrapolated" in PAGES["docs/performance.md"]


def test_the_plan_to_whole_brain_follows_from_the_counts():
    page = PAGES["docs/performance.md"]
    rows = dict(re.findall(r"^\| ([a-z][^|]+) \| (.+) \|$", page.split("## On paper")[1], re.MULTILINE))
    part = r"\| {} \| ([\d.]+) [GM] \| ([\d.]+) [GM] \|"
    trunk, voxel = (
        sum(map(float, re.search(part.format(name), page).groups())) * unit
        for name, unit in (("trunk", 1e9), ("readout, one voxel", 1e6))
    )
    for column, (voxels, every_voxel, trials) in enumerate(
        [
            (3_700, 29_600, 172_530),
            (240_000, 1.92e6, 172_530),
            (4_627, 462_700, 2.43e6),
            (240_000, 2.4e7, 2.43e6),
        ]
    ):
        operations = trunk + voxels * voxel
        for name, expected in (
            ("voxels per subject", voxels),
            ("operations per trial", operations / 1e9),
            ("operations per fit", 50 * trials * operations),
            ("arithmetic, at least", 50 * trials * operations / 495e12 / 3600),
            ("non-linearity, ten passes, at least", 50 * trials * 512 * voxels * 4 * 10 / 4.8e12 / 3600),
            ("readout with gradient, Adam and best state, 26 kB a voxel", every_voxel * 26e3 / 1e9),
            ("training and holdout responses in float32", trials / 0.9 * voxels * 4 / 1e9),
            ("model file", every_voxel * 1_307 * 4 / 1e9),
        ):
            written = rows[name].split(" | ")[column].split()[0].replace(",", "")
            digits = len(re.sub(r"e.*|\.|^0\.0*", "", written)) or 1
            assert float(written) == pytest.approx(expected, rel=0.51 * 10 ** (1 - digits)), (name, column)


def test_sizes_in_the_data_guide_follow_from_shapes():
    sessions = np.array([40, 40, 32, 30, 40, 32, 40, 30])
    volumes = np.array(
        [[81, 104, 83], [82, 106, 84], [81, 106, 82], [85, 99, 80], [79, 97, 78], [85, 113, 83], [78, 95, 81],
         [80, 103, 78]]
    ).prod(axis=1)  # fmt: skip
    voxels = np.array([4657, 3757, 3749, 3023, 3661, 3985, 3251, 3491])
    released, made, image = 2 * 750 * sessions * volumes, 4 * 750 * sessions * voxels, 3 * 227 * 227
    text = PAGES["docs/data.md"]
    for name, one, total in (
        ("betas, HDF5", f"{released[0] / 1e9:.0f}", f"{released.sum() / 1e9:.0f}"),
        ("prepared images, 227 pixels", f"{10_000 * image / 1e9:.1f}", f"{73_000 * image / 1e9:.1f}"),
        ("prepared betas, early visual cortex", f"{made[0] / 1e9:.1f}", f"{made.sum() / 1e9:.1f}"),
    ):
        assert f"| {name} | {one} GB | {total} GB |" in text
    configured = yaml.safe_load((ROOT / "conf" / "nsd" / "parameters.yml").read_text())["release"]["sessions"]
    assert list(configured.values()) == sessions.tolist()


def test_published_numbers_are_those_of_the_source_data():
    accuracy = published_accuracy().groupby("ROI").mean()
    fev = published_fev().groupby("ROI").mean()
    for area in ("V1", "V2", "V3", "hV4"):
        numbers = [
            f"{accuracy.loc[area, name]:.2f}" for name in ("noise ceiling", "GNet8j-fpf", "GNet8r-fpf")
        ]
        numbers.append(f"{fev.loc[area, 'GNet8jft-fpf']:.1f}")
        assert f"| {area} | {' | '.join(numbers)} |\n" in PAGES["README.md"]
    assert f"ceiling of at least {FEV_CEILING:.0f} %" in PAGES["README.md"]


def test_protocols_are_those_of_the_configuration():
    bundles = yaml.safe_load(
        re.search(
            r"^protocols:\n(?:  .*\n)+",
            (ROOT / "conf/base/parameters_encoding.yml").read_text(),
            re.MULTILINE,
        )[0]
    )["protocols"]
    rows = [
        f"| `{name}` | `{value}` | `{bundles['revised'][name]}` |"
        for name, value in bundles["published"].items()
    ]
    assert "\n".join(rows) + "\n\n" in PAGES["docs/protocol.md"]
    described = re.findall(r"^\*\*(`.+?):", PAGES["docs/protocol.md"], re.MULTILINE)
    named = {name.removeprefix("fitting.") for line in described for name in re.findall(r"`([\w.]+)`", line)}
    assert named == set(bundles["published"]) | {"seed", "precision"}


def kept(folder):
    """What belongs into a tree of the folder: neither hidden nor made by tools."""
    made = {"__pycache__", "build", "dist", "__init__.py"}
    return {
        path.name
        for path in folder.iterdir()
        if path.name not in made
        and not path.name.startswith(".")
        and not path.name.endswith(".egg-info")
        and (path.is_file() or any(inner.is_file() for inner in path.rglob("*")))
    }


def test_the_tree_in_readme_is_the_real_one():
    [tree] = [block for block in code_blocks("README.md", "") if "conf/ " in block]
    listed, parent = {}, ""
    for line in tree.splitlines():
        name = line.split()[0].rstrip("/")
        assert line.split()[0].endswith("/")
        parent, path = (parent, f"{parent}/{name}") if line.startswith(" ") else (name, name)
        listed.setdefault("" if not line.startswith(" ") else parent, set()).add(path)
    folders = {path.split("/")[0] for path in listed.pop("")}
    assert folders == {name for name in kept(ROOT) if (ROOT / name).is_dir()}
    assert set(listed) == {"conf", "src/gnet"}
    for parent, paths in listed.items():
        real = {
            f"{parent}/{p.name}" for p in (ROOT / parent).iterdir() if p.is_dir() and p.name != "__pycache__"
        }
        assert paths == real


def test_the_packages_in_architecture_hold_the_modules_that_are_listed():
    rows = re.findall(
        r"^\| `(\w+)` \| [A-Z ’'-]+ \| .+? \| (.*) \|$", PAGES["docs/architecture.md"], re.MULTILINE
    )
    listed = {package: set(modules.split()) for package, modules in rows}
    packages = [path for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"]
    real = {
        path.name: {
            member.stem
            for member in path.iterdir()
            if not member.name.startswith(("_", ".")) and (member.is_dir() or member.suffix == ".py")
        }
        for path in packages
    }
    for package, modules in real.items():
        assert listed.get(package) == modules, f"write: {' '.join(sorted(modules))}"
    assert set(listed) == set(real)
    for module in PACKAGE.glob("[a-z]*.py"):
        assert f"`{module.stem}`" in PAGES["docs/architecture.md"]


def test_layers_are_those_of_the_contract():
    contracts = PROJECT["tool"]["importlinter"]["contracts"]
    [layers] = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    assert f"    {' > '.join(layers)}\n" in PAGES["docs/architecture.md"]


def test_datasets_in_architecture_are_in_the_catalog_under_their_layer():
    catalog = {}
    for path in (ROOT / "conf" / "base").glob("catalog*.yml"):
        text = path.read_text().replace("${globals:data_root}", "data")
        catalog |= yaml.safe_load(text.replace("${runtime_params:keep_models, false}", "false"))
    resolver = CatalogConfigResolver({name: it for name, it in catalog.items() if not name.startswith("_")})
    table = PAGES["docs/architecture.md"].split("## The way of the data")[1].split("## One batch")[0]
    rows = re.findall(r"^\| (`.+?) \| (\d\d_\w+) \|", table, re.MULTILINE)
    assert len(rows) > 10
    for names, layer in rows:
        for name in re.findall(r"`([\w.]+)`", names):
            entry = catalog.get(name) or resolver.resolve_pattern(name)
            assert entry["metadata"]["kedro-viz"]["layer"] == layer


def names_of_files(page):
    spans = re.findall(r"`([^`\s]+)`", PAGES[page])
    looks_like_a_path = re.compile(r"(src|tests|conf|docs|benchmarks|notebooks)/[\w./*]+$|\.ci/run$")
    links = re.findall(r"\]\((?!http)([^)#]+)\)", PAGES[page])
    return [ROOT / span for span in spans if looks_like_a_path.match(span)] + [
        (ROOT / page).parent / link for link in links
    ]


@pytest.mark.parametrize("page", PAGES)
def test_files_and_links_exist(page):
    for path in names_of_files(page):
        assert list(path.parent.glob(path.name)), path


@pytest.mark.parametrize("page", sorted(set(PAGES) - HISTORY))
def test_dotted_names_of_the_package_can_be_imported(page):
    for name in re.findall(r"`(gnet(?:\.\w+)+)`", PAGES[page]):
        assert pydoc.locate(name) is not None, name


def test_versions_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == gnet.__version__
    assert f"What will be {gnet.__version__}" in PAGES["CHANGELOG.md"]
    assert citation["license"] == PROJECT["project"]["license"]
    for reference in citation["references"]:
        assert reference["doi"] in PAGES["README.md"]


def test_every_recorded_file_is_described_with_arrays_that_it_has():
    folder = ROOT / "tests" / "golden"
    table = PAGES["tests/golden/README.md"].split("## Files")[1].split("## Tolerances")[0]
    rows = [row.strip("|").split("|") for row in table.splitlines() if row.startswith("| `")]
    described = {name: arrays for files, arrays in rows for name in re.findall(r"`([^`]+)`", files)}
    assert set(described) == {path.name for path in folder.iterdir()} - {"README.md"}
    for name, arrays in described.items():
        if not name.endswith(".npz"):
            continue
        with np.load(folder / name) as stored:
            held = [part for array in stored.files for part in (array, *array.split("/"))]
        for pattern in re.findall(r"`([^`]+)`", arrays):
            if pattern.endswith((".npz", "/")):
                continue
            simple = re.sub(r"\{.*?\}", "*", pattern)
            assert any(fnmatch(array, simple) for array in held), f"{name}: no {pattern}"
