"""One cluster and one Seawall for the tests that leave them as they were; factories for those that do not."""

import contextlib

import pytest

from lib.cluster import USERS, Cluster
from lib.proxy import Seawall
from lib.wire import Wire
from lib.witness import WITNESS_CONF, Witness, make_table


@pytest.fixture(scope="session")
def cluster():
    with Cluster(standbys=2, conf=WITNESS_CONF) as running:
        yield running


@pytest.fixture(scope="session")
def seawall(cluster):
    with Seawall(cluster) as running:
        yield running


@pytest.fixture(scope="module")
def narrow(cluster):
    """One worker and one server connection a node: every client shares it with every other."""
    with Seawall(cluster, config={"seawall": {"workers": 1, "default_pool_size": 1}}) as running:
        yield running


@pytest.fixture(scope="module")
def own_cluster():
    """A cluster that a module's tests may pause, stop and kill; each puts it back."""
    with Cluster(standbys=2, conf=WITNESS_CONF) as running:
        yield running


@pytest.fixture
def make_seawall():
    """make_seawall(cluster, config=…, …) starts one for this test alone."""
    with contextlib.ExitStack() as stack:
        yield lambda *args, **kw: stack.enter_context(Seawall(*args, **kw))


@pytest.fixture
def client(seawall):
    with seawall.connect() as connection:
        yield connection


@pytest.fixture(params=["direct", "seawall"])
def server(request):
    """The primary itself, then Seawall: what holds for the one must hold for the other. The first proves the test."""
    return request.getfixturevalue("cluster").primary if request.param == "direct" else request.getfixturevalue(
        "seawall")


@pytest.fixture
def wire(server):
    """A byte-level connection of user app, logged in."""
    with Wire(server.host, server.port) as connection:
        connection.login("app", "app", USERS["app"][0])
        yield connection


@pytest.fixture
def table(cluster):
    """The name of a new table (id int primary key, note text) with rows 1 to 3, replayed everywhere."""
    return make_table(cluster)


@pytest.fixture
def witness(cluster):
    return Witness(cluster)
