import subprocess
import sys

import pytest

import rinr


def test_every_public_name_is_there():
    for name in rinr.__all__:
        assert getattr(rinr, name) is not None
    assert set(rinr.__all__) <= set(dir(rinr))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = rinr.nothing


@pytest.mark.parametrize("module", ["rinr", "rinr.shard", "rinr.presets", "storage.delivery", "flows.pipeline"])
def test_what_only_moves_bytes_loads_neither_torch_nor_dask(module):
    code = f"import {module}, sys; raise SystemExit(bool({{'torch', 'dask'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], timeout=300).returncode == 0
