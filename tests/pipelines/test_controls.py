"""Controls, with the configuration of the real release and with that of the simulated one."""

import numpy as np
import pytest
import torch

from gnet.models.gnet import GNet

MODELS = ("gnet8j", "gnet8r", "untrained_gnet8j", "prefilter")


@pytest.fixture(scope="module")
def of_release(release_at, tmp_path_factory):
    project = release_at(tmp_path_factory.mktemp("controls"))
    project.run("encoding_joint", "encoding_roi", "controls", seed=1)
    return project


def test_what_controls_say_of_measured_data(of_release):
    table = of_release.load("controls")
    assert len(table) == 8  # areas and subjects
    assert np.isfinite(table[list(MODELS)].to_numpy()).all()
    assert table["planted"].isna().all()  # nobody knows
    for model in ("gnet8j", "gnet8r"):
        trained, untrained = (of_release.load(f"{name}_accuracy") for name in (model, "untrained_gnet8j"))
        both = trained.merge(untrained, on=["subject", "voxel_index", "area"])
        gain = (both["r_x"] - both["r_y"]).groupby([both["area"], both["subject"]])
        row = table.set_index(["area", "subject"]).loc[("V2", "subj01")]
        assert row[f"{model}_gain"] == pytest.approx(gain.mean()["V2", "subj01"])
        assert row[f"{model}_gain_error"] == pytest.approx(gain.sem()["V2", "subj01"])


def test_an_untrained_trunk_has_the_weights_that_were_drawn(of_release):
    model = of_release.load("untrained_gnet8j")
    torch.manual_seed(1)
    sizes = {subject: len(voxels) for subject, voxels in model.voxels.items()}
    drawn = dict(GNet(model.architecture, sizes).trunk.named_parameters())
    for name, found in model.network.trunk.named_parameters():
        torch.testing.assert_close(found, drawn[name], rtol=0, atol=0)
    assert model.configuration["kind"] == "untrained"


def test_planted_maps_predict_best_where_they_are_known(encoded):
    encoded.run("controls")
    table = encoded.load("controls")
    assert np.isfinite(table["planted"]).all()
    assert table["planted"].median() > table["prefilter"].median()
