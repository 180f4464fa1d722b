"""The command line: what it prints, and with which code it ends."""

import dataclasses
import json
import os
import signal

import pytest

from simfabric import cli, facade
from simfabric.planning import fitting

SMALL = "version: 1\nname: small\nrun: {duration: 3s, warmup: 1s}\nclients: {count: 20}\n"
JSON_KEYS = {
    "digest", "simulated_s", "wall_s", "window_s", "lookahead_s", "connections", "published", "delivered", "deliveries_per_wall_s", "dropped", "in_flight",
    "offline", "delay", "lag_max", "utilisation", "bottleneck", "slo", "laws",
}  # fmt: skip


@pytest.fixture
def small(tmp_path):
    file = tmp_path / "small.yaml"
    file.write_text(SMALL)
    return str(file)


def call(monkeypatch, *arguments):
    """Call the command line in this process; its exit code."""
    monkeypatch.setattr("sys.argv", ["simfabric", *arguments])
    try:
        cli.main()
    except SystemExit as ended:
        return ended.code or 0
    return 0


def test_run_prints_one_screen_with_bottleneck_promises_laws_and_digest(monkeypatch, capsys, small):
    assert call(monkeypatch, "run", small) == cli.RAN
    out = capsys.readouterr().out
    for word in ("small: 3s simulated", "connections   20 open", "bottleneck", "SLO delivery p99", "laws ", "digest"):
        assert word in out
    assert len(out.splitlines()) <= 60


def test_json_has_the_promised_names(monkeypatch, capsys, small):
    assert call(monkeypatch, "run", small, "--json") == cli.RAN
    figures = json.loads(capsys.readouterr().out)
    assert set(figures) >= JSON_KEYS
    assert set(figures["delay"]) >= {"p50_s", "p95_s", "p99_s", "p999_s"}
    assert set(figures["bottleneck"]) == {"component", "utilisation", "headroom"}
    assert set(figures["slo"][0]) == {"name", "target", "value", "met"}
    assert set(figures["laws"]) >= {"checked", "broken"}


def test_quiet_prints_nothing_and_out_keeps_a_result_that_verifies(monkeypatch, capsys, small, tmp_path):
    from simfabric.running.saving import load_saved

    assert call(monkeypatch, "run", small, "--quiet", "--out", str(tmp_path / "result")) == cli.RAN
    assert capsys.readouterr().out == ""
    manifest, tables = load_saved(tmp_path / "result")
    assert manifest["figures"]["name"] == "small" and set(tables) == {"timeline", "placement", "gateways", "messages", "delays", "stages", "events"}


def test_a_seed_changes_the_digest_and_the_same_seed_does_not(monkeypatch, capsys, small):
    digests = []
    for seed in ("5", "5", "6"):
        call(monkeypatch, "run", small, "--json", "--seed", seed)
        digests.append(json.loads(capsys.readouterr().out)["digest"])
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--set", "gateways.cuont=3"], "did you mean"),
        (["--set", "gateways.count=0"], "--set gateways.count"),
        (["--window", "never"], "run.window"),
        (["--seed", "-1"], "run.seed"),
    ],
)
def test_a_wrong_setting_ends_with_2_and_says_where(monkeypatch, capsys, small, arguments, told):
    assert call(monkeypatch, "run", small, *arguments) == cli.WRONG
    captured = capsys.readouterr()
    assert told in captured.err and "cure" in captured.err and "Traceback" not in captured.err


def test_a_wrong_file_ends_with_2_and_tells_every_problem(monkeypatch, capsys, tmp_path):
    file = tmp_path / "wrong.yaml"
    file.write_text("version: 1\nclients: {count: many}\ngatways: {}\n")
    assert call(monkeypatch, "run", str(file)) == cli.WRONG
    err = capsys.readouterr().err
    assert "wrong.yaml:2:" in err and "wrong.yaml:3:" in err


def test_a_missing_file_or_a_wrong_command_ends_with_2(monkeypatch, capsys, tmp_path):
    assert call(monkeypatch, "run", str(tmp_path / "nowhere.yaml")) == cli.WRONG
    assert call(monkeypatch, "fly") == cli.WRONG
    assert "Traceback" not in capsys.readouterr().err


def test_an_existing_result_is_not_overwritten(monkeypatch, small, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious.txt").write_text("x")
    assert call(monkeypatch, "run", small, "--out", str(tmp_path / "full")) == cli.WRONG


def test_a_broken_law_ends_with_3(monkeypatch, capsys, small):
    from simfabric.kernels import gateways

    original = gateways.finish

    def twice(gateway, core, begins, now, nodes, tally):
        original(gateway, core, begins, now, nodes, tally)
        nodes.busy[gateway] += 1

    monkeypatch.setattr(gateways, "finish", twice)
    assert call(monkeypatch, "run", small) == cli.LAW_BROKEN
    assert "BROKEN        C6" in capsys.readouterr().out


def test_a_missed_promise_ends_with_4_only_when_asked(monkeypatch, capsys, small):
    strict = ["--set", "slo.delivery_p99=1ms", "--set", "clients.count=100", "--set", "run.duration=8s"]
    assert call(monkeypatch, "run", small, *strict) == cli.RAN
    assert call(monkeypatch, "run", small, *strict, "--check-slo") == cli.SLO_MISSED
    assert "MISSED" in capsys.readouterr().out


def test_ctrl_c_keeps_what_was_simulated_marks_it_partial_and_ends_with_130(monkeypatch, capsys, small, tmp_path):
    from simfabric.running import one_run

    original = one_run.Watch.between

    def interrupted(self):
        if self.fabric.world.now >= 1_000_000_000:
            os.kill(os.getpid(), signal.SIGINT)
            monkeypatch.setattr(one_run.Watch, "between", original)

    monkeypatch.setattr(one_run.Watch, "between", interrupted)
    code = call(monkeypatch, "run", small, "--json", "--out", str(tmp_path / "part"))
    figures = json.loads(capsys.readouterr().out)
    assert code == cli.INTERRUPTED and figures["partial"] and 1.0 <= figures["simulated_s"] < 3.0
    assert figures["laws"]["broken"] == []
    assert (tmp_path / "part" / "manifest.json").exists()


def test_a_run_that_cannot_fit_is_refused_with_the_arithmetic(monkeypatch, capsys, small):
    monkeypatch.setattr(fitting, "free_memory", lambda: 1_000_000)
    assert call(monkeypatch, "run", small) == cli.WRONG
    assert "--allow-large" in capsys.readouterr().err
    assert call(monkeypatch, "run", small, "--allow-large", "--quiet") == cli.RAN
    assert call(monkeypatch, "check", small) == cli.WRONG


def test_check_prints_the_plan(monkeypatch, capsys, small):
    assert call(monkeypatch, "check", small) == cli.RAN
    out = capsys.readouterr().out
    assert "memory" in out and "gateways" in out


def test_schema_is_json_and_explain_explains(monkeypatch, capsys):
    assert call(monkeypatch, "schema") == cli.RAN
    assert json.loads(capsys.readouterr().out)["properties"]["gateways"]
    assert call(monkeypatch, "explain", "gateways.count") == cli.RAN
    assert "default" in capsys.readouterr().out
    assert call(monkeypatch, "explain", "gateways.cuont") == cli.WRONG
    assert "gateways.count" in capsys.readouterr().err


def test_version_prints_the_version(monkeypatch, capsys):
    from simfabric import __version__

    assert call(monkeypatch, "version") == cli.RAN
    assert capsys.readouterr().out.strip() == __version__


def test_escape_sequences_in_names_do_not_reach_the_terminal(monkeypatch, capsys, tmp_path):
    from simfabric.running.text import plain

    assert plain("a\x1b[31mb\nc") == "a·[31mb·c"


def test_the_bar_shows_speed_and_deliveries(capsys):
    from simfabric.running import Progress
    from simfabric.topology import loads

    with facade.bar(loads(SMALL)) as told:
        told(Progress(1.0, 3.0, 0.5, 1000))
        told(Progress(2.0, 3.0, 0.0, 1000))
    assert Progress(2.0, 3.0, 0.0, 1).speed == 0.0 and Progress(1.0, 3.0, 0.5, 1).speed == 2.0


def test_a_comparison_prints_its_verdicts_and_writes_its_figures(monkeypatch, capsys, small, tmp_path):
    arguments = ("compare", small, "--vary", "storage.shards=1,2", "--replications", "2", "--metric", "deliveries", "--processes", "1")
    assert call(monkeypatch, *arguments, "--json", str(tmp_path / "figures.json")) == cli.RAN
    assert "deliveries" in capsys.readouterr().out
    assert json.loads((tmp_path / "figures.json").read_text())["replications"] == [0, 1]
    assert call(monkeypatch, *arguments, "--json", str(tmp_path / "no" / "figures.json")) == cli.WRONG
    assert "folder that exists" in capsys.readouterr().err


def test_a_study_that_is_interrupted_prints_what_it_has(monkeypatch, capsys, small):
    from simfabric.planning import many

    runs = []
    run_once = many.run

    def interrupted(topology):
        runs.append(topology)
        if len(runs) == 4:
            raise KeyboardInterrupt
        return run_once(topology)

    monkeypatch.setattr(many, "run", interrupted)
    assert call(monkeypatch, "replicate", small, "--replications", "9", "--metric", "deliveries", "--processes", "1") == cli.INTERRUPTED
    assert "3 replications of 3s" in (out := capsys.readouterr().out) and "PARTIAL" in out


def test_a_study_of_runs_that_break_a_law_ends_with_its_code(monkeypatch, capsys, small):
    from simfabric.planning import grid

    figures = grid.figures
    monkeypatch.setattr(grid, "figures", lambda result, names: dataclasses.replace(figures(result, names), broken=("C1",)))
    assert call(monkeypatch, "replicate", small, "--replications", "2", "--metric", "deliveries", "--processes", "1") == cli.LAW_BROKEN
    assert "BROKEN LAW: C1 (as it is, replication 1)" in capsys.readouterr().out


def test_studies_refuse_what_they_cannot_make(monkeypatch, capsys, small):
    for arguments, told in (
        (("compare", small, "--vary", "storage.shards"), "must be a key, an equals sign and values"),
        (("compare", small, "--vary", "storage.shards=1,2", "--metric", "delay"), "no metric of this name"),
        (("sensitivity", small, "--key", "network.hop=1ms"), "a low and a high value"),
        (("replicate", small, "--replications", "1"), "at least 2"),
    ):
        assert call(monkeypatch, *arguments) == cli.WRONG
        assert told in capsys.readouterr().err


def test_metrics_lists_them(monkeypatch, capsys):
    assert call(monkeypatch, "metrics") == cli.RAN
    assert "delivery.p99" in capsys.readouterr().out
