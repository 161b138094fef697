"""The training procedure: it learns, it repeats itself, and it changes what it should and nothing else."""

import re

import numpy as np
import pytest
import torch

from gnet.errors import DeviceError, GNetError, ParameterError
from gnet.evaluation.accuracy import voxel_correlation
from gnet.evaluation.prediction import PrefilteredImages, predict
from gnet.fitting import loop as loop_module
from gnet.fitting.batches import Trials
from gnet.fitting.loop import FitError, fit_network, holdout_correlation, seeded
from gnet.fitting.objective import voxel_loss
from gnet.fitting.stepper import Procedure, Stepper
from gnet.models.checkpoints import Voxels

UPDATES = ("alternating", "simultaneous")
TRUNKS = ("trained", "drifting", "frozen")


def state_of(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def moved(before, network):
    """Names of the tensors that are no longer bitwise the same."""
    return {name for name, tensor in network.state_dict().items() if not torch.equal(tensor, before[name])}


# Learning


@pytest.mark.parametrize(
    ("subjects", "readout", "update"),
    [
        (["subj01"], "layerwise", "alternating"),
        (["subj01"], "layerwise", "simultaneous"),
        (["subj01"], "single_field", "alternating"),
        (["subj01", "subj02"], "layerwise", "alternating"),
        (["subj01", "subj02"], "single_field", "simultaneous"),
    ],
)
def test_planted_responses_are_learned(problem, subjects, readout, update):
    network = problem.network(subjects, readout=readout)
    history = problem.fit(network, update=update, epochs=8 // len(subjects))
    assert history["holdout_median_r"].max() > 0.8
    assert history["loss"].iloc[-1] < history["loss"].iloc[0] / 2
    assert history["training_error"].iloc[-1] < 0.5
    for subject in subjects:  # each of them, and the network as it was left
        assert np.median(score(problem, network, subject)) > 0.75


def score(problem, network, subject):
    trials = problem.holdout[subject]
    images = PrefilteredImages(network, problem.images, trials.image_row)
    return holdout_correlation(network, subject, images, trials)


@pytest.mark.parametrize("trunk", ["drifting", "frozen"])
def test_readouts_alone_learn_on_the_planted_trunk(problem, trunk):
    network = problem.network(["subj01"], planted_trunk=True)
    assert problem.fit(network, trunk=trunk, epochs=6)["holdout_median_r"].max() > 0.8


def test_dropout_does_not_keep_it_from_learning(problem):
    network = problem.network(["subj01"], dropout=0.2)
    assert problem.fit(network, epochs=6)["holdout_median_r"].max() > 0.6


def test_sparsity_shrinks_feature_weights(few):
    sizes = []
    for l1 in (0.0, 10.0):
        network = few.network(["subj01"])
        few.fit(network, l1=l1, epochs=3)
        sizes.append(network.readouts["subj01"].weight.abs().mean().item())
    assert sizes[1] < 0.8 * sizes[0]


# What changes and what does not


@pytest.mark.parametrize("update", UPDATES)
def test_a_frozen_trunk_is_bitwise_unchanged(few, update):
    network = few.network(dropout=0.5)
    before = state_of(network)
    few.fit(network, trunk="frozen", update=update, epochs=2)
    assert moved(before, network) == {name for name in before if name.startswith("readouts.")}


@pytest.mark.parametrize("update", UPDATES)
def test_a_drifting_trunk_moves_only_its_running_statistics(few, update):
    network = few.network(dropout=0.5)
    before = state_of(network)
    few.fit(network, trunk="drifting", update=update, epochs=2)
    in_trunk = {name for name in moved(before, network) if not name.startswith("readouts.")}
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    assert in_trunk == {name for name in before if name.endswith(statistics)}


def test_dropout_acts_on_a_drifting_trunk_and_not_on_a_frozen_one(few):
    """Two passes over the same batch in the modes of a fit: with dropout they differ."""
    same = {}
    for trunk in TRUNKS:
        with_dropout, without = (few.network(["subj01"], dropout=share) for share in (0.5, 0.0))
        errors = [few.fit(network, trunk=trunk)["training_error"][0] for network in (with_dropout, without)]
        same[trunk] = errors[0] == errors[1]
    assert same == {"trained": False, "drifting": False, "frozen": True}


@pytest.mark.parametrize("update", UPDATES)
def test_a_trained_trunk_moves_whole_and_the_prefilter_stays(few, update):
    network = few.network()
    before = state_of(network)
    few.fit(network, update=update)
    stayed = before.keys() - moved(before, network)
    assert stayed == {name for name in before if name.startswith(("prefilter.", "input_mean"))}


@pytest.mark.parametrize("seen", [False, True])
@pytest.mark.parametrize("update", UPDATES)
def test_a_trainable_prefilter_moves(few, update, seen):
    network = few.network(trainable_prefilter=True, prefilter_readout=seen)
    before = state_of(network)
    few.fit(network, update=update)
    assert moved(before, network) == before.keys() - {"input_mean"}


@pytest.mark.parametrize("update", UPDATES)
def test_a_batch_of_one_subject_leaves_the_others_readout(few, update):
    network = few.network()
    stepper = Stepper(network, Procedure(update=update))
    trials = few.training["subj01"]
    prefiltered = PrefilteredImages(network, few.images, trials.image_row)(trials.image_row)
    target = torch.from_numpy(trials.response)
    network.train()
    stepper.step("subj02", prefiltered[:9], target[:9, :3])  # so that Adam has momentum to carry on with
    before = state_of(network)
    stepper.step("subj01", prefiltered, target)
    changed = moved(before, network)
    assert not any(name.startswith("readouts.subj02.") for name in changed)
    assert {name for name in before if name.startswith("readouts.subj01.")} <= changed
    assert "trunk.conv3.conv.weight" in changed


@pytest.mark.parametrize("update", UPDATES)
def test_no_gradient_is_left_over_from_the_batch_before(few, update):
    """With rates of nought the same batch gives the same gradients twice."""
    network = few.network(["subj01"])
    stepper = Stepper(network, Procedure(update=update, trunk_learning_rate=0.0, readout_learning_rate=0.0))
    trials = few.training["subj01"]
    prefiltered = PrefilteredImages(network, few.images, trials.image_row)(trials.image_row)
    gradients = []
    network.train()
    for _ in range(2):
        stepper.step("subj01", prefiltered, torch.from_numpy(trials.response))
        gradients.append([p.grad.clone() for p in network.parameters() if p.requires_grad])
    for first, second in zip(*gradients, strict=True):
        torch.testing.assert_close(first, second)


def test_an_alternating_step_passes_twice_and_a_simultaneous_one_once(few):
    """The running statistics of the trunk count the passes (facts of the published code)."""
    passes = {}
    for update in UPDATES:
        network = few.network(["subj01"])
        few.fit(network, update=update, batch_size=20)
        passes[update] = network.trunk.conv3.norm.num_batches_tracked.item()
    assert passes == {"alternating": 4, "simultaneous": 2}


def test_the_readout_of_an_alternating_step_meets_the_new_trunk(few):
    """Its loss is that after the trunk's step; a simultaneous step reports the loss before both."""
    trials = few.training["subj01"]
    errors = {}
    for update in UPDATES:
        network = few.network(["subj01"])
        torch.nn.init.normal_(network.readouts["subj01"].weight, generator=torch.Generator().manual_seed(0))
        stepper = Stepper(network, Procedure(update=update, trunk_learning_rate=1e-3))
        images = PrefilteredImages(network, few.images, trials.image_row)(trials.image_row)
        errors[update] = stepper.step("subj01", images, torch.from_numpy(trials.response))[1].sum().item()
    assert errors["alternating"] < 0.99 * errors["simultaneous"]


@pytest.mark.parametrize(("trunk_learning_rate", "readout_learning_rate"), [(0.0, 1e-3), (1e-3, 0.0)])
@pytest.mark.parametrize("update", UPDATES)
def test_rates_are_of_their_parts(few, update, trunk_learning_rate, readout_learning_rate):
    network = few.network(["subj01"])
    before = dict(network.named_parameters())
    before = {name: parameter.detach().clone() for name, parameter in before.items()}
    few.fit(
        network,
        update=update,
        trunk_learning_rate=trunk_learning_rate,
        readout_learning_rate=readout_learning_rate,
    )
    parts = {name.split(".")[0] for name, p in network.named_parameters() if not torch.equal(p, before[name])}
    assert parts == ({"trunk"} if trunk_learning_rate else {"readouts"})


def test_the_network_is_left_in_the_best_epochs_state(few, monkeypatch):
    """With scores that are highest in the second of three epochs."""
    states, scores = [], iter([0.2, 0.6, 0.6])

    def scored(network, subject, images, trials):
        states.append(state_of(network))
        return np.full(trials.response.shape[1], next(scores))

    monkeypatch.setattr(loop_module, "holdout_correlation", scored)
    network = few.network(["subj01"])
    history = few.fit(network, epochs=3)
    assert moved(states[1], network) == set()
    assert moved(states[0], network) != set()
    assert moved(states[2], network) != set()
    assert not any(part.training for part in network.modules())
    assert history["best"].tolist() == [False, True, False]
    assert history["holdout_median_r"].tolist() == [0.2, 0.6, 0.6]
    assert history["epoch"].tolist() == [1, 2, 3]


def test_the_best_epochs_score_is_that_of_the_network_returned(few):
    network = few.network()
    history = few.fit(network, epochs=3)
    scores = np.concatenate([score(few, network, subject) for subject in network.voxels])
    assert np.median(scores) == pytest.approx(
        history.loc[history["best"], "holdout_median_r"].item(), abs=1e-5
    )


def test_voxels_without_a_holdout_correlation_are_counted_and_left_out(few):
    """A voxel whose holdout responses are all the same has none."""
    holdout = {s: Trials(t.image_row, t.response.copy()) for s, t in few.holdout.items()}
    holdout["subj01"].response[:, 1] = 0.5
    network = few.network()
    procedure = Procedure(epochs=1, batch_size=20)
    history = fit_network(network, few.training, holdout, few.images, procedure=procedure, seed=0)
    assert history["holdout_without_r"].tolist() == [1]
    expected = [score(few, network, subject) for subject in network.voxels]
    expected = np.concatenate([np.delete(expected[0], 1), expected[1]])
    assert history["holdout_median_r"][0] == pytest.approx(np.median(expected), abs=1e-5)


def test_a_repeated_holdout_image_is_predicted_once(few, monkeypatch):
    network = few.network(["subj01"])
    rows = np.array([5, 3, 5, 9, 3, 3])
    response = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    images = PrefilteredImages(network, few.images, rows)
    expected = voxel_correlation(response, predict(network, "subj01", images, rows))
    asked = []

    def watched(network, subject, images, rows):
        asked.extend(rows.tolist())
        return predict(network, subject, images, rows)

    monkeypatch.setattr(loop_module, "predict", watched)
    found = holdout_correlation(network, "subj01", images, Trials(rows, response))
    assert sorted(asked) == [3, 5, 9]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_history_is_per_trial_and_per_response(few):
    """With nothing learned and no dropout, the numbers follow from one pass over the evaluated network."""
    network = few.network(["subj01"])
    rates = {"trunk_learning_rate": 0.0, "readout_learning_rate": 0.0, "l1": 2.0}
    trials = few.training["subj01"]
    images = PrefilteredImages(network, few.images, trials.image_row)
    predicted = predict(network, "subj01", images, trials.image_row)
    slices = [
        voxel_loss(torch.from_numpy(predicted[half]), torch.from_numpy(trials.response[half]))
        for half in (slice(0, 20), slice(20, 40))
    ]
    penalty = 2.0 * network.readouts["subj01"].weight.abs().sum().item()
    history = few.fit(network, trunk="frozen", batch_size=20, **rates)
    assert history["training_error"][0] == pytest.approx(
        np.square(predicted - trials.response).mean(), rel=1e-5
    )
    loss = sum(loss.item() + penalty for loss, _ in slices)
    assert history["loss"][0] == pytest.approx(loss / 40, rel=1e-5)
    assert history["seconds"][0] > 0


# Random numbers


@pytest.mark.parametrize("batches", ["fixed_slices", "reshuffled"])
def test_same_seed_same_bits(few, batches):
    networks = [few.network(dropout=0.3) for _ in range(3)]
    histories = [
        few.fit(network, seed=seed, batches=batches, epochs=2).drop(columns="seconds")
        for network, seed in zip(networks, (3, 3, 4), strict=True)
    ]
    state = state_of(networks[0])
    assert moved(state, networks[1]) == set()
    assert histories[0].equals(histories[1])
    assert "trunk.conv3.conv.weight" in moved(state, networks[2])
    assert not histories[0].equals(histories[2])


def test_the_seed_decides_dropout_and_not_only_the_order(few):
    """One batch an epoch: the order cannot differ."""
    errors = [
        few.fit(few.network(["subj01"], dropout=0.3), seed=seed, batch_size=40)["training_error"][0]
        for seed in (3, 4)
    ]
    assert errors[0] != errors[1]


def test_what_was_drawn_before_does_not_matter_and_what_is_drawn_after_is_untouched(few):
    states = []
    for drawn in (1, 100):
        torch.manual_seed(0)
        np.random.seed(0)  # noqa: NPY002 the global state is what is tested
        torch.rand(drawn)
        before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
        network = few.network(["subj01"], dropout=0.3)
        few.fit(network)
        assert torch.equal(torch.get_rng_state(), before[0])
        np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
        states.append(state_of(network))
    assert moved(states[0], network) == set()


def test_random_state_is_restored_after_an_error():
    before = torch.get_rng_state()
    with pytest.raises(ParameterError), seeded(0):
        Procedure(update=str(torch.rand(1)))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("update", "trunk"), [("alternating", "trained"), ("simultaneous", "trained"), ("alternating", "frozen")]
)
def test_the_cache_changes_nothing(few, update, trunk):
    networks = [few.network() for _ in range(2)]
    histories = [
        few.fit(
            network,
            cache_bytes=size,
            update=update,
            trunk=trunk,
            trunk_learning_rate=1e-4,
            readout_learning_rate=1e-3,
        )
        for network, size in zip(networks, (0, 2**30), strict=True)
    ]
    for column in ("loss", "training_error", "holdout_median_r"):
        np.testing.assert_allclose(histories[0][column], histories[1][column], rtol=1e-3)
    for subject, trials in few.holdout.items():
        computed, cached = (
            predict(n, subject, PrefilteredImages(n, few.images, trials.image_row), trials.image_row)
            for n in networks
        )
        np.testing.assert_allclose(cached, computed, atol=1e-3)


# What it refuses


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("update", "both", "update: expected alternating or simultaneous, got 'both'"),
        ("batches", "random", "batches: expected fixed_slices or reshuffled, got 'random'"),
        ("trunk", "melted", "trunk: expected trained or drifting or frozen, got 'melted'"),
        ("precision", "half", "precision: expected auto or float32 or tf32 or bfloat16, got 'half'"),
    ],
)
def test_unknown_words_of_the_protocol(name, value, expected):
    with pytest.raises(ParameterError, match=expected):
        Procedure(**{name: value})


def test_unknown_subject(few):
    with pytest.raises(ParameterError, match="subj01: this model has readouts for subj02"):
        fit_network(
            few.network(["subj02"]),
            few.training,
            few.holdout,
            few.images,
            procedure=Procedure(epochs=1),
            seed=0,
        )


@pytest.mark.parametrize("rates", [{"trunk_learning_rate": 1e30}, {"readout_learning_rate": 1e30}])
def test_a_loss_that_is_no_number(few, rates):
    expected = r"fit: expected a finite loss, got (inf|nan) for subj01, in .*, in batch \d of \d of epoch 1\."
    with pytest.raises(FitError, match=expected) as caught:
        few.fit(few.network(["subj01"]), batch_size=20, **rates)
    assert "Lower trunk_learning_rate (" in str(caught.value)
    assert "or readout_learning_rate (" in str(caught.value)
    assert "1e+30" in str(caught.value)
    assert isinstance(caught.value, GNetError)


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("update", UPDATES)
def test_a_loss_that_is_no_number_names_batch_subject_and_voxels(few, named, update):
    """One response, in the second subject's second voxel, is too large to be squared."""
    training = dict(few.training)
    response = training["subj02"].response.copy()
    response[31, 1] = 1e30
    training["subj02"] = Trials(
        training["subj02"].image_row,
        response,
        voxels=Voxels(np.array([7, 1999, 2023])) if named else None,
    )
    with pytest.raises(FitError) as caught:
        fit_network(
            few.network(),
            training,
            few.holdout,
            few.images,
            procedure=Procedure(update=update, epochs=1, batch_size=20),
            seed=0,
        )
    name = 1999 if named else 1
    expected = rf"got (inf|nan) for subj02, in 1 of 3 voxels \({name}\), in batch [1-4] of 4 of epoch 1"
    assert re.search(expected, str(caught.value))
    assert "check the responses of these voxels" in str(caught.value)


def test_what_was_reached_before_the_loss_was_no_number_is_kept(few, monkeypatch, tmp_path):
    """In the third epoch something breaks; the state of the second is named, and goes on from there."""
    state, steps = tmp_path / "state.pt", []
    step = Stepper.step

    def breaking(self, *arguments):
        loss, error = step(self, *arguments)
        steps.append(loss)
        return (loss * float("nan"), error) if len(steps) == 9 else (loss, error)

    monkeypatch.setattr(Stepper, "step", breaking)
    with pytest.raises(
        FitError, match=r"the feature weights, in batch 1 of 4 of epoch 3.* after epoch 2 is in"
    ):
        few.fit(few.network(), epochs=4, state=state)
    history = few.fit(few.network(), epochs=4, state=state)
    assert len(steps) == 12 + 8
    assert len(history) == 4


def test_too_little_memory_on_the_device(few, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")

    monkeypatch.setattr(Stepper, "step", full)
    with pytest.raises(DeviceError) as caught:
        few.fit(few.network(), batch_size=64, cache_bytes=2 * 10**9)
    message = str(caught.value)
    assert message.startswith(
        "cpu: expected memory for batches of 64 trials and 2 GB of images, found too little"
    )
    assert "(CUDA out of memory. Tried to allocate 2.00 GiB.)" in message
    assert "Set fitting.cache_gigabytes to 1, which changes no result" in message
    assert "fitting.batch_size to 32" in message


def test_predictions_that_are_all_constant(few):
    network = few.network(["subj01"])
    torch.nn.init.zeros_(network.readouts["subj01"].weight)
    with pytest.raises(FitError, match="no voxel has a holdout correlation in epoch 1") as caught:
        few.fit(network, readout_learning_rate=0.0)
    assert "every prediction or every response is constant" in str(caught.value)


def test_holdout_responses_that_are_all_constant(few):
    holdout = {s: Trials(t.image_row, np.ones_like(t.response)) for s, t in few.holdout.items()}
    with pytest.raises(FitError, match="no voxel has a holdout correlation in epoch 1"):
        fit_network(few.network(), few.training, holdout, few.images, procedure=Procedure(epochs=1), seed=0)


def test_images_of_another_size(few):
    with pytest.raises(ParameterError, match=r"images: expected \(n, 3, 47, 47\), got \(1, 3, 40, 47\)"):
        few.fit(few.network(), images=few.images[:, :, :40])


# CUDA


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("readout", ["layerwise", "single_field"])
def test_an_epoch_on_cuda_is_one_on_the_cpu(few, monkeypatch, update, readout):
    """Without dropout, whose random numbers are each device's own, and with steps that forgive rounding."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    rates = {"trunk_learning_rate": 1e-4, "readout_learning_rate": 1e-3}
    predicted, histories = {}, {}
    for device in ("cpu", "cuda"):
        network = few.network(readout=readout, device=device)
        histories[device] = few.fit(network, update=update, **rates)
        for subject, trials in few.holdout.items():
            images = PrefilteredImages(network, few.images, trials.image_row)
            predicted[device, subject] = predict(network, subject, images, trials.image_row)
    for column in ("loss", "training_error", "holdout_median_r"):
        np.testing.assert_allclose(histories["cuda"][column], histories["cpu"][column], rtol=1e-3)
    for subject in few.holdout:
        np.testing.assert_allclose(predicted["cuda", subject], predicted["cpu", subject], atol=1e-3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_fit_on_cuda_leaves_the_random_state_and_the_device(few):
    before = torch.cuda.get_rng_state()
    network = few.network(dropout=0.3, device="cuda")
    few.fit(network)
    assert torch.equal(torch.cuda.get_rng_state(), before)
    assert all(tensor.is_cuda for tensor in network.state_dict().values())


# Precision


@pytest.mark.parametrize("trunk", ["trained", "frozen"])
def test_bfloat16_learns_what_float32_learns(problem, trunk):
    scores = {}
    for name in ("float32", "bfloat16"):
        network = problem.network(["subj01"], planted_trunk=trunk == "frozen")
        scores[name] = problem.fit(network, trunk=trunk, precision=name, epochs=4)["holdout_median_r"].max()
        assert all(tensor.dtype != torch.bfloat16 for tensor in network.state_dict().values())
    assert scores["float32"] > 0.6
    assert scores["bfloat16"] == pytest.approx(scores["float32"], abs=0.05)
    assert scores["bfloat16"] != scores["float32"]


def test_tf32_is_float32_on_a_cpu(few):
    losses = [few.fit(few.network(), precision=name)["loss"].tolist() for name in ("float32", "tf32")]
    assert losses[0] == losses[1]
