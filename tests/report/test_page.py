"""The report is one page that loads nothing, escapes everything, reads a folder as it reads a result, and can be read in light and dark."""

import re
from html.parser import HTMLParser

import pytest

from simfabric import cli
from simfabric.errors import SimfabricError
from simfabric.plot import PICTURES
from simfabric.plot.style import DARK, LIGHT
from simfabric.report import page, write
from simfabric.report.markup import Markup, element, escaped, table
from tests.test_cli import call

VOID = {"meta", "br", "use", "path", "image"}


class Reader(HTMLParser):
    """Reads a page strictly: every element that opens is closed in turn."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.ids, self.links, self.told = [], [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        given = dict(attributes)
        self.ids += [given["id"]] if "id" in given else []
        self.links += [given[name] for name in ("src", "href", "xlink:href", "data", "action") if name in given]
        assert not [name for name in given if name.startswith("on")]
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in {"meta", "br"}:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.told.append(data)


@pytest.fixture(scope="module")
def text(result):
    """The page, made once."""
    return page(result)


@pytest.fixture(scope="module")
def read(text):
    """The page, read."""
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


def test_the_page_has_no_script_loads_nothing_and_says_so(text, read):
    assert "script" not in read.tags and "link" not in read.tags and "iframe" not in read.tags
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in read.links)
    assert "default-src 'none'" in text.replace("&#x27;", "'")
    assert set(re.findall(r"https?://[^\s\"']+", text)) <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def test_a_hostile_name_is_text_in_the_page_and_in_a_notebook(text, read, result):
    assert '<script>alert("$x^$")</script>' in "".join(read.told) and "<script" not in text
    assert "<script" not in result._repr_html_() and "&lt;script&gt;" in result._repr_html_()


def test_identifiers_are_used_once_so_that_pictures_do_not_borrow_from_each_other(read):
    assert len(read.ids) == len(set(read.ids))
    assert {link[1:] for link in read.links if link.startswith("#")} <= set(read.ids)


def test_the_page_tells_promises_laws_bottleneck_and_faults_and_shows_every_picture(read, result):
    told = "".join(read.told)
    for word in ("delivery p99", "recovery p99", "met", "Bottleneck", result.bottleneck.component, "gateway 1 killed", result.digest, "checkpoints"):
        assert word in told
    assert read.tags.count("svg") == len(PICTURES)


def test_its_colours_are_variables_with_a_light_and_a_dark_value(text):
    for name, colour in LIGHT.colours().items():
        assert text.count(colour) == 1 and f"--{name}:{colour}" in text
    assert "prefers-color-scheme:dark" in text and all(f"--{name}:{colour}" in text for name, colour in DARK.colours().items())


def test_a_folder_makes_the_same_page_as_the_result_in_memory(result, text, tmp_path):
    result.save(tmp_path / "kept")

    def without_the_message(page):
        return re.sub(r"<h2>The slowest message.*?</section>", "", page, flags=re.S)  # A folder keeps no trail.

    assert without_the_message(page(tmp_path / "kept")) == without_the_message(text)


def test_elements_escape_what_they_hold():
    assert element("p", "<b>", element("i", "&"), title='"') == '<p title="&quot;">&lt;b&gt;<i>&amp;</i></p>'
    assert escaped(Markup("<b>")) == "<b>" and '<th scope="row">&lt;</th>' in table(("a",), [("<",)])


def test_the_command_makes_a_page_of_a_run_and_tells_its_size(monkeypatch, capsys, tmp_path):
    """Of a folder, too: see the README and its test."""
    file = tmp_path / "small.yaml"
    file.write_text("version: 1\nname: small\nrun: {duration: 3s, warmup: 1s}\nclients: {count: 20}\n")
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, "report", str(file), "--set", "clients.count=10") == cli.RAN
    assert "a page of" in capsys.readouterr().out and (tmp_path / "report.html").read_text().startswith("<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["report", "nowhere"], "No such file"),
        (["report", ".", "--out", "a.html"], "no readable manifest.json"),
        (["report", ".", "--out", "a.yaml"], "law: a report is an .html file"),
        (["report", ".", "--set", "clients.count=3"], "only a run can be changed"),
        (["plot", ".", "--picture", "timelime"], "did you mean 'timeline'?"),
        (["plot", ".", "--theme", "blue"], "cure: name one"),
        (["plot", ".", "--out", "a.gif"], "written as .png, .svg or .pdf"),
    ],
)
def test_what_cannot_be_shown_ends_with_2_and_says_why(monkeypatch, capsys, tmp_path, arguments, told):
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, *arguments) == cli.WRONG
    err = capsys.readouterr().err
    assert told in err and "Traceback" not in err


def test_a_manifest_with_other_figures_is_told_and_never_a_traceback(result, tmp_path):
    import json

    result.save(tmp_path / "kept")
    manifest = tmp_path / "kept" / "manifest.json"
    good = json.loads(manifest.read_text())
    odd = [3, None, {"name": "<b>", "target": [], "met": "yes"}]
    for figures in (None, [], {"name": 3}, {**good["figures"], "slo": odd, "seed": "x"}, {**good["figures"], "laws": 3}):
        manifest.write_text(json.dumps({**good, "figures": figures}))
        with pytest.raises(SimfabricError, match="cure"):
            write(tmp_path / "kept", tmp_path / "a.html")
    manifest.write_text(json.dumps({**good, "figures": {**good["figures"], "slo": odd}}))
    assert "&lt;b&gt;" in page(tmp_path / "kept")
