"""The drawings: well-formed, inert, the same every time, and honest about what is missing."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from django.template import engines
from hypothesis import assume, given
from hypothesis import strategies as st

from foundation import charts
from foundation.charts import Bin, Curve, Drawing, Event, Limit, Reliability, Shares, Slice, Weight
from foundation.charts.plot import aligned, at, span, ticks

EVIL = '<script>alert("1")</script>|&\x00'
NAN = math.nan


def _line(power: float, n: int = 30) -> list[tuple[float, float]]:
    return [(i / n, (i / n) ** power) for i in range(n + 1)]


def _all(name: str = "v2", scale: float = 1.0) -> dict[str, Drawing]:
    """Every kind of drawing, with `name` wherever a name goes and values times `scale`."""
    bins = [Bin(p / 10, p / 11, 90, p / 12, p / 10) for p in range(1, 10)]
    days = [f"{i} {name}" for i in range(12)]
    return {
        "roc": charts.roc(Curve(name, _line(0.3), 0.8), Curve("v1", _line(0.5, 20), 0.7)),
        "pr": charts.pr(Curve(name, [(x, 1 - x / 2) for x, _ in _line(1)], 0.8), base_rate=0.3),
        "calibration": charts.calibration(Reliability(name, bins, 0.01), Reliability("v1", bins[::2], 0.02)),
        "histogram": charts.histogram(
            name, [0, scale, 2 * scale], Shares("training", [0.4, 0.6], 20), Shares("now", [0.5, 0.5])
        ),
        "categories": charts.categories(
            name, [name, "other"], Shares("training", [0.4, 0.6]), Shares("now", [0.5, 0.5])
        ),
        "psi": charts.psi_bars([(name, 0.3 * scale), ("other", 0.02)]),
        "importance": charts.importance([Weight(name, 0.3 * scale, 0.1), Weight("new", -0.01)], baseline="v1"),
        "forest": charts.forest(
            [Slice("sex", name, 90, 0.5, 0.4, 0.6, 0.55), Slice("sex", "other", 80, 0.8)],
            title="Rates",
            overall=0.75,
            band=0.1,
        ),
        "series": charts.series(
            "Drift",
            days,
            [scale * i for i in range(12)],
            measure=name,
            limits=[Limit(3 * scale, "warn"), Limit(9 * scale, "fail", "fail")],
            band=[(scale * i - 1, scale * i + 1) for i in range(12)],
            events=[Event(2, name, "ok")],
            worse="up",
        ),
        "bars": charts.series("Rows", days, [scale * i for i in range(12)], measure=name, bars=True, half=True),
        "spark": charts.spark([scale, 2 * scale, 3]),
        "heat": charts.heat([(name, [scale * 0.1 * i for i in range(12)])], days),
        "correlation": charts.correlation([name, "b", "c"], [[1, 0.2, -0.9], [0.2, 1, None], [-0.9, NAN, 1]]),
    }


def _trees(drawing: Drawing) -> list[ET.Element]:
    return list(ET.fromstring(f"<all>{drawing}</all>"))  # noqa: S314 - our own drawing


@pytest.mark.parametrize("kind", sorted(_all()))
def test_every_drawing_is_well_formed_and_carries_no_style_script_or_id(kind: str) -> None:
    for tree in _trees(_all()[kind]):
        for element in tree.iter():
            assert not element.tag.endswith(("style", "script", "foreignObject"))
            assert not [a for a in element.attrib if a in {"style", "id"} or a.startswith("on")]


@pytest.mark.parametrize("kind", sorted(_all()))
def test_a_hostile_name_stays_text(kind: str) -> None:
    drawing = _all(EVIL)[kind]

    assert "<script" not in drawing
    assert "\x00" not in drawing
    assert _trees(drawing)


@pytest.mark.parametrize("kind", sorted(_all()))
def test_the_same_numbers_give_the_same_bytes(kind: str) -> None:
    assert _all()[kind] == _all()[kind]


@pytest.mark.parametrize("scale", [1e-300, 1e-9, 1e9, 1e300, 1e308])
def test_huge_and_tiny_values_stay_on_the_paper(scale: float) -> None:
    for drawing in _all(scale=scale).values():
        assert not re.search(r'(?:x|y|x1|x2|y1|y2|cx|cy|d|width|height|points)="[^"]*(?:nan|inf|e\+)', drawing)


@pytest.mark.parametrize("kind", sorted(set(_all()) - {"spark"}))
def test_every_drawing_says_in_words_what_it_shows(kind: str) -> None:
    for tree in _trees(_all()[kind]):
        assert tree.attrib["role"] == "img"
        assert len(tree.attrib["aria-label"]) > 20


EMPTY: dict[str, Callable[[], Drawing]] = {
    "roc": lambda: charts.roc(Curve("v", [])),
    "roc of nothing but NaN": lambda: charts.roc(Curve("v", [(NAN, 1), (0, NAN)])),
    "pr": lambda: charts.pr(Curve("v", [])),
    "calibration": lambda: charts.calibration(Reliability("v", [Bin(NAN, NAN)])),
    "histogram": lambda: charts.histogram("age", [], Shares("a", [])),
    "histogram of no rows": lambda: charts.histogram("age", [0, 1], Shares("a", [0])),
    "categories": lambda: charts.categories("job", [], Shares("a", [])),
    "psi": lambda: charts.psi_bars([("a", NAN)]),
    "importance": lambda: charts.importance([]),
    "forest": lambda: charts.forest([Slice("sex", "f", 0, NAN)], title="t"),
    "series": lambda: charts.series("t", ["a"], [None], measure="PSI"),
    "heat": lambda: charts.heat([], []),
    "correlation": lambda: charts.correlation(["a"], [[1]]),
}


@pytest.mark.parametrize("kind", sorted(EMPTY))
def test_nothing_to_draw_is_a_sentence(kind: str) -> None:
    drawing = EMPTY[kind]()

    assert drawing.startswith('<p class="chart-empty">')
    assert "<svg" not in drawing


def test_a_single_value_is_drawn() -> None:
    assert "c-dot" in charts.series("t", ["today"], [3.0], measure="m")
    assert "c-dot" in charts.roc(Curve("v", [(0.2, 0.7)]))
    assert charts.spark([1.0]) == ""


def test_a_missing_value_leaves_a_gap_in_the_line() -> None:
    whole = charts.series("t", list("abcd"), [1.0, 2, 3, 4], measure="m")
    broken = charts.series("t", list("abcd"), [1.0, 2, None, 4], measure="m")

    assert whole.count('class="c-cand"') == 2  # wide and narrow
    assert broken.count('class="c-cand"') == 2  # a run of two, and a single point that is a dot
    assert broken.count('r="3"') == 2
    assert "no data" in broken


def test_a_group_outside_the_band_is_a_diamond_and_is_named() -> None:
    drawing = charts.forest(
        [Slice("age", "under 25", 9, 0.5), Slice("age", "over 25", 90, 0.8)], title="t", overall=0.8, band=0.1
    )

    assert "Outside the band: under 25." in drawing
    assert drawing.count("c-dot-bad") == 2  # wide and narrow


def test_a_feature_that_production_does_not_use_is_marked_new() -> None:
    assert ">new<" in charts.importance([Weight("a", 0.2)], baseline="v1")
    assert ">new<" not in charts.importance([Weight("a", 0.2)])


def test_the_gravest_limit_that_is_passed_colours_the_point() -> None:
    drawing = charts.series(
        "t", list("abc"), [0.0, 2, 4], measure="m", limits=[Limit(1, "warn"), Limit(3, "fail", "fail")], worse="up"
    )

    assert drawing.count("c-thr-warn-d") == 2
    assert drawing.count("c-thr-fail-d") == 2


def test_a_series_without_a_label_for_each_value_is_refused() -> None:
    with pytest.raises(ValueError, match="one label for each value"):
        charts.series("t", ["a"], [1.0, 2.0], measure="m")


def test_a_template_prints_a_drawing_as_it_is() -> None:
    drawing = charts.spark([1.0, 2.0])

    assert engines["django"].from_string("{{ drawing }}").render({"drawing": drawing}) == drawing


@given(st.lists(st.floats(), max_size=30), st.booleans())
def test_a_domain_is_finite_wide_and_holds_its_values(values: list[float], zero: bool) -> None:
    low, high = span(values, zero=zero)

    assert math.isfinite(low)
    assert math.isfinite(high)
    assert low < high
    known = [v for v in values if abs(v) <= 1e300]
    assert all(low <= v <= high for v in known)


@given(st.floats(-1e12, 1e12), st.floats(1e-6, 1e12))
def test_ticks_are_few_round_and_inside(low: float, width: float) -> None:
    assume(width > abs(low) * 1e-6)  # what `span` makes sure of

    marks = ticks(low, low + width)

    assert len(marks) <= 12
    assert all(low - width * 1e-3 <= mark <= low + width * 1.001 for mark in marks)
    assert all(a < b for a, b in pairwise(marks))


@given(st.floats(-1e6, 1e6))
def test_a_coordinate_is_never_minus_nought(value: float) -> None:
    assert at(value) != "-0"


def test_the_numbers_of_an_axis_have_the_same_decimals() -> None:
    assert aligned([0.78, 0.8, 0.82]) == ["0.78", "0.80", "0.82"]
    assert aligned([0, 20_000]) == ["0", "20k"]


@pytest.mark.parametrize("kind", sorted(_all()))
def test_on_paper_a_drawing_carries_its_ink_and_only_its_wide_form(kind: str) -> None:
    printed = charts.for_print(_all()[kind])

    assert len(_trees(printed)) == 1
    assert printed.count("<style>") == 1
    assert "data-tip" not in printed


def test_weasyprint_prints_every_drawing_without_a_complaint(caplog: pytest.LogCaptureFixture) -> None:
    weasyprint = pytest.importorskip("weasyprint")
    sheet = Path(__file__).parents[2] / "assets" / "print.css"
    body = "".join(f"<div>{charts.for_print(drawing)}</div>" for drawing in _all().values())

    pdf = weasyprint.HTML(string=f'<html lang="en"><title>t</title><body><div class="charts">{body}</div>').write_pdf(
        stylesheets=[weasyprint.CSS(filename=str(sheet))], pdf_variant="pdf/ua-1"
    )

    assert pdf.startswith(b"%PDF")
    assert [record.message for record in caplog.records if record.name == "weasyprint"] == []
