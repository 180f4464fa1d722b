"""Importing and --help are cheap: what a command does not need is not loaded."""

import json
import subprocess
import sys

import pytest

HEAVY = ("numba", "pandas", "matplotlib", "scipy", "networkx", "dask", "pyarrow")


def modules_after(code):
    """The modules that a fresh interpreter has loaded after running the code."""
    program = f"import sys, json\n{code}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.strip().splitlines()[-1]))


HELP = """
sys.argv = ["simfabric", "--help"]
import contextlib, io
from simfabric.cli import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main()
"""


@pytest.mark.parametrize("code", ["import simfabric", "import simfabric; simfabric.load, simfabric.run", HELP])
def test_importing_and_help_load_nothing_heavy(code):
    assert not modules_after(code) & set(HEAVY)


def test_help_loads_neither_the_engine_nor_the_topology_model():
    assert not modules_after(HELP) & {"numpy", "simpy", "pydantic", "yaml", "simfabric.topology", "simfabric.fabric"}


def test_a_small_run_does_not_load_numba():
    code = "import simfabric as sf; sf.run(sf.loads('version: 1\\nrun: {duration: 2s, warmup: 0s}'), progress=False)"
    assert not modules_after(code) & set(HEAVY)


def test_an_unknown_public_name_is_told_with_the_known_ones():
    import simfabric

    with pytest.raises(AttributeError, match="it has Plan, Result"):
        simfabric.lode  # noqa: B018
