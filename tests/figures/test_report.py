"""The report: one page that needs nothing but itself and says what it is of."""

import base64
import io
import re
from html.parser import HTMLParser

import pandas as pd
import pytest
from matplotlib.figure import Figure

from gnet.figures.printed import ACCURACY, summary_of
from gnet.figures.report import FIGURES, SECTIONS, TABLES, readable, report_page, shown_table
from gnet.paper import published_accuracy


def picture(inches):
    file = io.BytesIO()
    Figure(figsize=(inches, 1), dpi=40).savefig(file, format="png")
    return file.getvalue()


PICTURE = picture(3)
EXCLUDED = pd.DataFrame(
    {"subject": ["subj01"], "reason": ["not fitted: <no data>"], "voxels": [3], "of": [40]}
)
SUMMARY = pd.DataFrame({name: [1.0, 0.0] for name in ACCURACY.headings}).assign(
    area=["FFA", "V1"], median_r=[0.51234, 0.1], fev=[3.14159, 60]
)
SEEDS = pd.DataFrame(
    {"subject": ["pooled"], "index": [0.4], "seed_sd": [0.1], "seeds": [3], "which": ["1, 2, 3"]}
)


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def page(**changes):
    arguments = {
        "run": "2026-01-02T03.04.05",
        "simulated": True,
        "facts": {"Fits": {"protocol": "published", "seed": "7"}},
        "excluded": EXCLUDED,
        "figures": {name: PICTURE for section in SECTIONS for name in section.figures},
        "tables": {"gnet8j_summary": SUMMARY},
    }
    return report_page(**arguments | changes)


def test_it_is_well_formed_and_whole():
    parsed = Page(page())
    assert parsed.open == []
    pictures = parsed.all("img")
    assert len(pictures) == sum(len(section.figures) for section in SECTIONS)
    for picture in pictures:
        kind, _, data = picture["src"].partition("base64,")
        assert kind == "data:image/png;"
        assert base64.b64decode(data) == PICTURE
        assert picture["alt"]


def test_nothing_is_asked_of_the_network():
    text = page()
    parsed = Page(text)
    assert not {tag for tag, _ in parsed.tags} & {"script", "link", "iframe", "object"}
    assert not re.search(r"url\(|@import|src=\"(?!data:)", text)


def test_it_says_which_run_and_what_with():
    text = page()
    for words in ("2026-01-02T03.04.05", "protocol", "published", "<dd>7</dd>", "0.512"):
        assert words in text


def test_simulated_data_are_called_so_first_and_measured_data_are_cited():
    assert "Simulated, not measured." in page()
    assert "s41593-021-00962-x" not in page()
    measured = page(simulated=False)
    assert "Simulated" not in measured
    assert "s41593-021-00962-x" in measured
    assert "Data Access Agreement" in measured
    assert "s41467-023-38674-4" in page()
    assert "s41467-023-38674-4" in measured


def test_text_of_the_data_is_no_markup():
    assert "not fitted: &lt;no data&gt;" in page()


def test_sections_without_content_are_left_out():
    text = page(figures={"fit_history_figure": PICTURE}, tables={})
    anchors = [attributes["id"] for attributes in Page(text).all("h2")]
    assert anchors == ["fits", "excluded", "cite"]


def test_what_concerns_measured_data_alone_is_left_out_of_simulated_ones():
    published = published_accuracy().assign(source="ours")
    tables = {"gnet8j_summary": SUMMARY, "accuracy_against_published": published}
    simulated, measured = (page(simulated=simulated, tables=tables) for simulated in (True, False))
    anchors = [{tag.get("id") for tag in Page(text).all("h2")} for text in (simulated, measured)]
    assert anchors[1] - anchors[0] == {"beside-the-published-numbers"}
    assert "the section “Beside the published numbers” is left out" in simulated
    assert "is left out" not in measured


def test_a_spread_over_one_seed_is_not_shown():
    several, alone = (page(tables={"hierarchy_index_seeds": SEEDS.assign(seeds=seeds)}) for seeds in (3, 1))
    assert "± seeds" in several
    assert "kedro run" not in several
    assert "± seeds" not in alone
    assert "<code>kedro run --pipelines encoding_roi,transfer --params seed=2</code>" in alone


def test_areas_stand_in_the_configured_order():
    assert shown_table("gnet8j_summary", SUMMARY, ("V1", "FFA"))["area"].tolist() == ["V1", "FFA"]
    assert shown_table("gnet8j_summary", SUMMARY, ("FFA", "V1"))["area"].tolist() == ["FFA", "V1"]


def test_every_figure_and_table_is_named_once_and_can_be_shown():
    assert len({*FIGURES, *TABLES}) == len(FIGURES) + len(TABLES)
    assert all(summary_of(name) or name.endswith("_against_published") for name in TABLES)


def test_every_link_inside_leads_somewhere():
    parsed = Page(page())
    targets = {attributes.get("id") for _, attributes in parsed.tags}
    inside = [link["href"] for link in parsed.all("a") if link["href"].startswith("#")]
    assert {link[1:] for link in inside} <= targets


def test_pictures_are_as_wide_as_they_were_drawn():
    """So that the text of all of them is equally large, whatever their resolution."""
    figures = {"fit_history_figure": picture(6.5), "volume_slices_figure": picture(12)}
    widths = [attributes["style"] for attributes in Page(page(figures=figures)).all("img")]
    assert widths == ["width: 6.50in", "width: 12.00in"]


def test_light_and_dark():
    assert "prefers-color-scheme: dark" in page()


@pytest.mark.parametrize(
    ("values", "cells"),
    [
        ([0.5, float("nan"), -0.25], ["0.500", "–", "−0.250"]),
        ([40.0, 20.0], ["40.0", "20.0"]),
        ([1200, 7], ["1,200", "7"]),
        ([float("nan")], ["–"]),
    ],
)
def test_numbers_are_readable(values, cells):
    assert [row[0] for row in readable(pd.DataFrame({"value": values}))["rows"]] == cells
