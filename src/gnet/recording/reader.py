"""What the pipelines need of a laboratory's files, whoever the laboratory is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import pandas as pd
from jaxtyping import Int

from gnet.recording.responses import Responses
from gnet.recording.volumes import Volume
from gnet.storage.blocks import Blocks

Areas = Mapping[str, tuple[str, Sequence[str]]]
"""Areas by name: the family (atlas) that each is defined in, and the labels in it that make it."""


@runtime_checkable
class Reader(Protocol):
    """A recording on disk: nothing is read before a method is called, and nothing is written.

    Subjects go by name; a number of sessions means the first ones. Every method raises ReleaseError for files
    that are missing, damaged or contradict each other, and ParameterError for subjects, sessions, areas or
    sizes that do not exist.
    """

    @property
    def name(self) -> str:
        """What the recording is called in logs and reports."""

    @property
    def simulated(self) -> bool:
        """Whether it was simulated rather than measured."""

    def in_format(self, file_format: str) -> Reader:
        """The same recording, its responses read from files of this format, where there are several."""

    def inventory(self, sessions: Mapping[str, int], areas: Areas) -> pd.DataFrame:
        """Every file that these sessions and areas need, what is wrong with it, and how to get it.

        One row per file with at least path, expected, found, problem ("" if there is none), command.
        """

    def check_inventory(self, inventory: pd.DataFrame) -> None:
        """Raise ReleaseError if a file of the inventory has a problem, with what to do about each."""

    def images(self, subjects: Sequence[str]) -> tuple[Int[np.ndarray, " image"], pd.DataFrame]:
        """The pictures shown to these subjects (`image_ids`, ascending, each once), and which belong to whom.

        The table has a row per subject and picture: subject, position in the subject's list, image_id,
        image_row in `image_ids`, shared (whether every subject's list contains it).
        """

    def trials(
        self,
        sessions: Mapping[str, int],
        completed: Mapping[str, int],
        *,
        test: str,
        holdout_fraction: float,
        seed: int,
    ) -> pd.DataFrame:
        """The trials of these sessions, subject by subject in the order they were run.

        One row per trial: subject, trial, session, position, image_row in the `image_ids` of these subjects,
        image_id, repetition, shared, part_last_trials, part_images ("train", "holdout", "test").

        `test` says whose trials test: those of "shared" pictures, or only of "special" ones, which all
        subjects saw often enough in their `completed` sessions, including subjects that are not used. Of the
        other trials, or of their pictures, drawn by `seed`, a `holdout_fraction` is held out.
        """

    def pictures(self, image_ids: Int[np.ndarray, " image"], pixels: int, resampling: str) -> Blocks:
        """The pictures, uint8 (image, 3, pixels, pixels), resized block by block as they are asked for."""

    def units(
        self, subject: str, areas: Areas, masks: Sequence[str]
    ) -> tuple[dict[str, Volume], pd.DataFrame]:
        """Where one subject's units are.

        Boolean volumes (x, y, z) of every mask and every area, by name (none for a recording without
        volumes), and `gnet.recording.units.unit_table` of the areas and of the named masks.
        """

    def responses(self, subject: str, sessions: int, units: pd.DataFrame) -> Responses:
        """One subject's responses, z-scored within sessions, in the order of its rows in `units`.

        Responses that do not repeat when their picture does are refused.
        """

    def anatomy(self, subject: str) -> Volume | None:
        """One subject's anatomy (x, y, z) in the space of the units; None if there is none."""
