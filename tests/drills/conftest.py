from collections.abc import Iterator

import pytest

from orders_api.settings import Settings
from orders_api.storage.migrations import migrate
from tests.drills.cluster import Cluster


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A migrated database on a server of its own."""
    cluster = Cluster().make()
    migrate(Settings(database_url=cluster.url).url)
    yield cluster
    cluster.remove()
