"""A cluster is an executor like any other: the same digests over TLS on two worker processes, and words for people where there is none."""

import contextlib
import socket
import sys

import pytest

from simfabric.planning import cluster as clusters
from simfabric.planning.cluster import ClusterError, cluster, scheduler_or_here
from simfabric.planning.many import run_many
from tests.helpers import topology_of
from tests.planning import dying


def test_without_a_scheduler_runs_are_made_here():
    with scheduler_or_here(None) as executor:
        assert executor is None


@pytest.mark.parametrize("address", ["127.0.0.1:8786", "http://127.0.0.1", "", "tcp"])
def test_an_address_of_another_kind_is_refused(address):
    with pytest.raises(ClusterError, match="must be the address of a Dask scheduler"), cluster(address):
        pass


def test_a_missing_dask_is_told_with_its_cure(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ClusterError, match=r"pip install 'simfabric\[cluster\]'"), cluster("tcp://127.0.0.1:1"):
        pass


@pytest.mark.parametrize(("versions", "told"), [({}, "no workers"), ({"w": "0.0.1"}, r"found 0\.0\.1")])
def test_workers_must_be_there_and_have_this_version(monkeypatch, versions, told):
    class Client:
        def run(self, asked):
            return versions

    monkeypatch.setattr(clusters, "_client", lambda scheduler: contextlib.nullcontext(Client()))
    with pytest.raises(ClusterError, match=told), scheduler_or_here("tcp://127.0.0.1:1"):
        pass


@pytest.mark.filterwarnings("ignore")
def test_a_scheduler_and_two_worker_processes_over_tls_give_the_digests_of_one_process(tmp_path):
    """A dead worker loses nothing: Dask runs again what it had. Needs Dask: pip install -e '.[dev]'."""
    dask = pytest.importorskip("dask")
    distributed = pytest.importorskip("distributed")
    topologies = [topology_of("run: {duration: 1s, warmup: 200ms}\nclients: {count: 20}", run__replication=number) for number in range(6)]
    security = distributed.Security.temporary()
    own = security.get_tls_config_for_role("client")
    tls = {f"distributed.comm.tls.{key}": value for key, value in (("ca-file", own["ca_file"]), ("client.cert", own["cert"]), ("client.key", own["key"]))}
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": ":0", "host": "127.0.0.1"}
    with distributed.LocalCluster(protocol="tls://", security=security, **options) as local, dask.config.set(tls):
        assert local.scheduler_address.startswith("tls://")
        with cluster(local.scheduler_address) as executor:
            assert run_many(topologies, dying.digest, executor=executor) == run_many(topologies, dying.digest, processes=1)
            again = [topology.with_({"description": str(tmp_path / "died")}) for topology in topologies]
            assert run_many(again, dying.dies_once, executor=executor) == list(range(6)) and (tmp_path / "died").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_where_no_scheduler_answers_it_is_told(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(clusters, "PATIENCE", 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ClusterError, match="no scheduler answers there"), cluster(address):
        pass
