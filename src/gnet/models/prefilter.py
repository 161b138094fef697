"""The two convolutional layers in front of every trunk, and the sources of their weights.

The paper uses AlexNet's first two layers and never trains them. Where their weights are not available, a
bank of Gabor filters replaces them: oriented energy at two scales.
"""

from __future__ import annotations

import hashlib
import http.client
import urllib.request
from pathlib import Path
from typing import cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, relu

from gnet.errors import ModelFileError, ParameterError
from gnet.progress import bar
from gnet.storage.atomic import atomic_path

MAPS = (64, 192)
"""Feature maps of conv1 and conv2."""
ALEXNET_URL = "https://download.pytorch.org/models/alexnet-owt-4df8aa71.pth"
"""Torchvision's AlexNet."""
ALEXNET_HASH = "4df8aa71"
"""The beginning of its SHA-256, in its file name."""
Weights = dict[str, Float[np.ndarray, "..."]]
"""`conv1.weight` (64, 3, 11, 11), `conv1.bias` (64,), `conv2.weight` (192, 64, 5, 5), `conv2.bias` (192,)."""


class Prefilter(nn.Module):
    """conv 11x11 stride 4, ReLU, max-pool 3 stride 2, conv 5x5, ReLU: 192 maps an eighth of the size.

    For a readout that also sees the prefilter (`exposed`), the 64 pooled maps of conv1 come first.

    >>> Prefilter(exposed=True)(torch.zeros(1, 3, 75, 75)).shape
    torch.Size([1, 256, 8, 8])
    """

    def __init__(self, *, exposed: bool = False) -> None:
        super().__init__()
        self.exposed = exposed
        self.conv1 = nn.Conv2d(3, MAPS[0], 11, stride=4, padding=2)
        self.conv2 = nn.Conv2d(MAPS[0], MAPS[1], 5, padding=2)

    def forward(self, images: Float[Tensor, "image 3 y x"]) -> Float[Tensor, "image _ v u"]:
        """Feature maps of images in [0, 1] minus the input mean."""
        first = max_pool2d(relu(self.conv1(images)), 3, stride=2)
        second = relu(self.conv2(first))
        return torch.cat([first, second], dim=1) if self.exposed else second


def prefilter_weights(
    source: str,
    *,
    path: Path | None = None,
    url: str = ALEXNET_URL,
    sha256: str = ALEXNET_HASH,
    seed: int = 0,
) -> Weights:
    """Weights of both layers from the named source: `alexnet`, `gabor` or `random` (by `seed`).

    AlexNet's come from torchvision's file at `path`, downloaded from `url` if there is none; `sha256` is its
    checksum or the beginning of it. Raises ParameterError for any other source, or `alexnet` without a path;
    ModelFileError if the file cannot be downloaded, has another checksum or lacks the first two layers.
    """
    if source == "gabor":
        return gabor_weights()
    if source == "random":
        return random_weights(seed)
    if source != "alexnet":
        raise ParameterError(f"prefilter: expected alexnet, gabor or random, got {source!r}.")
    if path is None:
        raise ParameterError("prefilter: `alexnet` needs a path for torchvision's file, got none.")
    if not path.exists():
        download(url, path, sha256=sha256)
    return alexnet_weights(path, sha256=sha256)


def alexnet_weights(path: Path, *, sha256: str = ALEXNET_HASH) -> Weights:
    """First two layers of torchvision's AlexNet (`features.0`, `features.3`), read without running any code.

    Raises ModelFileError if the checksum differs, the layers are missing or have other shapes.
    """
    verify_checksum(path, sha256, path)
    layers = {"conv1": "features.0", "conv2": "features.3"}
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        weights = {
            f"{layer}.{kind}": state[f"{name}.{kind}"].detach().numpy().astype(np.float32)
            for layer, name in layers.items()
            for kind in ("weight", "bias")
        }
    except Exception as error:  # torch.load raises a dozen unrelated types
        raise ModelFileError(
            f"{path}: expected torchvision's AlexNet with features.0 and features.3, got {error!r}. "
            f"Fetch it again from {ALEXNET_URL}"
        ) from error
    expected = {name: tuple(tensor.shape) for name, tensor in Prefilter().state_dict().items()}
    found = {name: array.shape for name, array in weights.items()}
    if found != expected:
        raise ModelFileError(f"{path}: expected prefilter weights {expected}, got {found}.")
    return weights


def verify_checksum(path: Path, sha256: str, origin: Path | str) -> None:
    """Raise ModelFileError, which names `origin`, unless the file's SHA-256 begins with the one given."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(sha256.lower()):
        raise ModelFileError(
            f"{origin}: expected a SHA-256 that begins with {sha256}, got {found}. "
            "The file is damaged or a different one: delete it and run again to download it again."
        )


def download(url: str, path: Path, *, sha256: str) -> None:
    """Download a file and verify it; if either fails, raise ModelFileError and leave nothing."""
    with atomic_path(path) as part:
        try:
            with (
                bar() as progress,
                urllib.request.urlopen(url, timeout=60) as source,
                part.open("wb") as file,
            ):
                total = int(source.headers.get("Content-Length", 0)) or None
                task = progress.add_task(f"download {path.name}", total=total)
                while chunk := source.read(1 << 20):
                    file.write(chunk)
                    progress.advance(task, len(chunk))
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise ModelFileError(
                f"{path}: could not be fetched from {url} ({error}). Download it by other means and put it "
                "there, or set `prefilter.source: gabor`."
            ) from error
        verify_checksum(part, sha256, url)


def random_weights(seed: int) -> Weights:
    """Xavier-normal weights with the gain of a ReLU, and zero biases: the initialisation of the trunk."""
    generator = torch.Generator().manual_seed(seed)
    prefilter = Prefilter()
    for layer in (prefilter.conv1, prefilter.conv2):
        nn.init.xavier_normal_(layer.weight, gain=nn.init.calculate_gain("relu"), generator=generator)
        nn.init.zeros_(cast(Tensor, layer.bias))
    return {name: tensor.detach().numpy() for name, tensor in prefilter.state_dict().items()}


def gabor_weights() -> Weights:
    """A fixed filter bank in the shapes of the two layers: simple cells, then complex cells.

    conv1: luminance Gabors of 8 orientations x 2 spatial frequencies x 4 phases, each of unit norm and zero
    mean. The sum of the four rectified phases of a channel is about the square root of its energy.
    conv2: that sum for each of the 16 (orientation, frequency) channels, weighted by 12 windows of 5x5: two
    Gaussians, four first derivatives (texture edges), four elongated second derivatives, and two that
    subtract the other orientations (cross-orientation contrast).
    """
    frequencies, orientations = np.array([1 / 8, 1 / 4.5]), np.arange(8) * np.pi / 8
    phases = np.arange(4) * np.pi / 2
    axes = np.meshgrid(frequencies, orientations, phases, indexing="ij")
    frequency, orientation, phase = (axis[..., None, None] for axis in axes)
    y, x = np.mgrid[-5:6, -5:6]
    along = np.cos(orientation) * x + np.sin(orientation) * y
    envelope = np.exp(-(x**2 + y**2) / (2 * (0.42 / frequency) ** 2))
    gabor = envelope * np.cos(2 * np.pi * frequency * along + phase)
    mean = gabor.sum((-2, -1), keepdims=True) / envelope.sum((-2, -1), keepdims=True)
    gabor -= envelope * mean  # so that it does not respond to uniform brightness
    gabor /= np.sqrt((gabor**2).sum((-2, -1), keepdims=True))
    conv1 = np.repeat(gabor.reshape(MAPS[0], 1, 11, 11), 3, axis=1) / 3  # luminance: the mean of the colours

    v, u = np.mgrid[-2:3, -2:3]
    narrow, wide = (np.exp(-(u**2 + v**2) / (2 * s**2)) for s in (0.6, 1.5))
    windows = [narrow, wide, *((np.cos(a) * u + np.sin(a) * v) * wide for a in np.arange(4) * np.pi / 2)]
    for angle in np.arange(4) * np.pi / 4:
        second = (1 - (np.cos(angle) * u + np.sin(angle) * v) ** 2) * wide
        windows.append(second - wide * second.sum() / wide.sum())
    bank = np.stack([window / np.abs(window).sum() for window in [*windows, narrow, wide]])

    channels = len(frequencies) * len(orientations)
    same = np.eye(channels)
    siblings = np.kron(np.eye(len(frequencies)), np.ones((len(orientations),) * 2)) / len(orientations)
    mixing = np.stack([same] * 10 + [same - siblings] * 2)  # window, channel out, channel in
    conv2 = np.einsum("woc,wvu,p->wocpvu", mixing, bank, np.ones(len(phases)))
    weights = {"conv1.weight": conv1, "conv1.bias": np.zeros(MAPS[0])}
    weights |= {"conv2.weight": conv2.reshape(MAPS[1], MAPS[0], 5, 5), "conv2.bias": np.zeros(MAPS[1])}
    return {name: array.astype(np.float32) for name, array in weights.items()}
