"""Values go back to the voxels they come from, and nowhere else."""

import numpy as np
import pandas as pd

from gnet.analysis.brain_maps import brain_map, mapped_values


def test_a_value_is_where_its_voxel_is():
    shape, index = (3, 4, 5), np.array([7, 59, 22])
    volume = brain_map(np.array([0.1, 0.2, 0.3]), index, shape)
    np.testing.assert_array_equal(volume[np.unravel_index(index, shape)], np.float32([0.1, 0.2, 0.3]))
    assert np.isnan(volume).sum() == volume.size - 3


def tables():
    identity = pd.DataFrame({"subject": "subj01", "voxel_index": [4, 9, 2]})
    accuracy = identity.assign(
        r=[0.5, 0.01, np.nan], variance_explained=[25.0, 0.01, np.nan], ceiling=50.0, fev=[50.0, 0.02, np.nan]
    )
    fields = identity.assign(
        x=1.0, y=-2.0, eccentricity=2.2, size=[3.0, 4.0, 5.0], determined=[True, False, True]
    )
    parts = [("layerwise", "conv3"), ("layerwise", "conv4a"), ("bipartite", "lower"), ("bipartite", "upper")]
    tuning = pd.concat(
        [
            identity.assign(
                partition=partition, part=part, total=[0.5, 0.01, np.nan], unique=[unique, 900.0, np.nan]
            )
            for (partition, part), unique in zip(parts, (10.0, 30.0, 60.0, 5.0), strict=True)
        ]
    )
    return accuracy, fields, tuning


def test_what_is_mapped():
    values = mapped_values(*tables()).set_index("voxel_index")
    assert values.loc[4, ["r", "lower_unique_share", "argmax_layer", "size"]].tolist() == [
        0.5,
        60.0,
        2.0,
        3.0,
    ]


def test_what_means_nothing_is_nan():
    values = mapped_values(*tables()).set_index("voxel_index")
    assert values.loc[9, ["x", "y", "eccentricity", "size"]].isna().all()  # its ellipse is not determined
    assert values.loc[9, ["lower_unique_share", "argmax_layer"]].isna().all()  # a share of nothing
    assert values.loc[9, "r"] == 0.01
    assert values.loc[2, ["r", "fev", "lower_unique_share", "argmax_layer"]].isna().all()


def test_a_voxel_in_two_areas_has_one_value():
    accuracy, fields, tuning = tables()
    twice = pd.concat([accuracy, accuracy.assign(r=0.9)])
    more = pd.concat([tuning, tuning.assign(unique=99.0)])
    values = mapped_values(twice, fields, more)
    pd.testing.assert_frame_equal(values, mapped_values(accuracy, fields, tuning))
