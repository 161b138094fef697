"""Memory for the joint model of the whole Natural Scenes Dataset, measured without the data.

    python benchmarks/memory.py [--folder /tmp] [--protocol published] [--device auto] [--batches 2]

Inputs have NSD's sizes: eight subjects, their trials, 29,574 voxels of early visual areas, 73,000 images of
227 pixels. They are sparse files, which take 0.4 GB of disk: a few images and every 20th trial contain noise,
the rest are holes that read as zeros. The nodes of the pipelines run on them: fit, resume after an
interruption, score, predict, estimate the noise, generate synthetic responses with it. All arrays have full
size, but only a few batches are fitted, in two epochs, and all trials show the same few images, so that it
takes minutes. Each step reports its peak anonymous memory (pages of files do not count: the system reclaims
them when needed) and, on a GPU, the peak allocated by torch. The revised protocol averages the trials of each
image, so with few images its responses take less memory than those of all of NSD.

Then small fits, each in its own process, show how time and memory grow with voxels and with trials.
Needs Linux and 2 GB of disk in a temporary folder.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import torch
from anonymous_memory import Watch
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from rich.console import Console
from rich.table import Table

from gnet.fitting import loop
from gnet.fitting.batches import Batch, Trials
from gnet.fitting.stepper import Procedure
from gnet.io.models import ModelDataset
from gnet.io.subjects import SubjectsDataset
from gnet.models.device import resolve_device
from gnet.models.gnet import Architecture, GNet
from gnet.models.prefilter import prefilter_weights
from gnet.pipelines.fit_and_score.nodes import fit_gnet, score_gnet
from gnet.pipelines.prediction.nodes import fit_noise_model, predict_images
from gnet.pipelines.synthetic import make_responses
from gnet.readers.nsd.design import Design, image_table, trial_table
from gnet.recording.measurements import choose_voxels
from gnet.recording.responses import Responses
from gnet.recording.split import split_trials

ROOT = Path(__file__).resolve().parents[1]
AREAS = ("V1", "V2", "V3", "hV4")
VOXELS = dict(
    zip([f"subj{n:02d}" for n in range(1, 9)], [4657, 3757, 3749, 3023, 3661, 3985, 3251, 3491], strict=True)
)
"""Voxels of the early visual areas in the current files of NSD."""
TRIALS_PER_SESSION, POSITIONS, SHARED = 750, 10_000, 1000
NOISY = 20
"""One in this many trials contains noise, so that all voxels vary. Noise in all would take 3 GB of disk."""
GIB = 2**30


def nsd_design() -> Design:
    """A design with NSD's numbers of positions, shared images and repeats, in random order."""
    random = np.random.default_rng(0)
    own = SHARED + random.permutation((POSITIONS - SHARED) * len(VOXELS)).reshape(len(VOXELS), -1)
    shared = np.tile(np.arange(SHARED), (len(VOXELS), 1))
    return Design(
        ordering=random.permutation(np.repeat(np.arange(POSITIONS), 3)),
        images=np.concatenate([shared, own], axis=1),
        shared=np.arange(POSITIONS) < SHARED,
        trials_per_session=TRIALS_PER_SESSION,
    )


def write_images(path: Path, count: int, shown: np.ndarray, pixels: int) -> np.ndarray:
    """All images as holes in a file, except for those shown; memory-mapped as in the pipeline."""
    images = np.lib.format.open_memmap(path, "w+", np.uint8, (count, 3, pixels, pixels))
    random = np.random.default_rng(0)
    for row in shown:
        images[row] = random.integers(0, 256, images.shape[1:], np.uint8)
    images.flush()
    return np.load(path, mmap_mode="r")


def write_betas(path: Path, sessions: Mapping[str, int]) -> Mapping[str, Responses]:
    """Responses of all subjects as holes in a file, except for every 20th trial."""
    random = np.random.default_rng(0)
    with h5py.File(path, "w", track_order=True) as file:
        for subject, count in sessions.items():
            group = file.create_group(subject, track_order=True)
            shape = (count * TRIALS_PER_SESSION, VOXELS[subject])
            betas = group.create_dataset("betas", shape, np.float32)
            for trial in range(0, len(betas), NOISY):
                betas[trial] = random.standard_normal(shape[1], np.float32)
            group["valid"] = np.ones((count, shape[1]), bool)
            group["voxel_index"] = np.arange(shape[1])
    return stored(path, "recording.responses.Responses").load()


def stored(path: Path, content: str) -> SubjectsDataset:
    """A file with an object of a class of gnet for each subject."""
    return SubjectsDataset(filepath=path, load_args={"content": f"gnet.{content}"})


def tabulate_voxels() -> pd.DataFrame:
    """Voxel table with a quarter of each subject's voxels in each area."""
    tables = []
    for subject, count in VOXELS.items():
        area = np.array(AREAS)[np.arange(count) * len(AREAS) // count]
        table = pd.DataFrame(
            {"subject": subject, "voxel_index": np.arange(count), "area": area, "label": area}
        )
        tables.append(table.assign(ncsnr=0.5, **{f"in_{name}": area == name for name in AREAS}))
    return pd.concat(tables, ignore_index=True)


@contextmanager
def few_batches(count: int) -> Iterator[None]:
    """Context in which an epoch has `count` batches of the first subject and a short one of each other.

    The first subject has the most voxels, so its batches need as much memory as those of a whole epoch.
    """
    every = loop.epoch_batches

    def few(trials: Mapping[str, int], **options: Any) -> list[Batch]:
        batches = every(trials, **options)
        of_subject = {subject: [trial for owner, trial in batches if owner == subject] for subject in trials}
        (first, whole), *others = of_subject.items()
        short = [(subject, trial[0][: max(2, len(trial[0]) // 10)]) for subject, trial in others]
        return short + [(first, trial) for trial in whole[:count]]

    loop.epoch_batches = few
    try:
        yield
    finally:
        loop.epoch_batches = every


class Stages:
    """Runs steps and records the time and memory of each."""

    def __init__(self) -> None:
        self.table = Table(title="Joint model at NSD's size")
        for column in ("", "seconds", "own memory, GiB", "GPU, GiB"):
            self.table.add_column(column, justify="right" if column else "left")

    def run(self, name: str, function: Callable[[], Any]) -> Any:
        """Run a step and return its result."""
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        with Watch() as watch:
            result = function()
        gpu = f"{torch.cuda.max_memory_allocated() / GIB:.2f}" if torch.cuda.is_available() else "none"
        self.table.add_row(name, f"{watch.seconds:.0f}", f"{watch.peak / GIB:.2f}", gpu)
        Console().print(f"{name}: {watch.seconds:.0f} s, {watch.peak / GIB:.2f} GiB")
        return result


def measure_stages(folder: Path, arguments: argparse.Namespace) -> Table:
    """Fit, resume, score, predict, estimate the noise and generate responses, with the pipelines' nodes."""
    bootstrap_project(ROOT)
    changes = {"protocol": arguments.protocol, "device": arguments.device, "seed": 1}
    with KedroSession.create(ROOT, env="nsd", runtime_params=changes) as session:
        parameters = session.load_context().params
    sessions, pixels = parameters["release"].used, parameters["images"].pixels
    design, split = nsd_design(), parameters["split"]
    shown = np.linspace(0, SHARED + len(VOXELS) * (POSITIONS - SHARED) - 1, arguments.images).astype(int)
    trials = pd.concat(
        [
            split_trials(trial_table(design, subject, count), split.test, split.holdout_fraction, split.seed)
            for subject, count in sessions.items()
        ],
        ignore_index=True,
    )
    trials["image_row"] = shown[trials["position"] % len(shown)]
    planned = image_table(design, tuple(sessions))
    planned["image_row"] = shown[planned["position"] % len(shown)]
    first_images = planned.groupby("subject", sort=False).head(len(shown))
    images = write_images(folder / "images.npy", int(shown[-1]) + 1, shown, pixels)
    image_ids = np.arange(len(images)) + 1
    betas = write_betas(folder / "betas.h5", sessions)
    # no cache: the few images would fit, those of all of NSD would not
    fitting = parameters["fitting"].model_copy(update={"epochs": 2, "cache_gigabytes": 0})
    fitting = fitting.resumable(folder / "state", seed=1)
    fitted = ModelDataset(filepath=folder / "model.h5")
    predictions = stored(folder / "predictions.h5", "evaluation.prediction.SubjectPredictions")
    noise_models = stored(folder / "noise.h5", "analysis.noise_model.NoiseModel")
    synthetic = stored(folder / "synthetic.h5", "recording.responses.Responses")
    stages = Stages()
    voxels = tabulate_voxels()
    measured = stages.run(
        "start and choose voxels", lambda: choose_voxels(voxels, betas, trials, areas=AREAS)
    )

    def fit() -> None:
        with few_batches(arguments.batches):
            model = fit_gnet(
                *(images, measured, prefilter_weights("gabor"), parameters["model"], fitting),
                *(parameters["protocols"], parameters["images"], "gabor"),
                kind="joint",
            )
        fitted.save(model)

    def score() -> pd.DataFrame:
        return score_gnet(images, measured, fitted.load(), parameters["scoring"], fitting)

    def predict() -> None:
        inputs = (images, image_ids, first_images, voxels, parameters["prediction"], fitting)
        predictions.save(predict_images(*inputs, gnet8j=fitted.load()))

    def noise() -> None:
        each = fit_noise_model(predictions.load(), betas, voxels, trials)
        noise_models.save({"subj01": each["subj01"]})

    def respond() -> None:
        sources = ({"subj01": dataset.load()["subj01"]} for dataset in (predictions, noise_models))
        noisy = parameters["synthetic"].model_copy(update={"noise": "measured"})
        responses, _, _ = make_responses(voxels, planned, noisy, split, *sources)
        synthetic.save(responses)

    stages.run(f"fit: batches of {fitting.batch_size}, holdout, state", fit)
    stages.run("resume from its state", fit)
    stages.run("score", score)
    stages.run(f"predict {len(shown)} images", predict)
    stages.run("noise model of subject 1", noise)
    stages.run("synthetic responses of subject 1, with noise", respond)
    return stages.table


def small_fit(voxels: int, trials: int, batches: int, device: str) -> tuple[float, float, float]:
    """CPU seconds, own memory and GPU memory (GiB) of a fit of one epoch at full resolution."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (50, 3, 227, 227), np.uint8)
    network = GNet(Architecture(), {"subj01": voxels}).to(resolve_device(device))

    def part(count: int) -> dict[str, Trials]:
        responses = random.standard_normal((count, voxels), np.float32)
        return {"subj01": Trials(random.integers(0, len(images), count), responses)}

    with Watch() as watch, few_batches(batches):
        procedure = Procedure(epochs=1, cache_bytes=0)
        loop.fit_network(network, part(trials), part(trials // 9), images, procedure=procedure, seed=1)
    gpu = torch.cuda.max_memory_allocated() / GIB if torch.cuda.is_available() else 0.0
    return watch.core_seconds, watch.peak / GIB, gpu


def measure_growth(device: str, repeats: int) -> Table:
    """Growth with voxels, with trials, and with trials in memory of which few are fitted."""
    table = Table(title=f"Fit of one epoch of one subject, published protocol, best of {repeats}")
    for column in ("voxels", "trials", "fitted", "core seconds", "own memory, GiB", "GPU, GiB"):
        table.add_column(column, justify="right")
    everything = 10**6
    series = [
        [(count, 200, everything) for count in (500, 1000, 2000, 4000)],
        [(500, count, everything) for count in (200, 400, 600, 800)],
        [(2000, count, 1) for count in (6000, 12_000, 18_000, 24_000)],
    ]
    for sizes in series:
        measured = []
        for size in sizes:
            rounds = []
            for _ in range(repeats):
                with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
                    rounds.append(fresh.submit(small_fit, *size, device).result())
            measured.append((min(r[0] for r in rounds), *(max(r[i] for r in rounds) for i in (1, 2))))
        for (voxels, trials, batches), (seconds, memory, gpu) in zip(sizes, measured, strict=True):
            fitted = min(trials, 100 * batches)
            table.add_row(
                *(f"{count:,}" for count in (voxels, trials, fitted)),
                f"{seconds:.1f}",
                f"{memory:.2f}",
                f"{gpu:.2f}" if gpu else "none",
            )
        table.add_row(*linear(sizes, measured))
        table.add_section()
    return table


def linear(sizes: list[tuple[int, int, int]], measured: list[tuple[float, float, float]]) -> list[str]:
    """R^2 of a linear fit to each column; for time only if the number of fitted trials or voxels grows."""
    counts = np.array(sizes, float)
    grown = counts[:, 0] if np.std(counts[:, 0]) else counts[:, 1]
    shares = [
        f"{np.corrcoef(grown, column)[0, 1] ** 2:.3f}" if np.std(column) else ""
        for column in np.array(measured).T
    ]
    return ["a line explains", "", "", "" if counts[0, 2] == 1 else shares[0], *shares[1:]]


def main() -> None:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=None, help="for the temporary files")
    parser.add_argument("--protocol", choices=("published", "revised"), default="published")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batches", type=int, default=2, help="batches of subject 1 in each of two epochs")
    parser.add_argument(
        "--images", type=int, default=50, help="number shown; for full batches of `revised`, 100"
    )
    parser.add_argument("--repeats", type=int, default=1, help="of the small fits")
    parser.add_argument("--only", choices=("stages", "growth"), default=None)
    arguments = parser.parse_args()
    if arguments.only != "growth":
        with tempfile.TemporaryDirectory(prefix="gnet-memory-", dir=arguments.folder) as folder:
            Console().print(measure_stages(Path(folder), arguments))
    if arguments.only != "stages":
        Console().print(measure_growth(arguments.device, arguments.repeats))


if __name__ == "__main__":
    main()
