"""DBOS on SQLite, with its default settings: `python -m bench.dbos_peer ROLE FILE`.

Runs in an environment of its own (see peers.txt). Its hello is a workflow with one step, run to its
end in the process that has everything, as our embedded one. `first` ends with the first result.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from dbos import DBOS, DBOSConfig, SetWorkflowID


@DBOS.step()
async def greet(name: str) -> str:
    """Answer with a greeting; waits for nothing."""
    return f"Hello, {name}!"


@DBOS.workflow()
async def hello(name: str) -> str:
    """One step."""
    return await greet(name)


async def execute(workflow_id: str) -> None:
    """One workflow, to its end."""
    with SetWorkflowID(workflow_id):
        await hello("world")


async def main(role: str, database: Path) -> None:
    """Run phases, or one workflow."""
    config: DBOSConfig = {
        "name": "bench",
        "system_database_url": f"sqlite:///{database}",
        "log_level": "ERROR",
    }
    DBOS(config=config)
    DBOS.launch()
    if role == "first":
        await execute("first")
        print("result", flush=True)
    else:
        from bench.child import Parent
        from bench.phase import run_phases

        await run_phases(Parent(), lambda _workload: execute, (Exception,))
    DBOS.destroy()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
