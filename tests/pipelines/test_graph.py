"""What each pipeline asks for and makes; nothing runs."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from kedro.framework.project import pipelines as registered

import gnet.pipelines
from gnet import pipeline_registry
from gnet.pipelines import data_engineering, encoding_joint, encoding_roi, masks, simulation

PACKAGE = Path(gnet.pipelines.__file__).parent
LAYERS = {
    "01_raw", "02_intermediate", "03_primary", "04_feature", "05_model_input", "06_models",
    "07_model_output", "08_reporting",
}  # fmt: skip
AREAS = ("V1", "V2", "V3", "hV4")
EXPERIMENTS = ("synthetic", "synthetic_imported")
CELLS = tuple(
    f"sweep.measured.{protocol}_{seed}" for protocol in ("published", "revised") for seed in (1, 2, 3)
)
STORED = {
    "01_raw": "nsd planted_brain.h5",
    "02_intermediate": "inventory.csv images.npy image_ids.npy subject_images.parquet",
    "03_primary": "masks voxels.parquet trials.parquet betas.h5",
    "05_model_input": "prefilter.h5",
    "06_models": """
        gnet8j.h5 untrained_gnet8j.h5 {area}.gnet8r.h5 {area}.transfer.h5 imported.h5
        gnet8j_voxels.parquet untrained_gnet8j_voxels.parquet {area}.gnet8r_voxels.parquet
        {area}.transfer_voxels.parquet
    """,
    "07_model_output": """
        gnet8j_accuracy.parquet gnet8j_tuning.parquet gnet8j_receptive_fields.parquet
        gnet8r_accuracy.parquet gnet8r_tuning.parquet gnet8r_receptive_fields.parquet
        {area}_gnet8r_accuracy.parquet {area}_transfer_accuracy.parquet imported_accuracy.parquet
        untrained_gnet8j_accuracy.parquet prefilter_accuracy.parquet planted_accuracy.parquet
        gnet8j_predictions.h5 gnet8j_pictures.h5 gnet8j_noise_model.h5
        gnet8r_predictions.h5 gnet8r_pictures.h5 gnet8r_noise_model.h5
        imported_predictions.h5 imported_noise_model.h5
        transfer_accuracy.parquet transfer_matrix.csv hierarchy_index.csv
        {experiment}.betas.h5 {experiment}.voxels.parquet {experiment}.trials.parquet
        {experiment}.gnet8j.h5 {experiment}.{area}.gnet8r.h5 {experiment}.{area}.transfer.h5
        {experiment}.gnet8j_accuracy.parquet {experiment}.gnet8r_accuracy.parquet
        {experiment}.{area}_gnet8r_accuracy.parquet {experiment}.{area}_transfer_accuracy.parquet
        {experiment}.gnet8j_voxels.parquet {experiment}.{area}.gnet8r_voxels.parquet
        {experiment}.{area}.transfer_voxels.parquet {experiment}.transfer_accuracy.parquet
        {experiment}.transfer_matrix.csv {experiment}.hierarchy_index.csv
        {cell}.gnet8j.h5 {cell}.{area}.gnet8r.h5 {cell}.{area}.transfer.h5
        {cell}.gnet8j_accuracy.parquet {cell}.gnet8r_accuracy.parquet
        {cell}.{area}_gnet8r_accuracy.parquet {cell}.{area}_transfer_accuracy.parquet
        {cell}.gnet8j_voxels.parquet {cell}.{area}.gnet8r_voxels.parquet {cell}.{area}.transfer_voxels.parquet
        {cell}.transfer_accuracy.parquet {cell}.transfer_matrix.csv {cell}.hierarchy_index.csv
        sweep_results.csv sweep_index.csv
    """,
    "08_reporting": """
        controls.csv gnet8j_summary.csv gnet8r_summary.csv imported_summary.csv joint_versus_areas.csv
        hierarchy_index_seeds.csv tuning_average.csv size_eccentricity.csv
        {experiment}.gnet8j_summary.csv {experiment}.gnet8r_summary.csv
        {experiment}.joint_versus_areas.csv {experiment}.hierarchy_index_seeds.csv
        output_correlation.parquet fit_history.csv
        accuracy_against_published.csv fev_against_published.csv hierarchy_index_against_published.csv
        sweep_summary.csv sweep_seeds.csv
        explained_variance_figure.png gnet8j_figure.png gnet8r_figure.png joint_versus_areas_figure.png
        output_correlation_figure.png gnet8j_pooling_fields_figure.png gnet8r_pooling_fields_figure.png
        size_eccentricity_figure.png layerwise_tuning_figure.png bipartite_tuning_figure.png
        transfer_matrix_figure.png hierarchy_index_figure.png fit_history_figure.png
        volume_slices_figure.png maps report.html
    """,
}
"""Every stored dataset by its file, in the folder of its layer."""
OBJECTS = {
    "betas": "gnet.recording.responses.Responses",
    "predictions": "gnet.evaluation.prediction.SubjectPredictions",
    "pictures": "gnet.evaluation.prediction.SubjectPredictions",
    "noise_model": "gnet.analysis.noise_model.NoiseModel",
}
"""What is loaded by subject, by the end of the dataset's name."""
FROM_ELSEWHERE = {"imported"}
UNGUARDED = {
    "take_inventory",
    "prepare_images",  # of image_ids, which are listed from a complete release
}
ENCODING = {"images", "betas", "voxels", "trials", "prefilter"}
FITTING = {"params:model", "params:fitting", "params:protocols", "params:images", "params:scoring"}
FITTING |= {"params:prefilter.source"}


def without_figures(pipeline):
    return {name for name in pipeline.all_outputs() if not name.endswith("_figure")}


def stored(names):
    """Those that are neither parameters nor all versions of a table, which no node makes."""
    return {name for name in names if not name.startswith("params:") and not name.endswith("_versions")}


def test_simulation():
    pipeline = simulation.create_pipeline()
    assert pipeline.inputs() == {"params:simulation", "params:release.sessions"}
    assert pipeline.outputs() == {"recording", "planted_brain"}


def test_data_engineering():
    pipeline = data_engineering.create_pipeline()
    parameters = {"params:release", "params:areas", "params:split", "params:images", "params:prefilter"}
    assert pipeline.inputs() == {"recording", "voxels"} | parameters
    assert pipeline.all_outputs() == {
        "inventory", "image_ids", "subject_images", "trials", "images", "betas", "prefilter"
    }  # fmt: skip


def test_masks():
    pipeline = masks.create_pipeline()
    assert pipeline.inputs() == {"recording", "inventory", "params:release", "params:areas", "params:masks"}
    assert pipeline.outputs() == {"masks", "voxels"}


def test_encoding_joint():
    pipeline = encoding_joint.create_pipeline(("V1", "FFA"))
    assert pipeline.inputs() == ENCODING | FITTING
    assert pipeline.outputs() == {"gnet8j_summary", "gnet8j_figure"}
    assert pipeline.all_outputs() == {
        "gnet8j_voxels", "gnet8j", "gnet8j_accuracy", "gnet8j_summary", "gnet8j_figure"
    }  # fmt: skip


def test_encoding_roi_has_one_instance_per_area():
    pipeline = encoding_roi.create_pipeline(("V1", "FFA"))
    assert pipeline.inputs() == ENCODING | FITTING
    assert without_figures(pipeline) == {
        "V1.gnet8r_voxels", "V1.gnet8r", "V1_gnet8r_accuracy",
        "FFA.gnet8r_voxels", "FFA.gnet8r", "FFA_gnet8r_accuracy",
        "gnet8r_accuracy", "gnet8r_summary",
    }  # fmt: skip
    assert len(pipeline.only_nodes_with_namespaces(["FFA"]).nodes) == 3


def test_what_needs_no_image_comes_before_what_does():
    groups = (data_engineering.create_pipeline() + masks.create_pipeline()).grouped_nodes
    names = [{node.name for node in group} for group in groups]
    assert names == [
        {"take_inventory"},
        {"draw_masks", "list_images", "make_prefilter", "tabulate_trials"},
        {"prepare_images", "prepare_responses"},
    ]


def test_no_responses_before_the_inventory():
    nodes = data_engineering.create_pipeline().nodes
    needed = {node.name: node.inputs for node in nodes if "recording" in node.inputs}
    assert all("inventory" in inputs for name, inputs in needed.items() if name not in UNGUARDED)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("graph") / "data"


@pytest.fixture(scope="module")
def catalog(data, project_at):
    """The catalog of a session that has handed its areas to the registry."""
    with project_at(data).session() as session:
        return session.load_context().catalog


def test_default_is_everything_but_what_needs_something_from_elsewhere(catalog):
    names = set(registered) - {"__default__", "simulation", "sweep"}
    names -= {"pictures", "imported", "synthetic_imported"}
    nodes = {node for name in names for node in registered[name].nodes}
    default = registered["__default__"]
    assert set(default.nodes) == nodes
    assert stored(default.inputs()) == {"recording"}


def datasets(catalog):
    """Of every registered pipeline, by name."""
    names = {name for pipeline in registered.values() for name in stored(pipeline.datasets())}
    return {name: catalog.get(name) for name in names}


def test_what_is_stored_lies_in_the_folder_of_its_layer(catalog, data):
    layers = set()
    for name, dataset in datasets(catalog).items():
        layer = dataset.metadata["kedro-viz"]["layer"]
        assert (name, layer) == (name, dataset.place.relative_to(data).parts[0])
        layers.add(layer)
    assert layers <= LAYERS


def test_what_is_stored_and_where(catalog, data):
    """Patterns of the catalog store whatever they match: here a misspelt name is noticed."""
    expected = {
        f"{layer}/{file}"
        for layer, files in STORED.items()
        for area in AREAS
        for experiment in EXPERIMENTS
        for cell in CELLS
        for file in files.format(area=area, experiment=experiment, cell=cell).split()
    }
    found = datasets(catalog)
    files = {name: dataset.place.relative_to(data).as_posix() for name, dataset in found.items()}
    assert set(files.values()) == expected
    for name, file in files.items():
        assert name in {Path(file).name, Path(file).stem} or (name, file) == ("recording", "01_raw/nsd")


def test_nodes_that_read_the_device_are_tagged_for_workers_that_have_one():
    nodes = {node for pipeline in registered.values() for node in pipeline.nodes}
    reading = {node.name for node in nodes if re.search(r"params:(fitting|cells\.\w+)'", str(node.inputs))}
    reading -= {"sweep.gather_cells", "controls.score_prefilter", "controls.score_planted"}  # of the holdout
    assert reading == {node.name for node in nodes if "device" in node.tags}


def test_what_stored_objects_are_loaded_as(catalog):
    for name, dataset in datasets(catalog).items():
        content = getattr(dataset, "_load_args", {}).get("content")
        kind = name.rpartition(".")[2].removeprefix("imported").lstrip("_") or "imported"
        kind = kind.removeprefix("gnet8j_").removeprefix("gnet8r_")
        assert (name, content) == (name, OBJECTS.get(kind))
        is_model = kind in {"gnet8j", "untrained_gnet8j", "gnet8r", "transfer", "imported"}
        assert (name, type(dataset).__name__ == "ModelDataset") == (name, is_model)


def test_versions_are_kept_from_the_models_on(catalog):
    for name, dataset in datasets(catalog).items():
        if dataset is not None:
            versioned = getattr(dataset, "_version", None) is not None
            made = dataset.metadata["kedro-viz"]["layer"] >= "06" and name not in FROM_ELSEWHERE
            assert (name, versioned) == (name, made)


def test_all_versions_are_those_of_a_table(catalog):
    names = registered["__default__"].inputs()
    for name in (name for name in names if name.endswith("_versions")):
        table = catalog.get(name.removesuffix("_versions"))
        assert catalog.get(name)._filepath == table._filepath
        assert catalog.exists(name)  # so that no run tries to make it


def test_every_input_is_a_parameter_or_stored(catalog):
    parameters = catalog.load("parameters")
    for pipeline in registered.values():
        for name in pipeline.inputs():
            if name.startswith("params:"):
                assert name.removeprefix("params:").split(".")[0] in parameters
            else:
                assert catalog.get(name) is not None, name


def test_everything_that_a_pipeline_needs_is_made_by_another(catalog):
    made = {name for pipeline in registered.values() for name in pipeline.all_outputs()}
    for pipeline in registered.values():
        assert stored(pipeline.inputs()) <= made | FROM_ELSEWHERE


def test_every_node_is_in_a_box_that_keeps_the_names_of_its_data(catalog):
    default = registered["__default__"]
    assert all(node.namespace for node in default.nodes)
    assert {node.namespace for node in registered["masks"].nodes} == {"data"}
    assert registered["masks"].inputs() == masks.create_pipeline().inputs()
    assert registered["masks"].outputs() == masks.create_pipeline().outputs()


def test_an_area_can_be_run_alone(catalog):
    """`kedro run --namespaces V1`, for instance on a graphics card of its own."""
    names = {node.name for node in registered["__default__"].filter(node_namespaces=["V1"]).nodes}
    assert names == {
        f"V1.{step}_{model}" for step in ("choose_voxels", "fit", "score") for model in ("gnet8r", "transfer")
    }


def test_every_node_has_a_name_and_a_docstring(catalog):
    for node in registered["__default__"].nodes:
        assert node._name
        assert node.func.__doc__


def test_a_command_that_runs_nothing_imports_nothing_slow():
    """Kedro imports the settings for every command, `kedro --help` too."""
    program = "import sys, gnet.settings; print({'torch', 'pandas', 'scipy', 'h5py'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def imported_pipelines(source: Path) -> set[str]:
    """First words below gnet.pipelines of what a file imports."""
    modules = set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inside = ["gnet", "pipelines", *source.relative_to(PACKAGE).parts[:-1]]
            package = inside[: len(inside) + 1 - node.level] if node.level else []
            module = ".".join([*package, *filter(None, [node.module])])
            modules |= {f"{module}.{alias.name}" for alias in node.names}
    return {module.split(".")[2] for module in modules if module.startswith("gnet.pipelines.")}


def test_pipelines_do_not_import_each_other():
    names = set(pipeline_registry.register_pipelines())
    assert {"simulation", "data_engineering", "masks", "encoding_joint", "encoding_roi"} <= names
    for source in PACKAGE.rglob("*.py"):
        own = source.relative_to(PACKAGE).parts[0].removesuffix(".py")
        assert imported_pipelines(source) & names <= {own}, source
