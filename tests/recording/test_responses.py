import numpy as np

from gnet.recording.responses import zscore_session


def test_zscores_have_no_mean_and_unit_population_sd():
    values = np.random.default_rng(0).normal(50, 3, (400, 5)).astype(np.float32)
    zscored = zscore_session(values)
    assert zscored.dtype == np.float32
    np.testing.assert_allclose(zscored.mean(axis=0, dtype=float), 0, atol=1e-5)
    np.testing.assert_allclose(zscored.std(axis=0, dtype=float), 1, rtol=1e-5)
