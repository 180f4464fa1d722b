"""Progress in a notebook: an element below the cell that is brought up to date and goes at the end, without widgets."""

import pytest

from simfabric import facade
from simfabric.planning import telling
from simfabric.running import Progress
from simfabric.topology import loads


@pytest.fixture
def shown(monkeypatch):
    """What a notebook shows, in order."""
    display = pytest.importorskip("IPython.display")
    told = []

    class Handle:
        def update(self, html):
            told.append(html.data)

    def show(html, display_id):
        told.append(html.data)
        return Handle()

    monkeypatch.setattr(display, "display", show)
    monkeypatch.setattr(telling, "in_notebook", lambda: True)
    monkeypatch.setattr(facade, "in_notebook", lambda: True)
    return told


def test_a_run_in_a_notebook_tells_how_far_it_is_and_leaves_nothing_behind(shown):
    with facade.notebook_bar(loads("version: 1\nrun: {duration: 4s, warmup: 0s}")) as told:
        told(Progress(1.0, 4.0, 0.5, 1000))
    assert shown[0] == "simulating" and shown[-1] == ""
    assert '<progress max="4" value="1"></progress> 1.0 of 4 s, 2x real time, 2000 deliveries/s' in shown[1]


def test_a_run_draws_that_bar_by_itself_where_it_is_in_a_notebook(shown):
    facade.run(loads("version: 1\nrun: {duration: 2s, warmup: 0s}\nclients: {count: 5}"))
    assert len(shown) >= 3 and "<progress" in shown[1] and shown[-1] == ""


def test_many_runs_tell_how_many_are_done_and_escape_what_they_are_called(shown):
    with telling.runs_bar("<b>compare", None) as told:
        told(3, 10)
    assert shown == ["&lt;b&gt;compare", '&lt;b&gt;compare <progress max="10" value="3"></progress> 3/10 runs', ""]
