"""Message sequence charts: what they look like, and that no label, however hostile, bends a line or breaks out of the source."""

from __future__ import annotations

import re
import unicodedata
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simfabric.analysis.sequence_chart import LOST, Step, mermaid, select, text
from simfabric.errors import Refusal

MS = 10**6
SECOND = 10**9
QUICK = settings(max_examples=200, deadline=None)


def sent(at_ms: float, takes_ms: float, source: str, target: str, what: str) -> Step:
    return Step(round(at_ms * MS), round((at_ms + takes_ms) * MS), source, target, what)


def lost(at_ms: float, source: str, target: str, what: str) -> Step:
    return Step(round(at_ms * MS), LOST, source, target, what)


def note(at_ms: float, where: str, what: str) -> Step:
    return sent(at_ms, 0, where, where, what)


def looks_like(chart: str, expected: str) -> None:
    """A chart as a test writes it down: indented, starting on a line of its own."""
    assert chart.splitlines() == dedent(expected).strip("\n").rstrip(" ").splitlines()


SESSION = [
    note(1000, "client 7", "state idle -> bootstrap (START)"),
    sent(1000, 14.2, "client 7", "edge", "GET bootstrap"),
    sent(1014.2, 11, "edge", "client 7", "200 bootstrap"),
    sent(1049.2, 15, "client 7", "gateway 3", "dial"),
    sent(1066.2, 16, "gateway 3", "client 7", "connection.ack"),
    *[sent(1082.2, 16, "client 7", "gateway 3", f"subscribe c{k} from {7 * k}") for k in range(1, 21)],
    *[sent(1100 + k, 16 + k, "gateway 3", "client 7", f"event c12 #{k}") for k in (18, 19)],
    lost(4000, "gateway 3", "client 7", "ping"),
    note(29_000, "client 7", "state live -> backoff (FAIL)"),
]
BEATS = [
    step
    for k in range(12)
    for step in (sent(1000 + 25_000 * k, 16, "gateway 3", "client 7", "ping"), sent(1016 + 25_000 * k, 16, "client 7", "gateway 3", "pong"))
]


# ---------------------------------------------------------------------------------------------------------------------------- text


def test_a_session_reads_from_top_to_bottom() -> None:
    chart = """
             at    delay  client 7                           edge          gateway 3
         1.000s           ◆ state idle -> bootstrap (START)  │             │
                 +14.2ms  ├─ GET bootstrap ─────────────────▶│             │
         1.014s    +11ms  │◀─ 200 bootstrap ─────────────────┤             │
         1.049s    +15ms  ├─ dial ───────────────────────────┼────────────▶│
         1.066s    +16ms  │◀─ connection.ack ────────────────┼─────────────┤
         1.082s    +16ms  ├─ subscribe c1…20 from 7…140 × 20 ┼────────────▶│
         1.118s    ≤35ms  │◀─ event c12 #18/19 × 2 in 1ms ───┼─────────────┤
            2.881s later  ⋮                                  ⋮             ⋮
         4.000s     lost  │✕─ ping ──────────────────────────┼─────────────┤
               25s later  ⋮                                  ⋮             ⋮
        29.000s           ◆ state live -> backoff (FAIL)     │             │
    """
    looks_like(text(SESSION, width=90), chart)


def test_arrows_cross_the_lifelines_between_and_the_last_participant_is_noted_at_its_left() -> None:
    steps = [
        sent(0, 1, "a", "b", "x"), sent(1, 1, "b", "c", "x"), sent(2, 1, "c", "d", "x"), sent(200, 3, "a", "d", "over b and c"), sent(203, 3, "d", "a", "back"),
        lost(206, "a", "d", "gone"), note(207, "d", "at the right edge, so it is told at the left"),
    ]  # fmt: skip
    chart = """
            at  delay  a         b         c         d
        0.000s   +1ms  ├─ x ────▶│         │         │
        0.001s   +1ms  │         ├─ x ────▶│         │
        0.002s   +1ms  │         │         ├─ x ────▶│
        0.200s   +3ms  ├─ over b and c ────┼────────▶│
        0.203s   +3ms  │◀─ back ─┼─────────┼─────────┤
        0.206s   lost  ├─ gone ──┼─────────┼────────✕│
        0.207s         │ at the right edge, so it is ◆
                       │         │  told at the left │
    """
    looks_like(text(steps, width=70), chart)


def test_a_label_that_does_not_fit_stands_above_its_arrow_and_loses_its_middle_at_last() -> None:
    label = "a message far too long for the lifelines it runs between, whose end is told"
    chart = """
            at  delay  client 7    gateway 3
        0.200s   +1ms  │ a message │
                       │ far too   │
                       │ long…told │
                       ├──────────▶│
        0.300s   +1ms  │◀─ short ──┤
    """
    looks_like(text([sent(200, 1, "client 7", "gateway 3", label), sent(300, 1, "gateway 3", "client 7", "short")], width=38), chart)


def test_wide_characters_take_two_cells_and_control_characters_move_no_cursor() -> None:
    steps = [sent(0, 1, "客户端 7", "網関 3", "発言 ｃ2"), note(200, "客户端 7", "é e\u0301 界 \x1b[2J\n\u202e done")]
    chart = """
            at  delay  客户端 7              網関 3
        0.000s   +1ms  ├─ 発言 ｃ2 ─────────▶│
        0.200s         ◆ é e\u0301 界 ␛[2J � done  │
    """
    looks_like(text(steps, width=60), chart)


def test_heartbeats_take_turns_in_two_rows() -> None:
    chart = """
            at  delay  gateway 3                           client 7
        1.000s  +16ms  ├─ ping × 12 by turns in 4.583min ─▶│
        1.016s  +16ms  │◀─ pong × 12 by turns in 4.583min ─┤
    """
    looks_like(text(BEATS), chart)


def test_unfolded_every_step_has_its_row_and_silences_are_told() -> None:
    chart = """
             at  delay  client 7  gateway 3
         1.000s  +16ms  │◀─ ping ─┤
         1.016s  +16ms  ├─ pong ─▶│
          24.98s later  ⋮         ⋮
        26.000s  +16ms  │◀─ ping ─┤
        26.016s  +16ms  ├─ pong ─▶│
    """
    looks_like(text(BEATS[:4], fold=False, order=["client", "gateway"]), chart)
    assert "later" not in text(BEATS[:4], quiet=25 * SECOND)


def test_folding_hides_no_number_among_few_and_gives_the_bounds_of_many() -> None:
    def label_of(*numbers: int) -> str:
        return text([note(k, "edge", f"answer {number}") for k, number in enumerate(numbers)]).splitlines()[1]

    assert "answer 200/503 × 3 in 2ms" in label_of(200, 503, 200)
    assert "answer 7…100 × 5 in 4ms" in label_of(100, 7, 8, 99, 98)
    assert "answer 5 × 2 in 1ms" in label_of(5, 5)


def test_what_differs_in_more_than_numbers_is_not_folded() -> None:
    steps = [
        sent(0, 1, "a", "b", "ping"),
        lost(1, "a", "b", "ping"),
        sent(2, 1, "b", "a", "ping"),
        sent(3, 1, "b", "a", "ping 1"),
        sent(4, 1, "b", "a", "pong 1"),
    ]
    assert "×" not in text(steps)


def test_the_time_is_finer_in_a_short_chart() -> None:
    def first_time(span: int) -> str:
        return text([Step(SECOND + 1, SECOND + 2, "a", "b", "x"), Step(SECOND + 1 + span, LOST, "a", "b", "y")]).splitlines()[1].split()[0]

    assert [first_time(span) for span in (SECOND, SECOND // 100, 1000)] == ["1.000s", "1.000000s", "1.000000001s"]


def test_steps_are_shown_by_their_time_and_at_one_instant_as_they_were_given() -> None:
    backwards = text(SESSION[::-1], fold=False, order=["client"]).splitlines()
    assert "GET bootstrap" in backwards[1] and "state idle" in backwards[2] and backwards[1].startswith(" 1.000s") and "1.000s" not in backwards[2]
    by_label = text(sorted(SESSION, key=lambda step: step.what), fold=False, order=["client"]).splitlines()
    assert "state live" in by_label[-1] and "dial" in by_label[4]


def test_participants_stand_as_ordered_then_as_they_appear_and_their_names_come_again() -> None:
    steps = [sent(k, 1, "replay", "gateway 3", "x" * k) for k in range(60)] + [sent(99, 1, "client 7", "clients", "y")]
    headings = [line.split()[2:] for line in text(steps, order=["client", "gateway"], width=160).splitlines() if "delay" in line]
    assert headings == [["client", "7", "gateway", "3", "replay", "clients"]] * 2


def test_a_width_that_cannot_hold_the_participants_is_refused_with_the_least_that_can() -> None:
    steps = [sent(k, 1, f"client {k}", "edge", "x") for k in range(7)]
    with pytest.raises(Refusal, match="a width of at least") as caught:
        text(steps, width=20)
    least = int(re.findall(r"\d+", caught.value.cure)[0])
    assert least <= 100 and max(map(len, text(steps, width=least).splitlines())) <= least
    with pytest.raises(Refusal):
        text(steps, width=least - 1)


def test_no_steps_make_a_chart_too() -> None:
    assert text([]) == "no steps\n" and mermaid([]) == "sequenceDiagram\n"


def test_select_takes_participants_and_a_span() -> None:
    assert select(SESSION) == SESSION
    assert {step.what for step in select(SESSION, "edge", "replay")} == {"GET bootstrap", "200 bootstrap"}
    assert [step.what for step in select(SESSION, "client 7", first=1119 * MS, last=4000 * MS)] == ["event c12 #19", "ping"]


# ------------------------------------------------------------------------------------------------------------------------- mermaid


def test_the_same_session_in_mermaid() -> None:
    source = """
        sequenceDiagram
            participant p0 as client 7
            participant p1 as edge
            participant p2 as gateway 3
            Note over p0: 1.000s state idle -#62; bootstrap (START)
            p0->>p1: 1.000s GET bootstrap (+14.2ms)
            p1->>p0: 1.014s 200 bootstrap (+11ms)
            p0->>p2: 1.049s dial (+15ms)
            p2->>p0: 1.066s connection.ack (+16ms)
            p0->>p2: 1.082s subscribe c1…20 from 7…140 × 20 (+16ms)
            p2->>p0: 1.118s event c12 #35;18/19 × 2 in 1ms (≤35ms)
            Note over p0,p2: 2.881s later
            p2-xp0: 4.000s ping (lost)
            Note over p0,p2: 25s later
            Note over p0: 29.000s state live -#62; backoff (FAIL)
    """
    looks_like(mermaid(SESSION), source)


LINE = re.compile(
    r"    (?:participant (?P<name>p\d+) as |(?P<source>p\d+)(?P<arrow>->>|-x)(?P<target>p\d+): |Note over (?P<place>p\d+)(?:,p\d+)?: )(?P<label>.+)"
)
ENTITY = re.compile(r"#(\d+);")


def parsed(source: str) -> tuple[list[str], list[tuple[str, str, str, str]]]:
    """The names and the messages (source, arrow, target, label) of what `mermaid` writes; anything else fails.

    What may stand in a label bare follows Mermaid's grammar and what it does before it parses: no comment (# %%), no end of a statement (; or a
    line end), no directive, tag, formula or `wrap:`, and none of the marks that it puts in place of entities.
    """
    first, *lines = source.removesuffix("\n").split("\n")
    assert first == "sequenceDiagram"
    names: list[str] = []
    messages: list[tuple[str, str, str, str]] = []
    for line in lines:
        match = LINE.fullmatch(line)
        assert match, line
        assert not set(ENTITY.sub("", match["label"])) & set('#;:%{}<>&"`$@\\|[]ﬂ¶') and match["label"].isprintable()
        label = ENTITY.sub(lambda code: chr(int(code[1])), match["label"])
        if match["name"]:
            assert match["name"] == f"p{len(names)}" and not messages
            names.append(label)
        else:
            ends = (match["source"] or match["place"], match["target"] or match["place"])
            assert all(int(end[1:]) < len(names) for end in ends)
            messages.append((ends[0], match["arrow"] or "note", ends[1], label))
    return names, messages


# -------------------------------------------------------------------------------------------------------------------------- hostile

TRAPS = [
    "end", "style a:#b;", "%%", "%%{init: {}}%%", "#35;", "&lt;", "<br/>", "\n", "\r\n", "\u2028", ":wrap:", "ﬂ°°35¶ß", "$$x$$", "p0->>p1: x", "```",
    "participant p9", "\x1b[2J", "\u202e", "\ud800", "e\u0301", "\u0301", "界", "ｗ", "│", "▶", "\t", "\\", "@{}", "12",
]  # fmt: skip
HOSTILE = st.lists(st.sampled_from(TRAPS) | st.text(st.characters(exclude_categories=()), max_size=30), max_size=5).map(" ".join)


@st.composite
def hostile_steps(draw: st.DrawFn) -> list[Step]:
    names = draw(st.lists(HOSTILE, min_size=1, max_size=8, unique=True))
    count = draw(st.integers(1, 12))
    steps = []
    for k in range(count):
        at = draw(st.integers(0, 10**13))
        source, target = draw(st.sampled_from(names)), draw(st.sampled_from(names))
        arrives = draw(st.sampled_from([at, at + 1, at + 123_456_789, LOST]))
        steps.append(Step(at, arrives, source, target, f"s{k} {draw(HOSTILE)}"))
    return steps


def cells(line: str) -> int:
    """How many cells of a terminal a line takes, by the East Asian width of its characters."""
    return sum(0 if unicodedata.category(c) in ("Mn", "Me") else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)


@QUICK
@given(hostile_steps(), st.booleans(), st.integers(110, 300))
def test_no_line_of_text_is_too_wide_or_broken_and_every_step_appears(steps: list[Step], fold: bool, width: int) -> None:
    chart = text(steps, fold=fold, width=width)
    assert chart == text(list(steps), fold=fold, width=width)
    lines = chart.removesuffix("\n").split("\n")
    assert all(cells(line) <= width and line.isprintable() for line in lines)
    if not fold:
        assert all(re.search(rf"s{k}(?!\d)", chart) for k in range(len(steps)))


@QUICK
@given(hostile_steps())
def test_no_label_breaks_out_of_the_mermaid_source(steps: list[Step]) -> None:
    names, messages = parsed(mermaid(steps, fold=False, quiet=10**18))
    assert len(names) == len({name for step in steps for name in (step.source, step.target)})
    assert len(messages) == len(steps)
    for step, (source, arrow, target, label) in zip(sorted(steps, key=lambda step: step.at), messages):
        assert (source == target) == (step.source == step.target)
        assert arrow == ("note" if source == target else "-x" if step.arrives == LOST else "->>")
        if step.what.isprintable():
            assert re.sub(r"^\S+ ", "", label).startswith(" ".join(step.what.split()))


PLAIN_STEPS = st.lists(
    st.tuples(st.integers(0, 30), st.sampled_from("abc"), st.sampled_from("abc"), st.sampled_from(["ping", "event 1", "event 2"])), min_size=1
)


@QUICK
@given(PLAIN_STEPS)
def test_folding_loses_no_step(drawn: list[tuple[int, str, str, str]]) -> None:
    steps = [sent(at, 1 if source != target else 0, source, target, what) for at, source, target, what in drawn]
    counts = [int(count[0]) if (count := re.findall(r"× (\d+)", line)) else 1 for line in text(steps, width=300).splitlines() if re.search("ping|event", line)]
    assert sum(counts) == len(steps)
    _, messages = parsed(mermaid(steps, quiet=10**18))
    assert len(messages) == len(counts)
