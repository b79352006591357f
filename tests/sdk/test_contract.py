"""The protobuf contract is imported without the SDK around it, and nobody is the worse for it."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("program", "printed"),
    [
        pytest.param(
            "import sys, perdure._embedded, perdure.worker\n"
            "print('temporalio.service' in sys.modules, 'hpack' in sys.modules,"
            " 'perdure.transport.http2' in sys.modules)",
            "False False False",
            id="a program of ours loads neither their SDK nor a server",
        ),
        pytest.param(
            "import perdure, temporalio, temporalio.api.common.v1 as v1\n"
            "print(bool(temporalio.__version__), temporalio.api.common.v1 is v1)",
            "True True",
            id="what the package defines is there when it is asked for",
        ),
        pytest.param(
            "import perdure, temporalio\nfrom temporalio import client, workflow\n"
            "print(temporalio.client is client, temporalio.service.__name__)",
            "True temporalio.service",
            id="their SDK can be used beside ours",
        ),
        pytest.param(
            "import temporalio\nbefore = temporalio\nimport perdure, temporalio\n"
            "print(temporalio is before, hasattr(temporalio, 'nothing'))",
            "True False",
            id="a package that is imported already is left alone",
        ),
        pytest.param(
            "import perdure, temporalio\nprint(hasattr(temporalio, 'nothing'))",
            "False",
            id="what it does not have it does not get",
        ),
    ],
)
def test_importing(program: str, printed: str) -> None:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == (printed, "")
