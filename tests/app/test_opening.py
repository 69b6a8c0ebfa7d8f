"""The executor that settings ask for, however they were made."""

from __future__ import annotations

import pytest

from bids_spheres.app.opening import open_executor
from bids_spheres.execute.local import LocalExecutor
from bids_spheres.settings import Execution, Settings


@pytest.mark.parametrize("executor", [None, "local"])
def test_runs_are_done_on_this_machine_unless_dask_is_asked_for(tmp_path, executor):
    settings = Settings(tmp_path, tmp_path / "out", execution=Execution(executor=executor))
    with open_executor(settings, ["a task"]) as opened:
        assert isinstance(opened, LocalExecutor)
