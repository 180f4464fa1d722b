"""The swarm: what it draws, that it notices what is broken, and that it shrinks it."""

import pytest
from typer.testing import CliRunner

from simfabric.cli import LAW_BROKEN, app
from simfabric.kernels import serving
from simfabric.planning.swarm import CHOICES, drawn, fuzz, shrunk, tried
from simfabric.planning.swarm_faults import FAULTS
from simfabric.planning.swarm_words import summary, told


def test_a_seed_is_a_topology_and_most_of_it_is_the_usual_one():
    assert drawn(7) == drawn(7) != drawn(8)
    sizes = [len(drawn(seed)) for seed in range(60)]
    assert 8 < sum(sizes) / 60 < 20 and max(sizes) < len(CHOICES) / 1.5


def test_every_choice_is_one_that_some_topology_takes():
    seen = {(key, value) for seed in range(700) for key, value in drawn(seed).items()}
    assert [(key, value) for key, values in CHOICES.items() for value in values if (key, value) not in seen] == []
    drawn_together = " ".join(value for key, value in seen if key == "faults")
    assert [fault for fault in FAULTS if fault not in drawn_together] == []


SELDOM = {"S4", "S10", "S13", "S16", "S19", "S20", "S24", "L1", "L2", "L5"}  # They take more luck than twelve seeds have.


def test_no_law_breaks_and_nearly_every_law_is_exercised_somewhere():
    swarm = fuzz(12, processes=1)
    assert swarm.failures == () and len(swarm.findings) == 12
    assert {law.split()[0] for law, (held, _, _) in swarm.laws().items() if held == 0} <= SELDOM
    assert "no law broke in 12 seeds" in summary(swarm) and swarm.next == 12


def early(honest):
    """A gateway that drops the last frame of what it is given whenever that is not alone: what it does depends on the window."""

    def serve(frames, first, count, *others):
        return honest(frames, first, count - 1, *others) + 1 if count - first > 3 else honest(frames, first, count, *others)

    return serve


BUGS = {"a gateway that passes frames over": (serving, "serve", early)}


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found_and_shrunk(bug, monkeypatch, tmp_path):
    module, name, wrong = BUGS[bug]
    monkeypatch.setattr(module, name, wrong(getattr(module, name)))
    failure = next(finding for finding in (tried(drawn(seed), seed) for seed in (3, 20, *range(21, 40))) if finding.broken)
    small = shrunk(failure)
    assert failure.broken[0].law in [verdict.law for verdict in small.broken]
    assert len(small.changes) <= 5
    text = told(failure, tmp_path)
    assert f"seed {failure.seed}" in text and (tmp_path / f"seed_{failure.seed}.yaml").read_text().startswith("# Seed")


def test_the_command_says_what_it_looked_at_and_ends_with_three_when_a_law_breaks(monkeypatch, tmp_path):
    runner = CliRunner()
    good = runner.invoke(app, ["fuzz", "--seeds", "2", "--processes", "1", "--out", str(tmp_path)])
    assert good.exit_code == 0 and "no law broke in 2 seeds" in good.stdout and list(tmp_path.iterdir()) == []
    monkeypatch.setattr(serving, "serve", early(serving.serve))
    bad = runner.invoke(app, ["fuzz", "--first-seed", "3", "--seeds", "1", "--processes", "1", "--out", str(tmp_path)])
    assert bad.exit_code == LAW_BROKEN and "is broken" in bad.stdout and len(list(tmp_path.iterdir())) > 0
