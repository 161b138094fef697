import dataclasses
import hashlib

import h5py
import nibabel
import numpy as np
import pandas as pd
import pytest
import scipy.io

from gnet.errors import ParameterError
from gnet.models.prefilter import gabor_weights
from gnet.models.trunk import grid_positions
from gnet.readers.nsd.betas import prepare_betas
from gnet.readers.nsd.design import read_design, special_positions, trial_table
from gnet.readers.nsd.inventory import inventory, refuse_incomplete
from gnet.readers.nsd.rois import LABELS, area_mask, read_atlas, read_ctab
from gnet.recording.noise_ceiling import ncsnr
from gnet.recording.pictures import FIELD_OF_VIEW, resize
from gnet.recording.volumes import flat_index, read_volume
from gnet.simulation import brain
from gnet.simulation.anatomy import AREA_OF_LABEL, FAMILIES
from gnet.simulation.release import PIXELS, simulate
from gnet.simulation.stages import HALVED, ORGANISATIONS, Chains
from gnet.simulation.trials import VoxelModel

SUBJECTS = ("subj01", "subj02")


def digests(root):
    """Every file below a folder with the digest of its bytes."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }


def prepared(layout, release, subject, file_format="hdf5"):
    plan, planted = release.plan, release.planted[subject]
    return prepare_betas(
        layout,
        subject,
        plan.sessions[subject],
        plan.trials_per_session,
        planted["voxel_index"],
        tuple(plan.volume_shapes[subject]),
        file_format,
    )


def test_the_same_plan_gives_the_same_bytes_and_another_seed_other_ones(plan, layout, tmp_path):
    written = digests(layout.root)
    simulate(plan).write(tmp_path / "again")
    assert digests(tmp_path / "again") == written
    simulate(dataclasses.replace(plan, seed=4)).write(tmp_path / "other")
    other = digests(tmp_path / "other")
    assert other.keys() == written.keys()
    assert all(other[name] != written[name] for name in written if "betas_session" in name or "exp" in name)


@pytest.mark.parametrize("file_format", ["hdf5", "nifti"])
def test_the_inventory_finds_nothing_to_complain_about(plan, layout, file_format):
    table = inventory(layout, plan.sessions, FAMILIES, file_format)
    refuse_incomplete(table)
    assert set(table["problem"]) == {""}


def test_every_path_of_the_layout_is_written(plan, layout):
    for subject, sessions in plan.sessions.items():
        paths = [layout.brainmask(subject), layout.anatomy(subject), layout.stimulus_table]
        paths += [layout.valid_session(subject, session + 1) for session in range(sessions)]
        paths += [layout.roi(subject, family, side) for family in FAMILIES for side in ("lh", "rh")]
        assert all(path.is_file() for path in paths)
        assert not layout.betas(subject, sessions + 1, "hdf5").exists()


@pytest.mark.parametrize("subject", SUBJECTS)
def test_both_formats_hold_the_same_int16_in_their_own_order(plan, layout, subject):
    nifti = nibabel.load(layout.betas(subject, 2, "nifti"))
    volumes = np.asanyarray(nifti.dataobj)
    with h5py.File(layout.betas(subject, 2, "hdf5")) as file:
        stored = file["betas"]
        assert stored.dtype == volumes.dtype == np.int16
        assert stored.chunks == (plan.trials_per_session, 1, 1, 1)
        for trial in (0, plan.trials_per_session - 1):
            np.testing.assert_array_equal(stored[trial].T, volumes[..., trial])
    assert volumes.shape == (*plan.volume_shapes[subject], plan.trials_per_session)
    brainmask = read_volume(layout.brainmask(subject))
    np.testing.assert_allclose(nifti.affine, brainmask.affine)
    assert (volumes[brainmask.data == 0] == 0).all()


def test_the_design_is_read_as_it_was_planned(release, layout):
    design = read_design(layout, len(release.images))
    for name in ("ordering", "images", "shared"):
        np.testing.assert_array_equal(getattr(design, name), getattr(release.design, name))
    assert design.trials_per_session == release.plan.trials_per_session
    assert special_positions(design, release.plan.sessions).size


def test_the_design_file_has_nsds_fields_counted_from_one(plan, layout):
    content = scipy.io.loadmat(layout.design)
    positions = plan.shared_images + plan.own_images
    assert content["masterordering"].shape == (1, 3 * positions)
    assert (content["masterordering"].min(), content["masterordering"].max()) == (1, positions)
    assert content["subjectim"].shape == (2, positions)
    assert content["subjectim"].min() == 1
    assert content["sharedix"].shape == (1, plan.shared_images)
    assert content["basiccnt"].shape == (3, plan.planned_sessions)
    assert ([1, 2, 3] @ content["basiccnt"] == plan.trials_per_session).all()
    assert (content["stimpattern"].sum((1, 2)) == plan.trials_per_session).all()
    header = layout.design.read_bytes()[:116].decode().rstrip()
    assert header == "MATLAB 5.0 MAT-file, simulated"  # and not the time of writing, as scipy has it


def test_shared_images_are_shared_and_sorted_and_own_images_are_nobody_elses(release):
    images, shared = release.design.images, release.design.shared
    np.testing.assert_array_equal(images[0, shared], np.sort(images[1, shared]))
    assert not np.intersect1d(images[0, ~shared], images[1, ~shared]).size
    np.testing.assert_array_equal(np.unique(images), np.arange(len(release.images)))


def test_the_stimuli_file_holds_the_images(release, layout):
    with h5py.File(layout.stimuli) as file:
        np.testing.assert_array_equal(file["imgBrick"][:], release.images)


def test_the_stimulus_table_agrees_with_the_design_file(release, layout):
    table = pd.read_csv(layout.stimulus_table, index_col=0)
    design = release.design
    np.testing.assert_array_equal(table["nsdId"], np.arange(len(release.images)))
    assert table["shared1000"].sum() == design.shared.sum()
    for number, subject in enumerate(SUBJECTS, start=1):
        row = design.stimulus_rows(subject)[design.ordering]
        assert table[f"subject{number}"].sum() == len(design.shared)
        for repetition in range(3):
            trial = table[f"subject{number}_rep{repetition}"]
            seen = trial[trial > 0]
            assert (row[seen - 1] == table["nsdId"][seen.index]).all()


def test_a_subject_stopped_early_and_misses_repetitions(release):
    counts = {
        subject: trial_table(release.design, subject, sessions)["position"].value_counts()
        for subject, sessions in release.plan.sessions.items()
    }
    assert (counts["subj01"] == 3).all()
    assert set(counts["subj02"]) == {1, 2, 3}


@pytest.mark.parametrize("subject", SUBJECTS)
def test_planted_voxels_are_those_of_the_areas(release, layout, subject):
    planted = release.planted[subject]
    atlas = read_atlas(layout, subject, "prf-visualrois")
    for area in brain.AREAS:
        labels = [label for label, of in AREA_OF_LABEL.items() if of == area]
        np.testing.assert_array_equal(
            flat_index(area_mask(atlas, labels)), planted["voxel_index"][planted["area"] == area]
        )
    fewest, most = release.plan.voxels_per_label
    assert pd.Series(planted["label"]).value_counts().between(fewest, most).all()


@pytest.mark.parametrize("subject", SUBJECTS)
def test_names_of_labels_are_written(layout, subject):
    for family in FAMILIES:
        assert read_ctab(layout.ctab(subject, family)) == {0: "Unknown", **LABELS[family]}


@pytest.mark.parametrize("subject", SUBJECTS)
def test_hemispheres_see_the_other_half_and_ventral_parts_the_upper(release, subject):
    planted, anatomy = release.planted[subject], release.subjects[subject].anatomy
    left = anatomy.left.flat[planted["voxel_index"]]
    assert (planted["x"][left] > 0).all()
    assert (planted["x"][~left] < 0).all()
    ventral, dorsal = (np.char.endswith(planted["label"], letter) for letter in "vd")
    assert (planted["y"][ventral] > 0).all()
    assert (planted["y"][dorsal] < 0).all()
    assert np.hypot(planted["x"], planted["y"]).max() <= brain.ECCENTRICITIES[1]


@pytest.mark.parametrize("organisation", ORGANISATIONS)
def test_planted_responses_follow_from_the_written_images(plan, tmp_path, organisation):
    plan = dataclasses.replace(plan, organisation=organisation)
    release = simulate(plan)
    planted = release.planted
    assert (planted["organisation"], planted["seed"]) == (organisation, plan.seed)
    seen = resize(release.images, PIXELS)
    chains = Chains(seen, brain.AREAS, organisation, gabor_weights(), plan.seed)
    for subject in SUBJECTS:
        truth = planted[subject]
        blocks = list(chains.maps(seen[truth["image_id"] - 1]))
        for area in brain.AREAS:
            of_area = truth["area"] == area
            grid = FIELD_OF_VIEW * grid_positions(PIXELS)[chains.depths[area] >= HALVED]
            field = brain.fields(*(truth[name][of_area] for name in ("x", "y", "sigma")), grid)
            pooled = np.concatenate([brain.pooled_maps(maps[area], field) for maps in blocks])
            response = np.einsum("ikv,vk->iv", pooled, truth["weights"][of_area]) + truth["offset"][of_area]
            np.testing.assert_allclose(response, truth["responses"][:, of_area], atol=1e-3)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_voxel_lacks_data_in_one_session_and_the_volumes_say_so(release, layout, subject):
    hdf5, valid = prepared(layout, release, subject)
    nifti, _ = prepared(layout, release, subject, "nifti")
    np.testing.assert_array_equal(hdf5, nifti)
    np.testing.assert_array_equal(valid, ~release.subjects[subject].missing)
    assert (~valid).sum() == release.plan.missing_voxels
    session, voxel = np.argwhere(~valid)[0].tolist()
    mask = read_volume(layout.valid_session(subject, session + 1)).data
    brainmask = read_volume(layout.brainmask(subject)).data
    index = release.planted[subject]["voxel_index"][voxel]
    assert mask.flat[index] == 0
    betas = read_volume(layout.betas(subject, session + 1, "nifti")).data
    assert not betas.reshape(-1, betas.shape[-1])[index].any()
    assert brainmask.sum() - mask.sum() == (~valid[session]).sum()


@pytest.mark.parametrize("subject", SUBJECTS)
def test_ncsnr_is_nsds_of_the_written_betas_and_nan_outside_the_brain(release, layout, subject):
    volume = read_volume(layout.ncsnr(subject)).data
    assert volume.dtype == np.float32
    assert np.isnan(volume[read_volume(layout.brainmask(subject)).data == 0]).all()
    betas, _ = prepared(layout, release, subject)
    position = trial_table(release.design, subject, release.plan.sessions[subject])["position"].to_numpy()
    of_planted = volume.flat[release.planted[subject]["voxel_index"]]
    np.testing.assert_allclose(of_planted, ncsnr(betas, position), rtol=1e-4)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_perfect_model_reaches_the_planted_ceiling(release, layout, subject):
    planted = release.planted[subject]
    betas, valid = prepared(layout, release, subject)
    position = trial_table(release.design, subject, release.plan.sessions[subject])["position"].to_numpy()
    whole = valid.all(0)
    betas, signal = betas[:, whole], planted["responses"][position][:, whole]
    ceiling = planted["ceiling"][whole]
    r = [np.corrcoef(betas[:, v], signal[:, v])[0, 1] for v in range(len(ceiling))]
    # a ratio has a standard error of 0.1 in 80 trials; voxels share maps, so the median has little less
    assert np.median(r / np.sqrt(ceiling / 100)) == pytest.approx(1, abs=0.1)


def test_the_noise_of_the_planted_voxels_has_the_planted_covariance(plan):
    plan = dataclasses.replace(plan, noise_correlation=0.7)
    subject = simulate(plan).subjects["subj01"]
    voxels = VoxelModel.draw(subject.anatomy, subject.planted, plan.random("voxels", 1))
    np.testing.assert_array_equal(voxels.voxel_index, flat_index(subject.anatomy.brainmask))
    np.testing.assert_array_equal(voxels.voxel_index[voxels.planted], subject.planted["voxel_index"])
    position = np.arange(4000) % len(subject.planted["responses"])
    percent = voxels.measure(position, plan.random("trials", 1, 1))[:, voxels.planted] / 300
    signal = subject.planted["responses"][position]
    slope = (signal * percent).mean(0) / (signal**2).mean(0)  # size, and the session's drift of it
    noise = np.cov((percent / slope - signal).T)
    np.testing.assert_allclose(noise, subject.planted["noise_covariance"], atol=0.35)
    pairs = np.triu_indices(len(noise), 1)
    assert np.corrcoef(noise[pairs], subject.planted["noise_covariance"][pairs])[0, 1] > 0.98


def test_betas_outside_the_areas_are_there_and_weak(release, layout):
    general = read_volume(layout.roi("subj01", "nsdgeneral")).data == 1
    areas = read_volume(layout.roi("subj01", "prf-visualrois")).data > 0
    snr = read_volume(layout.ncsnr("subj01")).data
    assert np.isfinite(snr[general & ~areas]).all()
    assert snr[general & ~areas].mean() < 0.6 * np.nanmean(snr[areas])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"own_images": 31},
            r"got 3 sessions of 40 trials = 120 and 3 x \(10 \+ 31\) images = 123\. Correct",
        ),
        ({"sessions": {}}, "expected sessions of one subject or more, got none"),
        ({"sessions": {"subj01": 4, "subj02": 2}}, "expected 1 to 3 sessions of subj01, as planned, got 4"),
        ({"sessions": {"subj01": 3}}, "expected a volume shape for each subject, got sessions of subj01 and"),
        (
            {"ceiling": (60.0, 20.0)},
            r"ceilings in ascending order between 0 and 100 percent, got \[60.0, 20.0\]",
        ),
        ({"noise_correlation": 1.5}, "expected a noise_correlation from 0 to 1, got 1.5"),
        ({"voxels_per_label": (5, 4)}, r"voxels_per_label of at least 1, fewest first, got \[5, 4\]"),
        ({"missing_voxels": 5}, "expected 0 to 4 missing_voxels, no more than a label has, got 5"),
        ({"shared_images": 0, "own_images": 40}, "expected shared and own images, got 0 and 40"),
        ({"organisation": "anarchic"}, "one of parallel, hierarchical, even as organisation, got 'anarchic'"),
    ],
)
def test_a_plan_that_contradicts_itself_is_refused(plan, change, message):
    with pytest.raises(ParameterError, match=message):
        dataclasses.replace(plan, **change)
