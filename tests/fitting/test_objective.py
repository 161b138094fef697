"""The weighted loss by its equation; its weights have no gradient and are never NaN."""

import pytest
import torch

from gnet.fitting.objective import voxel_loss, voxel_weights


def batch(trials=20, voxels=6, dtype=torch.float64):
    random = torch.Generator().manual_seed(0)
    target = torch.randn(trials, voxels, generator=random, dtype=dtype)
    noise = torch.randn(trials, voxels, generator=random, dtype=dtype)
    return target + noise * torch.arange(voxels, dtype=dtype), target


def test_weights_are_squared_correlations_within_their_bounds():
    prediction, target = batch()
    expected = torch.stack(
        [torch.corrcoef(torch.stack(pair))[0, 1] ** 2 for pair in zip(prediction.T, target.T, strict=True)]
    )
    assert expected.min() < 0.1
    found = voxel_weights(prediction, target, floor=0.1)
    torch.testing.assert_close(found, expected.clamp(0.1, 1), rtol=1e-5, atol=0)
    assert voxel_weights(prediction, target, floor=0.5).min() == 0.5


def test_a_negative_correlation_weighs_as_much():
    prediction, target = batch()
    torch.testing.assert_close(
        voxel_weights(-prediction, target, floor=0.0), voxel_weights(prediction, target, floor=0.0)
    )


def test_loss_is_the_papers_equation():
    """Equation 5: sum_v c_v SSE_v / mean(c)."""
    prediction, target = batch()
    weights = voxel_weights(prediction, target, floor=0.1)
    squares = (prediction - target).square().sum(0)
    loss, error = voxel_loss(prediction, target, floor=0.1)
    torch.testing.assert_close(error, squares)
    torch.testing.assert_close(loss, sum(weights * squares) / weights.mean())


def test_no_gradient_flows_through_the_weights():
    prediction, target = batch()
    prediction.requires_grad_()
    weights = voxel_weights(prediction, target, floor=0.1)
    assert not weights.requires_grad
    voxel_loss(prediction, target)[0].backward()
    expected = 2 * (prediction.detach() - target) * weights / weights.mean()
    torch.testing.assert_close(prediction.grad, expected)


@pytest.mark.parametrize("side", ["prediction", "target", "both"])
def test_constant_voxels_count_as_uncorrelated(side):
    prediction, target = batch(dtype=torch.float32)
    if side in ("prediction", "both"):
        prediction[:, 0] = 0.3
    if side in ("target", "both"):
        target[:, 0] = -0.7
    prediction.requires_grad_()
    assert voxel_weights(prediction, target, floor=0.1)[0] == 0.1
    loss, error = voxel_loss(prediction, target)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(error).all()
    assert torch.isfinite(prediction.grad).all()


def test_predictions_that_hardly_vary_count_as_uncorrelated():
    """As at the start of a fit, where all are within a hundredth of each other: the published 1e-6."""
    _, target = batch()
    assert voxel_weights(target * 1e-4, target, floor=0.1).max() == 0.1
    assert voxel_weights(target, target, floor=0.1).min() > 0.9999
