"""The readout: its parts sum to the prediction, voxels are alone, and its gradients are right."""

import numpy as np
import pytest
import torch

import gnet.models.readout as readout_module
from gnet.models.readout import Readout, compress, image_groups, overlap, resample_mass, voxel_blocks

FORMS = ("layerwise", "single_field")


def random_readout(voxels, grids, features, form, seed=0):
    """Fields and weights far from where they start, so that a wrong one shows."""
    random = torch.Generator().manual_seed(seed)
    readout = Readout(voxels, grids, features, single_field=form == "single_field")
    with torch.no_grad():
        for parameter in readout.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=random))
    return readout


def random_maps(images, grids, features, seed=1, dtype=torch.float32):
    random = torch.Generator().manual_seed(seed)
    return [
        2 * torch.randn(images, maps, side, side, generator=random, dtype=dtype)
        for side, maps in zip(grids, features, strict=True)
    ]


@pytest.mark.parametrize("form", FORMS)
@torch.no_grad()
def test_contributions_and_bias_are_the_prediction(form):
    grids, features = (5, 3), (4, 6)
    readout, maps = random_readout(7, grids, features, form), random_maps(3, grids, features)
    of_fine = np.arange(10) < 4
    fine, coarse = readout.partition_contributions(maps, [of_fine, ~of_fine])
    torch.testing.assert_close(fine + coarse + readout.bias, readout(maps))
    # each resolution alone, with the other's weights at nought
    for part, weights in ((coarse, slice(0, 4)), (fine, slice(4, 10))):
        kept = readout.weight.clone()
        readout.weight[:, weights] = 0
        torch.testing.assert_close(readout(maps), part + readout.bias)
        readout.weight.copy_(kept)


@pytest.mark.parametrize("form", FORMS)
@torch.no_grad()
def test_prediction_is_the_papers_equation(form):
    """r_v = b_v + sum_k w_vk f(sum_yx g_v f(map_k)), written out once without blocks."""
    grids, features = (5, 3), (4, 6)
    readout, maps = random_readout(7, grids, features, form), random_maps(3, grids, features)
    phi = [
        torch.einsum("ikyx,vyx->ivk", torch.tanh(grid) * torch.log(1 + grid.abs()), field)
        for grid, field in zip(maps, readout.pooling_fields(), strict=True)
    ]
    phi = torch.cat(phi, dim=2)
    expected = readout.bias + torch.einsum("ivk,vk->iv", phi.tanh() * (1 + phi.abs()).log(), readout.weight)
    torch.testing.assert_close(readout(maps), expected)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("grids", [(25, 13), (6, 3), (7, 4), (3, 2), (1, 1)])
def test_pooling_fields_are_positive_and_sum_to_one(form, grids):
    fields = random_readout(5, grids, (2, 2), form).pooling_fields()
    assert [field.shape for field in fields] == [(5, side, side) for side in grids]
    for field in fields:
        assert (field > 0).all()
        torch.testing.assert_close(field.sum((1, 2)), torch.ones(5))


@pytest.mark.parametrize("form", FORMS)
def test_pooling_fields_start_uniform(form):
    for field in Readout(2, (25, 13), (2, 2), single_field=form == "single_field").pooling_fields():
        torch.testing.assert_close(field, torch.full_like(field, 1 / field[0].numel()))


def test_a_resampled_field_stays_where_it_was():
    """A point of mass at one corner of a 25-grid lies in the corner of the 13-grid, and not mirrored."""
    field = torch.zeros(1, 25, 25)
    field[0, 0, 24] = 1
    assert resample_mass(field, 13)[0, 0, 12] == 1
    # old parts 0, 1, 2 of a third each on two halves: the middle one is shared equally
    np.testing.assert_allclose(overlap(3, 2), [[1, 0.5, 0], [0, 0.5, 1]], atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_no_voxel_moves_another(form):
    grids, features = (5, 3), (4, 6)
    readout, maps = random_readout(4, grids, features, form), random_maps(3, grids, features)
    before = readout(maps)
    before[:, 2].square().sum().backward()
    others = [0, 1, 3]
    for parameter in readout.parameters():
        assert (parameter.grad[others] == 0).all()
        assert (parameter.grad[2] != 0).any()
    with torch.no_grad():
        for parameter in readout.parameters():
            parameter[2] += torch.randn(parameter[2].shape, generator=torch.Generator().manual_seed(3))
    after = readout(maps)
    assert torch.equal(after[:, others], before[:, others])
    assert not torch.isclose(after[:, 2], before[:, 2]).any()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("voxels", "elements"), [(1, 1), (3, 3 * 4 * 2), (7, 2**16)])
@torch.no_grad()
def test_block_size_changes_nothing(monkeypatch, form, voxels, elements):
    """Blocks of 1, 3 and 7 voxels, groups of 1, 2 and all images, which divide 7 and 3 or do not."""
    grids, features, images = (5, 3), (4, 4), 3
    readout, maps = random_readout(7, grids, features, form), random_maps(images, grids, features)
    whole = readout(maps)
    monkeypatch.setitem(readout_module.BLOCK_VOXELS, "cpu", voxels)
    monkeypatch.setitem(readout_module.GROUP_ELEMENTS, "cpu", elements)
    assert len(voxel_blocks(7, torch.device("cpu"))) == {1: 7, 3: 3, 7: 1}[voxels]
    assert len(image_groups(maps[0])) == {1: 3, 3: 2, 7: 1}[voxels]
    torch.testing.assert_close(readout(maps), whole)


def test_groups_hold_the_images_one_after_the_other():
    [maps] = random_maps(3, (2,), (4,))
    [group] = image_groups(maps)
    torch.testing.assert_close(group.view(4, 3, 4), maps.flatten(2).permute(2, 0, 1))


def test_the_nonlinearity_is_odd():
    x = torch.linspace(-5, 5, 101, dtype=torch.float64)
    torch.testing.assert_close(compress(-x), -compress(x))


@pytest.mark.parametrize("form", FORMS)
def test_gradient_of_the_readout(form):
    grids, features = (3, 2), (2, 3)
    readout = random_readout(2, grids, features, form).double()
    names = [name for name, _ in readout.named_parameters()]
    maps = [grid.requires_grad_() for grid in random_maps(2, grids, features, dtype=torch.float64)]

    def predict(fine, coarse, *parameters):
        return torch.func.functional_call(
            readout, dict(zip(names, parameters, strict=True)), ([fine, coarse],)
        )

    assert torch.autograd.gradcheck(predict, (*maps, *readout.parameters()))


@pytest.mark.parametrize(("form", "count"), [("layerwise", 1307), ("single_field", 25**2 + 512 + 1)])
def test_parameters_of_a_voxel_at_full_size(form, count):
    readout = Readout(2, (25, 13), (256, 256), single_field=form == "single_field")
    assert sum(parameter.numel() for parameter in readout.parameters()) == 2 * count


def test_starting_weights_are_small_and_normal():
    torch.manual_seed(0)
    readout = Readout(500, (1, 1), (100, 100))
    for parameter in (readout.weight, readout.bias):
        assert parameter.std().item() == pytest.approx(0.01, rel=0.1)
        assert parameter.mean().abs() < 0.002
