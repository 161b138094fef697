"""What was run in a data folder can be listed, with its outcome and its scores."""

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from gnet.__main__ import main
from gnet.errors import BusyError
from gnet.hooks import runs
from gnet.hooks.journal import readable, runs_table


def test_finished_runs_with_what_they_were_run_with_and_their_scores(finished):
    project, _ = finished
    table = runs_table(project.data).set_index("pipelines")
    assert set(table["outcome"]) == {"finished"}
    assert (table["seconds"] > 0).all()
    assert {"encoding_roi", "encoding_joint", "simulation, __default__"} <= set(table.index)
    accuracy = project.load("gnet8j_accuracy")["r"].dropna()
    row = table.loc["encoding_joint"]
    assert row["gnet8j r"] == pytest.approx(accuracy.mean())
    assert row["gnet8j r ±"] == pytest.approx(accuracy.std(ddof=1) / np.sqrt(len(accuracy)))
    assert row["seed"] == project.load("gnet8j").configuration["seed"]
    assert np.isnan(row["gnet8r r"])


def test_runs_that_failed_and_versions_without_a_page(encoded):  # which are copied without their pages
    (encoded.data / "03_primary" / "betas.h5").write_bytes(b"")
    message, _ = encoded.failed("encoding_joint", fitting={"l1": 0.1})
    table = runs_table(encoded.data)
    assert list(table["outcome"].isna()) == [True, True, False]
    failed = table.iloc[-1]
    assert failed["outcome"].split(":")[0] in message
    assert (failed["pipelines"], failed["parameters"]) == ("encoding_joint", "fitting.l1=0.1")
    assert failed["seed"] == 1
    shown = readable(table)
    assert shown.iloc[-1]["gnet8j r"] == ""
    assert " ± " in " ".join(shown["gnet8j r"])


def test_a_run_that_is_refused_leaves_no_page(encoded, monkeypatch):
    def busy(*_):
        raise BusyError("another run")

    monkeypatch.setattr(runs, "announce", busy)
    message, _ = encoded.failed("encoding_joint")
    assert "BusyError: another run" in message
    assert not (encoded.data / "runs").exists()


def test_the_command(finished, tmp_path, monkeypatch):
    project, _ = finished
    file = tmp_path / "runs.csv"
    monkeypatch.setenv("GNET_DATA", str(project.data))
    command, cli = ["runs", "--env", "tiny"], CliRunner()
    printed = cli.invoke(main, command, catch_exceptions=False).stdout
    assert "finished" in printed
    assert "…" not in printed
    assert cli.invoke(main, [*command, "--to", str(file)], catch_exceptions=False).exit_code == 0
    assert list(pd.read_csv(file)["run"]) == list(runs_table(project.data)["run"])


@pytest.mark.parametrize("written", [b"", b"[]", b"{", b"\xff"])
def test_a_page_that_cannot_be_read_is_reported(tmp_path, written, caplog):
    page = tmp_path / "runs" / "2026-01-10T00.00.00.000Z.json"
    page.parent.mkdir()
    page.write_bytes(written)
    assert runs_table(tmp_path).empty
    assert f"{page}: expected a page of the journal, found something else" in caplog.text


def test_nothing_was_run(tmp_path):
    assert runs_table(tmp_path).empty
    assert readable(runs_table(tmp_path)).empty
