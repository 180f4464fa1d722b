"""The page of an experiment, in Markdown: the question, the answer in words, the figures with their intervals, and what a person concludes.

All but the question and the conclusion is computed from the findings; the same findings make the same page, to the letter.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence

from simfabric.planning.experiments.findings import Findings
from simfabric.planning.metrics import METRICS, written
from simfabric.planning.study import why_not
from simfabric.running.text import plain
from simfabric.units import format_count, format_duration


def page(findings: Findings, picture: str | None = None) -> str:
    """The page as Markdown text; `picture`: the name of an image beside it."""
    form = findings.experiment.form
    parts = [f"# {_cell(form.title)}", _paragraphs(form.question), f"**Answer.** {headline(findings)}"]
    if picture:
        parts.append(f"![Each metric of each design with its interval]({picture})")
    parts += ["## What the data say", "\n".join(_said(findings)), "## Measured", _measured(findings)]
    differences = _differences(findings)
    if differences:
        parts += [f"## Differences to {_cell(findings.experiment.designs[0])}", differences]
    if form.conclusion.strip():
        parts += ["## Conclusion", _paragraphs(form.conclusion)]
    return "\n\n".join([*parts, "## How it was run", _made(findings)]) + "\n"


def headline(findings: Findings) -> str:
    """The answer by the first metric, in a sentence for each stretch of cases."""
    name = findings.metrics[0]
    return f"By `{name}` ({METRICS[name].better} is better): {_verdicts(findings, name, figures=True)}."


def _said(findings: Findings) -> Iterator[str]:
    """A line for each metric, and one for each two designs that change places."""
    for name in findings.metrics:
        yield f"- `{name}` ({METRICS[name].better} is better): {_verdicts(findings, name)}."
        if findings.experiment.form.across is not None and len(findings.experiment.form.across) == 1:
            for crossing in findings.crossings(name):
                one, other = _cell(crossing.one), _cell(crossing.other)
                yield f"  - {one} is better than {other} up to {_cell(crossing.before)}, {other} is better than {one} from {_cell(crossing.after)} on."


def _verdicts(findings: Findings, name: str, figures: bool = False) -> str:
    """What the data say of a metric; neighbouring cases of which they say the same are told together."""
    cases = findings.experiment.cases
    said = [(case, _says(findings, case, name, figures and len(cases) == 1)) for case in range(len(cases))]
    stretches = [(says, [cases[case].name for case, _ in group]) for says, group in itertools.groupby(said, key=lambda each: each[1])]
    if len(stretches) == 1:
        return stretches[0][0] if len(cases) == 1 else f"in all {len(cases)} cases {stretches[0][0]}"
    return "; ".join(f"{_stretch(names)}: {says}" for says, names in stretches)


def _says(findings: Findings, case: int, name: str, figures: bool) -> str:
    answer = findings.answer(case, name)
    says = _cell(answer.says if len(findings.experiment.cases) == 1 else re.sub(r"; about \d+ replications might", "", answer.says))
    if figures and answer.winner is not None:
        designs = findings.experiment.designs
        best = designs.index(answer.winner)
        says += f", {_value(findings, case, best, name)}"
        if best:
            says += f" ({_cell(designs[0])}: {_value(findings, case, 0, name)})"
    return says


def _stretch(names: Sequence[str]) -> str:
    return _cell(names[0]) if len(names) == 1 else f"{_cell(names[0])} to {_cell(names[-1])}"


def _measured(findings: Findings) -> str:
    """A row for each design of each case: the mean of each metric and half the width of its interval; the best in bold."""
    rows = []
    for case, design, names in _rows(findings):
        cells = []
        for name in findings.metrics:
            text = _value(findings, case, design, name)
            cells.append(f"**{text}**" if findings.answer(case, name).winner == findings.experiment.designs[design] else text)
        rows.append([*names, *cells])
    return _table([*_heads(findings), *(f"`{name}`" for name in findings.metrics)], rows)


def _differences(findings: Findings) -> str:
    """A row for each other design of each case: the paired difference with its interval; in italics where the data do not tell it from nothing."""
    rows = []
    for case, design, names in _rows(findings):
        if design == 0:
            continue
        cells = []
        for name in findings.metrics:
            pair, unit = findings.difference(case, design, name), METRICS[name].unit
            if pair is None:
                cells.append("-")
                continue
            away = pair.difference
            text = f"{written(away.estimate, unit)} [{written(away.low, unit)}, {written(away.high, unit)}]"
            cells.append(text if pair.decided else f"*{text}*")
        rows.append([*names, *cells])
    return _table([*_heads(findings), *(f"`{name}`" for name in findings.metrics)], rows)


def _rows(findings: Findings) -> Iterator[tuple[int, int, list[str]]]:
    """Case, design and the cells that name them."""
    experiment = findings.experiment
    for case, each in enumerate(experiment.cases):
        for design, name in enumerate(experiment.designs):
            yield case, design, [_cell(name)] if len(experiment.cases) == 1 else [_cell(each.name), _cell(name)]


def _heads(findings: Findings) -> list[str]:
    return ["design"] if len(findings.experiment.cases) == 1 else ["case", "design"]


def _value(findings: Findings, case: int, design: int, name: str) -> str:
    """'12.3 ms ± 0.4 ms', or why there is none."""
    interval, unit = findings.interval(case, design, name), METRICS[name].unit
    if interval is None:
        return why_not(findings.of(case, design, name))
    return written(interval.estimate, unit) + (f" ± {written(interval.half_width, unit)}" if interval.half_width else "")


def _made(findings: Findings) -> str:
    """Where the figures come from, and how to make them again."""
    experiment, form = findings.experiment, findings.experiment.form
    runs = len(experiment.cases) * len(experiment.designs) * len(findings.replications)
    arms = [arm.topology for case in experiment.cases for arm in case.arms]
    durations = sorted({topology.run.duration for topology in arms})
    long = format_duration(durations[0]) if len(durations) == 1 else f"{format_duration(durations[0])} to {format_duration(durations[-1])}"
    clients = sorted({topology.clients.count for topology in arms})
    crowd = format_count(clients[0]) if len(clients) == 1 else f"{format_count(clients[0])} to {format_count(clients[-1])}"
    fixed = {**(form.set or {}), **((form.short.set or {}) if experiment.short else {})}
    changed = "".join(f"\n- changed in every run: `{_code(key)}={_code(_compact(value))}`" for key, value in fixed.items())
    made = [f"- `{_code(case.name)}`: {_changes(case.changes)}" for case in experiment.cases if case.changes]
    made += [f"- `{_code(arm.name)}`: {_changes(arm.own)}" for arm in experiment.cases[0].arms]
    return (
        f"`simfabric experiment {_code(experiment.path.name)}{' --short' if experiment.short else ''}` with simfabric {_cell(findings.version)}: "
        f"{runs} runs of {long}, {crowd} clients each, {len(findings.replications)} replications; topology `{_code(form.topology)}`.\n"
        f"Every replication has the same luck in all designs of a case (common random numbers). Intervals are Student's at {form.level:.0%}; "
        f"differences are paired, and all differences between designs of one metric in one case hold together (Bonferroni); "
        f"*italics*: not told from no difference; **bold**: told to be the best.\n{changed}\n" + "\n".join(made)
    )


def _changes(changes: Mapping[str, object]) -> str:
    """Changes as --set takes them."""
    if not changes:
        return "as it is"
    return ", ".join(f"`{_code(key)}={_code(_compact(value))}`" for key, value in changes.items())


def _compact(value: object) -> str:
    """A value in one line of YAML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_compact(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_compact, value)) + "]"
    return str(value)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(text: str) -> str:
    """A name within Markdown: on one line, nothing in it that makes a mark."""
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", plain(text))


def _code(text: str) -> str:
    return plain(text).replace("`", "'").replace("|", "\\|")


def _paragraphs(text: str) -> str:
    """Text of several lines, each made plain, with its paragraphs; markup of HTML is taken for text."""
    return "\n".join(plain(line).replace("<", "&lt;") for line in text.strip().split("\n"))
