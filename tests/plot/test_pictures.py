"""Every picture renders from a real run, says its units, marks what went wrong, and lets nothing overlap."""

import itertools
import subprocess
import sys
import warnings
from pathlib import Path

import matplotlib
import numpy as np
import pytest

from simfabric import plot
from simfabric.plot import PICTURES, PictureError, draw, drawing
from simfabric.plot.marks import Mark, marks_of
from simfabric.plot.picture import Picture
from simfabric.plot.seen import Seen, seen
from simfabric.running import run
from simfabric.running.saving import ResultError
from tests.helpers import topology_of
from tests.plot.conftest import BASE

MARKED = ("timeline", "gateways", "storm")


@pytest.fixture(scope="module")
def run_seen(result):
    """What pictures see of the run."""
    return seen(result)


@pytest.fixture(scope="module")
def pictures(run_seen):
    """Every picture, drawn once."""
    return {name: draw(name, run_seen) for name in PICTURES}


def labels(drawn):
    """The labels of all axes of a picture."""
    return [axis.get_label_text() for axes in drawn.axes for axis in (axes.xaxis, axes.yaxis)]


def texts(drawn):
    """Every text in a picture that is not empty."""
    return [text.get_text() for text in drawn.findobj(matplotlib.text.Text) if text.get_text() and text.get_visible()]


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_renders_within_its_edges_and_says_in_a_sentence_what_it_shows(pictures, name):
    drawn = pictures[name]
    assert isinstance(drawn, Picture) and drawn.told.endswith(".")
    drawn.canvas.draw()
    taken, whole = drawn.get_tightbbox(), drawn.bbox_inches  # Inches.
    assert whole.x0 <= taken.x0 + 0.02 and taken.x1 <= whole.x1 + 0.02 and whole.y0 <= taken.y0 + 0.02 and taken.y1 <= whole.y1 + 0.02


@pytest.mark.parametrize("name", [name for name in PICTURES if name != "topology"])
def test_axes_have_labels_and_ticks_their_units(pictures, name):
    drawn = pictures[name]
    told = [label for label in labels(drawn) if label]
    assert told
    for axes in drawn.axes:
        for axis in (axes.xaxis, axes.yaxis):
            words = [text.get_text() for text in axis.get_majorticklabels() if text.get_text()]
            assert axis.get_label_text() or not any(word.replace(".", "").isdigit() for word in words) or axes.get_shared_x_axes()
            if "time" in axis.get_label_text() and words and axis.get_label_text() != "busy, share of its cores' time":
                assert all(word.endswith(("s", "min", "h")) for word in words), words


@pytest.mark.parametrize("name", MARKED)
def test_every_fault_is_marked_and_named(pictures, run_seen, name):
    assert marks_of(run_seen) == [Mark(3.0, "gateway 1 killed"), Mark(5.0, "gateway 1 up again")]
    drawn = pictures[name]
    lines = [line.get_xdata()[0] for line in drawn.findobj(matplotlib.lines.Line2D) if line.get_label() == "_mark"]
    assert set(lines) == {3.0, 5.0} and len(lines) == 2 * len([axes for axes in drawn.axes if axes.get_label() != "<colorbar>"])
    assert {"gateway 1 killed", "gateway 1 up again"} <= set(texts(drawn))


def test_what_happens_to_many_gateways_at_once_is_one_mark():
    tables = {"events": {"at_ns": [10**9] * 50, "event": [f"gateway {i} killed, 3 connections lost" for i in range(50)]}}
    assert marks_of(Seen({"figures": {"simulated_s": 60.0}}, tables, "here")) == [Mark(1.0, "50 gateways killed")]


def test_marks_that_stand_close_are_named_in_rows_and_never_cover_each_other(result, run_seen):
    at = [3, 3.6, 4.1, 5, 5.2, 6, 7, 8.5, 11, 11.9]
    many = Seen(
        run_seen.manifest, {**run_seen.tables, "events": {"at_ns": [t * 1e9 for t in at], "event": [f"event {'abcdefghij'[i]}" for i in range(10)]}}, "here"
    )
    for name in MARKED:
        drawn = draw(name, many)
        drawn.canvas.draw()
        boxes = [text.get_window_extent() for text in drawn.findobj(matplotlib.text.Annotation) if text.get_label() == "_mark"]
        assert len(boxes) >= 8 and not [1 for a, b in itertools.combinations(boxes, 2) if a.overlaps(b)], name


def test_in_the_drawing_of_the_topology_no_text_leaves_its_box_or_covers_another(pictures):
    drawn = pictures["topology"]
    drawn.canvas.draw()
    shown = [text for text in drawn.findobj(matplotlib.text.Text) if text.get_label() in ("_box", "_flow")]
    boxes = [text.get_window_extent() for text in shown]
    assert len(boxes) >= 9
    assert not [(a, b) for a, b in itertools.combinations(boxes, 2) if a.overlaps(b)]
    frames = [patch.get_window_extent() for patch in drawn.findobj(matplotlib.patches.FancyBboxPatch) if patch.get_zorder() == 3]
    for text, box in zip(shown, boxes):
        if text.get_label() == "_box":
            assert any(frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1 for frame in frames), text.get_text()


def test_the_drawing_tells_utilisation_as_a_number_too_and_goes_from_left_to_right(result, pictures):
    told = " ".join(texts(pictures["topology"]))
    assert "gateways\n3 x " in told and "clients\n60" in told and f"{result.busiest['storage']:.0%}" in told
    built = drawing.graph(result)
    flow = ["clients", "gateways", "storage", "bus", "routers"]
    assert all(built.has_edge(one, other) for one, other in itertools.pairwise(flow)) and built.has_edge("routers", "gateways")
    assert [built.nodes[name]["column"] for name in flow] == sorted(built.nodes[name]["column"] for name in flow)


@pytest.mark.parametrize("pattern", ["direct", "broadcast"])
def test_the_drawing_follows_the_pattern(result, pattern):
    other = run(topology_of(BASE, fanout__pattern=pattern, run__duration="2s", faults="[]"))
    built = drawing.graph(other)
    assert built.has_edge("bus", "gateways") == (pattern == "broadcast") and built.has_edge("storage", "routers") == (pattern == "direct")
    assert plot.draw("fan_out", [result, other]).told.startswith("Per publication, targeted:")


def test_the_histogram_holds_every_delivery_and_the_timeline_every_message(result, pictures, run_seen):
    from simfabric.plot import delay, timeline

    assert delay._histogram(run_seen, "delays").tolist() == result.delays[1].sum(axis=0).tolist()
    at = timeline.samples_of(run_seen)
    assert (timeline.per_second(run_seen, at, "published") * np.diff(at)).sum() == pytest.approx(result.end.published)


def test_gateways_are_seen_one_by_one_at_every_sample(result, run_seen):
    from simfabric.plot import gateways

    edges, held, used = gateways._cells(run_seen)
    assert list(result.table("gateways").columns) == ["gateway", "connections", "at_s", "busy_s"] and len(result.table("gateways")) == held.size
    assert held.tolist() == result.held.tolist() and len(edges) == len(held) + 1
    assert (held[:, 1] < 0).sum() >= 2, "gateway 1 was away"
    place = [name for name, *_ in result.busy_rows].index("gateways")
    first, servers = sum(rows for _, rows, _ in result.busy_rows[:place]), result.busy_rows[place][2]
    assert (used * np.diff(edges)[:, None] * 1e9).sum() == pytest.approx(result.busy[-1, first : first + 3].sum() / servers, rel=1e-6)


def test_a_waterfall_shows_the_stages_and_deliveries_of_the_message_that_was_asked_for(result):
    number = int(result.messages[30, 0])
    drawn = result.plot.waterfall(number)
    told = texts(drawn)
    assert f'Message {number}, stage by stage: <script>alert("$x^$")</script>' in told
    assert {"storage", "fan-out"} <= set(_ticks(drawn)) and "delivery: last" in _ticks(drawn)
    with pytest.raises(PictureError, match="not in the sample"):
        result.plot.waterfall(10**9)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_curves_of_plans_take_plain_numbers_and_tell_their_answer(theme):
    x, y = [4, 1, 2, 3], [float("inf"), 0.1, 0.15, 0.3]
    curve = plot.capacity(
        x, y, [np.inf, 0.09, 0.14, 0.25], [np.inf, 0.11, 0.16, 0.4], bound=0.2, answer=2.4, interval=(2.2, 2.6), varied="gateways", theme=theme
    )
    assert {"saturated", "promised: 200ms", "answer: 2.4 (2.2 to 2.6)", "200ms"} <= {*texts(curve), *_ticks(curve)}
    widest = plot.tornado(["small", "large $"], [1.0, 0.5], [1.1, 3.0], middle=1.0, metric="p99", theme=theme)
    assert _ticks(widest)[-2:] == ["large $", "small"] or "large $" in _ticks(widest)
    paired = plot.differences(["a", "b"], [-0.02, 0.001], [-0.03, -0.01], [-0.01, 0.02], theme=theme)
    assert sum("not told apart" in text for text in texts(paired)) == 1 and "a differs" in paired.told
    for drawn in (curve, widest, paired):
        assert drawn._repr_png_().startswith(b"\x89PNG")


def _ticks(drawn):
    return [axis.get_major_formatter()(at) for axes in drawn.axes for axis in (axes.xaxis, axes.yaxis) for at in axis.get_major_locator()()]


def test_lists_that_do_not_fit_are_refused():
    for call in (lambda: plot.capacity([1], [1, 2], [1], [1]), lambda: plot.tornado(["a"], [], []), lambda: plot.differences(["a", "b"], [1], [1], [1])):
        with pytest.raises(PictureError, match="cure"):
            call()
    with pytest.raises(AttributeError, match="it has draw"):
        plot.capcity  # noqa: B018 - asking for it is the test.


def test_a_picture_of_nothing_says_what_is_missing():
    quiet = run(topology_of(BASE, traffic="[]", faults="[]", run__duration="2s", run__messages="0"))
    for name in ("delay", "fan_out", "storm", "waterfall"):
        with pytest.raises(PictureError, match=rf"picture '{name}': .*; law: .*; cure: "):
            draw(name, quiet)
    assert "nothing to show" in " ".join(labels(draw("timeline", quiet)))


def test_drawing_changes_nothing_outside_and_pyplot_is_never_loaded(pictures, result):
    before = dict(matplotlib.rcParams)
    result.plot.delay(theme="dark")
    assert dict(matplotlib.rcParams) == before
    code = "import sys; from simfabric.plot import draw, picture; import simfabric.plot.timeline; assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_picture_is_the_same_from_a_folder_and_from_memory(result, tmp_path):
    """Of all pictures, see tests/report."""
    result.save(tmp_path / "kept")
    assert draw("gateways", tmp_path / "kept").svg() == draw("gateways", result).svg()


def test_files_are_of_the_kind_of_their_name(result, tmp_path):
    drawn = result.plot.topology(theme="dark")
    for name, begins in (("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.pdf", b"%PDF")):
        drawn.save(tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(begins)
    with pytest.raises(PictureError, match="law: a picture is written as"):
        drawn.save(tmp_path / "a.jpg")


def hurt(run_seen, table, column, values):
    """The run with one column changed."""
    return Seen(run_seen.manifest, {**run_seen.tables, table: {**run_seen.tables[table], column: values}}, "here")


def test_a_folder_that_holds_nonsense_is_told_and_never_a_traceback(run_seen):
    rows = len(run_seen.column("timeline", "at_ns"))
    for values in (["x"] * rows, [float("nan")] * rows, [1.0] * (rows - 1), [[1.0]] * rows, [10**400] * rows):
        with pytest.raises(ResultError, match="cure"):
            draw("timeline", hurt(run_seen, "timeline", "connected", values))
    with pytest.raises(ResultError, match="table gateways is not whole"):
        draw("gateways", hurt(run_seen, "gateways", "gateway", [0] * (len(run_seen.column("gateways", "gateway")) - 1) + [1]))
    for path, value in (("name", 5), ("simulated_s", "long"), ("components", []), ("slo", {})):
        wrong = Seen({"figures": {**run_seen.manifest["figures"], path: value}}, run_seen.tables, "here")
        with pytest.raises(ResultError, match="figure"):
            [draw(name, wrong) for name in ("topology", "delay", "timeline")]
    with warnings.catch_warnings(), pytest.raises(ResultError, match="no column"):
        draw("timeline", Seen(run_seen.manifest, {**run_seen.tables, "timeline": {}}, "here"))


def test_every_picture_is_named_by_the_accessor_and_the_command(result):
    from simfabric import cli

    assert all(callable(getattr(result.plot, name)) for name in PICTURES)
    assert all(name in Path(cli.__file__).read_text(encoding="utf-8") for name in PICTURES)
