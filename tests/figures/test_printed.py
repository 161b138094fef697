"""Tables that are printed when a run ends."""

import pandas as pd
import pytest

from gnet.figures.printed import ACCURACY, SUMMARIES, print_summary

SUMMARY = pd.DataFrame({name: [0.12345] for name in ACCURACY.headings}).assign(
    area="V1", subject="subj01", voxels=1200, fev=49.4125, variance_explained=float("nan")
)


def test_percentages_have_one_decimal_and_correlations_three(capsys):
    print_summary("synthetic.gnet8j_summary", SUMMARY)
    cells = [cell.strip() for cell in capsys.readouterr().out.splitlines()[4].split("│")]
    shown = dict(zip(ACCURACY.headings, cells[1:-1], strict=True))
    assert shown["median_r"] == "0.123"
    assert shown["fev"] == "49.4"
    assert shown["ceiling"] == "0.1"
    assert shown["voxels"] == "1200"
    assert shown["variance_explained"] == "–"


def test_other_tables_are_not_printed(capsys):
    print_summary("voxels", SUMMARY)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", SUMMARIES)
def test_every_spread_says_over_what(name):
    for heading in SUMMARIES[name].headings.values():
        assert heading.startswith("± ") == ("±" in heading)
        assert heading != "± "
