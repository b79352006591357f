"""Each rule finds what breaks it, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from perdure._check.checker import check
from perdure._check.rules import ALL
from tests.check.conftest import HEAD, Checked
from tests.tidy.source import ROOT

BROKEN = [
    ("PD101", "import time", "time.time()", "time.time reads the clock"),
    ("PD101", "from time import monotonic as m", "m()", "time.monotonic"),
    ("PD101", "import datetime as dt", "dt.datetime.now(dt.UTC)", "use workflow.now()"),
    ("PD101", "from datetime import datetime", "datetime.utcnow()", "datetime.datetime.utcnow"),
    ("PD101", "from datetime import date", "date.today()", "workflow.now().date()"),
    ("PD101", "import time", "time.strftime('%Y')", "time.strftime"),
    ("PD101", "import time", "call(clock=time.time)", "time.time"),
    ("PD101", "", "import time\ntime.time()", "time.time"),
    ("PD101", "import pendulum", "pendulum.now()", "pendulum.now"),
    ("PD101", "import pandas as pd", "pd.Timestamp.now()", "pandas.Timestamp.now"),
    ("PD102", "import time", "time.sleep(1)", "use workflow.sleep()"),
    ("PD201", "import random", "random.choice(given)", "use workflow.random().choice()"),
    ("PD201", "import uuid", "str(uuid.uuid4())", "use workflow.uuid4()"),
    ("PD201", "import random", "random.Random().random()", "random.Random()"),
    ("PD201", "import numpy as np", "np.random.default_rng()", "numpy.random.default_rng()"),
    ("PD201", "import numpy as np", "np.random.rand(3)", "numpy.random.rand"),
    ("PD201", "import secrets", "secrets.token_hex(3)", "secrets.token_hex"),
    ("PD201", "import os", "os.urandom(4)", "os.urandom"),
    ("PD202", "", "hash(given)", "hash is another number"),
    ("PD301", "", "open('a')", "open touches files: use an activity"),
    ("PD301", "from pathlib import Path", "Path('a').read_text()", "pathlib.Path.read_text"),
    ("PD301", "from pathlib import Path", "p = Path('a')\np.exists()", "pathlib.Path.exists"),
    ("PD301", "import shutil", "shutil.rmtree(given)", "shutil.rmtree"),
    ("PD302", "import requests", "requests.get(given)", "requests.get talks to the network"),
    ("PD302", "import urllib.request", "urllib.request.urlopen(given)", "urllib.request.urlopen"),
    ("PD302", "import asyncio", "await asyncio.open_connection('a', 1)", "open_connection"),
    (
        "PD302",
        "from perdure.client import Client",
        "await Client.connect(given)",
        "use workflow.get_external_workflow_handle(), or an activity",
    ),
    ("PD303", "import sqlite3", "sqlite3.connect('a')", "sqlite3.connect"),
    ("PD304", "", "input()", "a signal or an update"),
    ("PD305", "import os", "os.environ['HOME']", "os.environ"),
    ("PD305", "import os", "os.getenv('HOME')", "os.getenv"),
    ("PD401", "import threading", "threading.Thread(target=print).start()", "threading.Thread"),
    ("PD401", "import asyncio", "await asyncio.to_thread(print)", "asyncio.to_thread"),
    ("PD401", "import asyncio", "asyncio.get_event_loop().run_in_executor(None, print)", "run_in_"),
    ("PD402", "import subprocess", "subprocess.run(['ls'])", "subprocess.run"),
    ("PD402", "import os", "os.system('ls')", "os.system"),
    ("PD501", "", "for one in {'a', 'b'}: pass", "iterating over {'a', 'b'}"),
    ("PD501", "", "names = set(given)\nreturn [n for n in names]", "iterating over names"),
    ("PD501", "", "list(set(given) | given)", "sorted(), or a list or dict"),
    ("PD501", "", "names: set[str] = given\n','.join(names)", "iterating over names"),
    ("PD501", "", "a, b = {given, 'b'}", "iterating over"),
    ("PD501", "", "{given, 'x'}.pop()", "pop()"),
    ("PD501", "", "for k in given.keys() & {'a'}: pass", "iterating over"),
    ("PD501", "import asyncio", "await asyncio.gather(*{given, 'x'})", "iterating over"),
    (
        "PD601",
        "import asyncio",
        "await asyncio.wait([asyncio.gather(x) for x in given])",
        "use workflow.wait()",
    ),
    ("PD601", "import asyncio", "await asyncio.wait({asyncio.Future(), given})", "asyncio.wait"),
    ("PD601", "import asyncio", "asyncio.as_completed(given)", "workflow.as_completed()"),
    (
        "PD601",
        "import asyncio",
        "asyncio.as_completed([self.one(x) for x in given])",
        "workflow.as_completed()",
    ),
    (
        "PD601",
        "import asyncio\nfrom temporalio import workflow",
        "await asyncio.wait(given)",
        "use workflow.wait()",
    ),
    (
        "PD601",
        "import asyncio\nfrom temporalio import workflow",
        "asyncio.as_completed([asyncio.create_task(given)])",
        "asyncio.as_completed",
    ),
    (
        "PD501",
        "import asyncio\nfrom temporalio import workflow",
        "for one in {asyncio.create_task(given)}: pass",
        "iterating over",
    ),
    (
        "PD501",
        "import asyncio",
        "for one in {await asyncio.create_task(x) for x in given}: pass",
        "iterating over",
    ),
    ("PD602", "import asyncio", "asyncio.run(given)", "asyncio.run"),
    ("PD602", "import anyio", "await anyio.sleep(1)", "anyio.sleep"),
    ("PD701", "COUNT = 0", "global COUNT\nCOUNT += 1", "assigning to COUNT"),
    ("PD701", "CACHE = {}", "CACHE[given] = 1", "assigning to CACHE[given]"),
    ("PD701", "SEEN = []", "SEEN.append(given)", "changing SEEN"),
    ("PD701", "class Config: pass", "Config.debug = True", "assigning to Config.debug"),
    ("PD701", "", "type(self).debug = True", "assigning to type(self).debug"),
    ("PD701", "import json", "json.loads = given", "assigning to json.loads"),
    ("PD701", "import itertools\nIDS = itertools.count()", "next(IDS)", "taking from IDS"),
    ("PD801", "@activity.defn\ndef act(): pass", "act()", "workflow.execute_activity()"),
]


@pytest.mark.parametrize(("code", "before", "body", "says"), BROKEN)
def test_what_breaks_a_rule_is_found(
    checked: Checked, code: str, before: str, body: str, says: str
) -> None:
    found = checked(before, body)
    assert [one.rule.code for one in found] == [code]
    assert says in found[0].message
    assert found[0].message.endswith("(in Works.run)")


GOOD = [
    ("import time", "time.localtime(3)\ntime.strftime('%Y', given)"),
    ("import datetime as dt", "dt.datetime.fromisoformat(given)\ndt.timedelta(1)"),
    ("import random", "random.Random(3).random()"),
    ("import random", "workflow.random().choice(given)"),
    ("from datetime import datetime", "x: datetime = given\nreturn x.now"),
    ("import subprocess", "x: subprocess.Popen = given"),
    ("import requests", "try:\n    pass\nexcept requests.HTTPError:\n    pass"),
    ("import time", "time = given\ntime.time()"),
    ("import time", "[time.time() for time in given]"),
    ("", "with workflow.unsafe.sandbox_unrestricted():\n    open('a')"),
    ("", "sorted({given, 'b'})\nlen({given, 'b'})\n'a' in {given, 'b'}"),
    ("", "sorted(x for x in {given, 'b'})\nany([x for x in set(given)])"),
    ("", "names = set(given)\nnames = sorted(names)\nfor n in names: pass"),
    ("", "for n in {1, 2}: pass"),
    ("", "numbers: set[int] = given\nfor n in numbers: pass"),
    ("", "{n for n in {'a', 'b'}}"),
    ("", "for k in {'a': 1}: pass"),
    ("import asyncio", "await asyncio.gather(*given)\nawait asyncio.wait_for(given, 3)"),
    ("import asyncio", "async with asyncio.timeout(1): await workflow.wait(given)"),
    ("import asyncio", "done, left = await asyncio.wait(given)\nfor one in done: pass"),
    ("import asyncio", "for one in {asyncio.create_task(given)}: pass"),
    (
        "import asyncio",
        (
            "tasks = {asyncio.create_task(x) for x in given}\n"
            "for one in tasks: one.cancel()\nfor one in asyncio.as_completed(tasks): await one"
        ),
    ),
    (
        "import asyncio",
        (
            "child = await workflow.start_child_workflow('c')\n"
            "rest = [workflow.start_activity('a'), workflow.start_local_activity('b')]\n"
            "for one in asyncio.as_completed([child, *rest]): await one"
        ),
    ),
    (
        "import asyncio",
        "tasks: set[asyncio.Task[None]] = given\nfor one in tasks: pass",
    ),
    ("CACHE = {}", "CACHE.get(given)\nCACHE[given]"),
    ("SEEN = []", "SEEN = []\nSEEN.append(1)"),
    ("", "self.seen = []\nself.seen.append(1)\nself.config.debug = 1"),
    ("@activity.defn\ndef act(): pass", "await workflow.execute_activity(act, given)"),
    ("from pathlib import Path", "Path('a') / 'b'\nPath('a').name"),
    ("import numpy as np", "np.random.default_rng(3)\nnp.random.Generator(np.random.PCG64(3))"),
    ("", "try:\n    pass\nexcept ValueError as id:\n    return id"),
    ("", "match given:\n    case {'id': id, **hash} | [id, *hash]:\n        return id, hash"),
    ("", "if (hash := given): return hash"),
]


@pytest.mark.parametrize(("before", "body"), GOOD)
def test_what_breaks_no_rule_is_left_alone(checked: Checked, before: str, body: str) -> None:
    assert [one.message for one in checked(before, body)] == []


def test_arguments_that_are_called_like_builtins_are_arguments(checked: Checked) -> None:
    before = (
        "@workflow.defn\nclass Other:\n"
        "    def __init__(self, input, id):\n"
        "        self.state = input.state\n"
        "        self.id = id\n"
        "        hash = input.hash\n"
        "        self.hash = hash\n"
        "    async def run(self, input, id):\n"
        "        self.state.nodes['a'] = self.state.closed = self.id.x = 1\n"
        "        return self.id, self.hash\n"
    )
    assert [one.message for one in checked(before, "pass")] == []


def test_attributes_are_what_the_arguments_are_that_they_were_made_of(checked: Checked) -> None:
    before = (
        "from pathlib import Path\n"
        "@workflow.defn\nclass Other:\n"
        "    def __init__(self, path: Path, names: set[str]):\n"
        "        self.path, self.given = path, names\n"
        "        self.path = path\n"
        "        self.names = names\n"
        "    async def run(self):\n"
        "        self.path.exists()\n"
        "        for one in self.names: pass\n"
    )
    assert [one.rule.code for one in checked(before, "pass")] == ["PD301", "PD501"]


def test_what_a_block_is_entered_and_left_by_is_read(checked: Checked) -> None:
    found = checked(
        "from shop import Timed",
        "async with Timed() as timed:\n    pass",
        {
            "shop.py": "import random, time\n"
            "class Timed:\n"
            "    async def __aenter__(self):\n        time.time()\n"
            "    async def __aexit__(self, *raised):\n        random.random()\n"
        },
    )
    assert [one.rule.code for one in found] == ["PD101", "PD201"]


def test_calls_are_followed_into_the_projects_modules(checked: Checked) -> None:
    found = checked(
        "from shop import Basket, prices\nfrom shop.helpers import stamp",
        "basket = Basket(given)\nbasket.add(1)\nprices.cheapest(given)\nmap(stamp, given)",
        {
            "shop/__init__.py": "from .basket import Basket\nfrom . import prices\n",
            "shop/basket.py": (
                "import uuid\nfrom dataclasses import dataclass, field\n\n@dataclass\n"
                "class Basket:\n"
                "    what: str\n    id: str = field(default_factory=uuid.uuid4)\n"
                "    def add(self, n):\n        self._log()\n"
                "    def _log(self):\n        open('log')\n"
            ),
            "shop/prices.py": (
                "import time\ndef cheapest(x):\n    return time.time()\n"
                "def unused():\n    return time.time()\n"
            ),
            "shop/helpers.py": (
                "from datetime import datetime\ndef stamp(x):\n    return datetime.now()\n"
            ),
        },
    )
    told = [(one.path.name, one.line, one.rule.code, one.via) for one in found]
    assert told == [
        ("basket.py", 7, "PD201", ("Works.run", "Basket")),
        ("basket.py", 11, "PD301", ("Works.run", "Basket.add", "Basket._log")),
        ("helpers.py", 3, "PD101", ("Works.run", "stamp")),
        ("prices.py", 3, "PD101", ("Works.run", "cheapest")),
    ]


def test_what_a_workflow_inherits_is_its_code_too(checked: Checked) -> None:
    text = "import time\nclass Base:\n    def helper(self):\n        return time.time()\n"
    (Path("base.py")).write_text(text)
    Path("flows.py").write_text(
        f"{HEAD}from base import Base\n@workflow.defn\nclass Works(Base):\n    x = 1\n"
    )
    assert [one.path.name for one in check([Path("flows.py")])] == ["base.py"]


def test_only_workflow_code_is_checked(checked: Checked) -> None:
    before = (
        "import time\n@activity.defn\ndef act():\n    time.time()\ndef free():\n    time.time()"
    )
    assert checked(before, "pass") == []


@pytest.mark.parametrize("options", ["(sandboxed=False)", "(name='x', sandboxed=False)"])
def test_an_unguarded_workflow_is_its_authors_business(checked: Checked, options: str) -> None:
    Path("flows.py").write_text(
        f"{HEAD}@workflow.defn{options}\nclass Works:\n    def run(self):\n        open('a')\n"
    )
    assert check([Path("flows.py")]) == []


def test_workflows_of_the_official_sdk_are_checked_too(checked: Checked) -> None:
    Path("flows.py").write_text(
        "from temporalio import workflow as w\n@w.defn(name='x')\nclass Works:\n"
        "    def run(self):\n        open('a')\n"
    )
    assert [one.rule.code for one in check([Path("flows.py")])] == ["PD301"]


def test_functions_that_call_each_other_are_read_once(checked: Checked) -> None:
    before = "def a():\n    b()\n    open('x')\ndef b():\n    a()\n"
    assert [one.line for one in checked(before, "a()\nb()")] == [4]


SUPPRESSED = [
    ("open('a')  # perdure: ignore[PD301] read by a test only", []),
    ("open('a')  # perdure: ignore[PD301, PD101] - both", []),
    ("# perdure: ignore[PD301] read by a test only\nopen('a')", []),
    ("open('a')  # perdure: ignore[PD301]", ["PD001", "PD301"]),
    ("open('a')  # perdure: ignore[PD301]  --", ["PD001", "PD301"]),
    ("open('a')  # perdure: ignore", ["PD001", "PD301"]),
    ("open('a')  # perdure: ignore[PD101] wrong one", ["PD002", "PD301"]),
    ("given  # perdure: ignore[PD101] not needed", ["PD002"]),
    ("x = '''\n# perdure: ignore[PD101]\n'''", []),
]


@pytest.mark.parametrize(("body", "codes"), SUPPRESSED)
def test_a_finding_is_suppressed_with_a_reason_only(
    checked: Checked, body: str, codes: list[str]
) -> None:
    assert sorted(one.rule.code for one in checked("", body)) == codes


def test_what_is_nested_too_deeply_is_told(checked: Checked, tmp_path: Path) -> None:
    [found] = checked("", f"return {'+'.join(['given'] * 900)}")
    assert (found.rule.code, found.line) == ("PD000", 5)
    assert found.message == "what is nested too deeply cannot be read as Python (in Works.run)"
    Path(tmp_path, "flows.py").write_text(f"x = {'+'.join(['1'] * 9000)}\n")
    [found] = check([tmp_path])
    assert (found.rule.code, found.line) == ("PD000", 1)


def test_a_file_that_is_no_python_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def (")
    (tmp_path / "b.py").write_bytes(b"x = '\xff'")
    (tmp_path / "c.py").write_bytes(b"x = '\x00'")
    (tmp_path / "directory.py").mkdir()
    found = check([tmp_path])
    assert [(one.path.name, one.rule.code) for one in found] == [
        ("a.py", "PD000"),
        ("b.py", "PD000"),
        ("c.py", "PD000"),
    ]


def test_every_rule_is_tested_and_told() -> None:
    page = (ROOT / "docs/determinism.md").read_text()
    tested = {code for code, *_ in BROKEN} | {"PD000", "PD001", "PD002"}
    assert {rule.code for rule in ALL} == tested
    for rule in ALL:
        assert f"| {rule.code} |" in page, rule.code
