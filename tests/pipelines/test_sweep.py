"""A sweep, with the configuration of the real release: its fits are those of single runs, and it goes on."""

import numpy as np
import pandas as pd
import pytest

from gnet.fitting import models

AREAS = ("V1", "V2", "V3", "hV4")
SWEEP = {"seeds": 2, "protocols": "published"}
CELLS = ("published_1", "published_2")
FITS = 9
"""Of a cell: the joint model, the area-wise models and their transfer."""


@pytest.fixture(scope="module")
def ready(release_at, tmp_path_factory):
    project = release_at(tmp_path_factory.mktemp("sweep"))
    project.run("data_engineering", "masks")
    return project


@pytest.fixture(scope="module")
def swept(ready):
    """A sweep that lost power in its seventh fit and was then started again; what its second run said."""
    calls = []

    def fit(*arguments, **options):
        calls.append(options["seed"])
        if len(calls) == 7:
            raise RuntimeError("the power is gone")
        return whole(*arguments, **options)

    whole = models.fit_network
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "fit_network", fit)
        with pytest.raises(RuntimeError, match="power"):
            ready.run("sweep", sweep=SWEEP)
        run = ready.run("sweep", sweep=SWEEP)
    assert set(calls) == {1, 2}
    return ready, run


def test_it_goes_on_with_the_fits_that_had_ended(swept):
    project, run = swept
    assert run.log.count("resuming after epoch 1") == 6
    assert not list(project.data.rglob("unfinished/*.pt"))


def test_a_cell_is_what_a_run_with_its_seed_gives(swept):
    project, _ = swept
    project.run("encoding_joint", "encoding_roi", "transfer", seed=2)
    for name in ("gnet8j_accuracy", "gnet8r_accuracy", "transfer_accuracy", "hierarchy_index"):
        pd.testing.assert_frame_equal(project.load(f"sweep.measured.published_2.{name}"), project.load(name))


def test_the_tables_of_all_cells(swept):
    project, _ = swept
    results, index = project.load("sweep_results"), project.load("sweep_index")
    assert len(results) == len(CELLS) * 2 * len(AREAS) * 2  # models, areas, subjects
    assert results["seed"].unique().tolist() == [1, 2]
    assert {"update", "epochs", "l1", "readout_learning_rate"} <= set(results)
    assert len(index) == len(CELLS) * 3  # two subjects, and both together
    summary, seeds = project.load("sweep_summary"), project.load("sweep_seeds")
    of_v1 = results.query("model == 'gnet8r' and area == 'V1'").groupby("seed")["median_r"].mean()
    found = summary.query("model == 'gnet8r' and area == 'V1'").iloc[0]
    assert found["median_r"] == pytest.approx(of_v1.mean())
    assert found["seed_sd"] == pytest.approx(of_v1.std())
    pooled = index.query("subject == 'pooled'")["index"]
    assert seeds.query("subject == 'pooled'")["index"].item() == pytest.approx(pooled.mean())
    assert seeds["which"].unique().tolist() == ["1, 2"]


def test_models_are_kept_only_if_that_is_asked_for(swept):
    project, _ = swept
    folders = (project.data / "07_model_output").glob("sweep.*.h5")
    versions = {version.name for folder in folders for version in folder.iterdir()}
    finished = {version.name for version in (project.data / "07_model_output" / "sweep_index.csv").iterdir()}
    assert len(versions) == 1  # of the run that lost power
    assert not versions & finished
    only = ["sweep.measured.published_1.V1_gnet8r_accuracy"]
    project.run("sweep", sweep=SWEEP, only=only, keep_models=True)
    assert project.load("sweep.measured.published_1.V1.gnet8r").configuration["seed"] == 1


@pytest.mark.parametrize(
    ("sweep", "said"),
    [
        ({"seeds": [1, 1]}, "seeds: expected each once, got 1, 1"),
        ({"seeds": 0}, "seeds: expected their number or a list of them, got 0"),
        (
            {"protocols": ["publishd"]},
            "protocols.0: expected one of published, revised, got 'publishd'. Did you mean",
        ),
    ],
)
def test_what_no_sweep_can_be(fresh, sweep, said):
    message, _ = fresh.refused("sweep", sweep=sweep)
    assert message.startswith(f"\nParameterError: sweep: {said}")


def test_a_planted_brain_has_the_voxels_and_ceilings_of_the_recording(swept):
    project, _ = swept
    only = [f"sweep.{part}" for part in ("even_1.planted", "even.published_1.V1_gnet8r_accuracy")]
    project.run("sweep", sweep=SWEEP | {"brains": "even"}, only=only)
    planted, voxels = project.load("sweep.even_1.planted"), project.load("voxels")
    both = planted.merge(voxels, on=["subject", "voxel_index", "area"])
    assert len(both) == len(planted) == voxels["area"].isin(AREAS).sum()
    snr = both["ncsnr"].to_numpy() ** 2
    np.testing.assert_allclose(both["ceiling"], 100 * snr / (snr + 1))
    responses, measured = project.load("sweep.even_1.betas"), project.load("betas")
    trials = project.load("trials")
    for subject, found in responses.items():
        np.testing.assert_array_equal(found.valid, measured[subject].valid)
        np.testing.assert_array_equal(found.affine, measured[subject].affine)
        rows = trials.loc[trials["subject"] == subject, "image_row"].to_numpy()
        betas = found.betas[:]
        assert betas.shape == measured[subject].betas.shape == (len(rows), len(found.voxel_index))
        in_area = np.isin(found.voxel_index, planted.loc[planted["subject"] == subject, "voxel_index"])
        assert np.isfinite(betas[:, in_area]).all()
        assert np.isnan(betas[:, ~in_area]).all()
        # what differs between two trials of an image is noise, of 20 images or more and some 60 voxels
        first, second = (betas[[np.flatnonzero(rows == row)[n] for row in repeated(rows)]] for n in (0, 1))
        noise = ((first - second)[:, in_area] ** 2).mean() / 2
        ceilings = planted.loc[planted["subject"] == subject, "ceiling"] / 100
        assert noise == pytest.approx(1 - ceilings.mean(), rel=5 * np.sqrt(2 / (20 * 60)))


def repeated(rows):
    """Images that were shown more than once."""
    shown, times = np.unique(rows, return_counts=True)
    return shown[times > 1]
