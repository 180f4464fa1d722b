"""What a swarm found, in words, and every failure as a file that shows it."""

from __future__ import annotations

from pathlib import Path

from simfabric.laws.records import LAWS
from simfabric.planning.swarm import AGAIN, COMPLETE, Finding, Swarm, shrunk, topology_of
from simfabric.planning.tables import aligned


def summary(swarm: Swarm) -> str:
    """The laws, each with the runs that exercised it, and the pace."""
    judged = len(swarm.findings)
    rows = [(law, str(held), str(broken), str(unknown)) for law, (held, broken, unknown) in swarm.laws().items()]
    lines = aligned(("law", "held", "broken", "not exercised"), rows, left=1)
    pace = f", {judged / swarm.cpu_s * 3600:.0f} an hour of one core" if swarm.cpu_s > 0 and judged else ""
    failed = f"{len(swarm.failures)} of {judged} seeds broke a law" if swarm.failures else f"no law broke in {judged} seeds"
    lines += ["", f"{failed} (from seed {swarm.first}{pace})"]
    lines += [f"never exercised: {law}" for law, (held, broken, _) in swarm.laws().items() if not held + broken]
    if judged < swarm.asked:
        lines.append(f"interrupted: go on with --first-seed {swarm.next}")
    return "\n".join(lines)


def told(finding: Finding, folder: Path) -> str:
    """A failure, shrunk: what broke, the topology that shows it (written to a file), and the command."""
    small = shrunk(finding)
    broken = small.broken[0]
    file = folder / f"seed_{finding.seed}.yaml"
    comment = f"# Seed {finding.seed}: {broken.law}\n# {broken.detail}\n"
    file.write_text(comment + topology_of(dict(small.changes)).to_yaml(), encoding="utf-8")
    what = ", ".join(f"{key}={value}" for key, value in small.changes if key != "run.seed") or "nothing but the base"
    watched = " --laws" if broken.law in {f"{law.number} {law.sentence}" for law in LAWS} else ""
    command = f"simfabric fuzz --first-seed {finding.seed} --seeds 1" if broken.law in (AGAIN, COMPLETE) else f"simfabric run {file}{watched}"
    return f"seed {finding.seed}: {broken.law} is broken: {broken.detail}\n    takes: {what}\n    again: {command}"
