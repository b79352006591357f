"""The rules: what workflow code may not do, and what to do instead.

A rule is a number and a sentence. What it is about stands in tables of dotted names: exact ones,
and packages all of whose functions do the same. The rules are told to people in
docs/determinism.md.
"""

from __future__ import annotations

from typing import NamedTuple


class Rule(NamedTuple):
    """A number for searching and suppressing, and what is wrong."""

    code: str
    what: str


SYNTAX = Rule("PD000", "cannot be read as Python")
NO_REASON = Rule("PD001", "suppresses a finding without a reason")
UNUSED = Rule("PD002", "suppresses nothing")
CLOCK = Rule("PD101", "reads the clock of the machine")
SLEEP = Rule("PD102", "blocks the worker's thread, and is not recorded")
RANDOM = Rule("PD201", "is random: it comes out differently on replay")
IDENTITY = Rule("PD202", "is another number in each process")
FILES = Rule("PD301", "touches files")
NETWORK = Rule("PD302", "talks to the network")
DATABASE = Rule("PD303", "talks to a database")
CONSOLE = Rule("PD304", "waits for somebody at the console")
ENVIRONMENT = Rule("PD305", "depends on the worker's machine or environment")
THREAD = Rule("PD401", "runs in a thread: its result comes at another time on replay")
PROCESS = Rule("PD402", "starts or controls a process")
SET_ORDER = Rule("PD501", "takes the elements of a set in an order that differs between processes")
ASYNCIO_ORDER = Rule("PD601", "tells in an order that differs between processes")
ASYNCIO_LOOP = Rule("PD602", "needs another event loop than the workflow's")
GLOBAL = Rule("PD701", "changes what all workflows of the worker share, and replays change again")
ACTIVITY = Rule("PD801", "runs an activity within the workflow, without record or retries")

ALL = (
    SYNTAX,
    NO_REASON,
    UNUSED,
    CLOCK,
    SLEEP,
    RANDOM,
    IDENTITY,
    FILES,
    NETWORK,
    DATABASE,
    CONSOLE,
    ENVIRONMENT,
    THREAD,
    PROCESS,
    SET_ORDER,
    ASYNCIO_ORDER,
    ASYNCIO_LOOP,
    GLOBAL,
    ACTIVITY,
)

_NOW = "workflow.now()"
_TIME = "workflow.time()"
_DRAW = "workflow.random()"
_ACT = "an activity"

Entry = tuple[Rule, str]
"""What is broken, and what to use instead."""


_CLIENT: Entry = (NETWORK, "workflow.get_external_workflow_handle(), or an activity")


def _each(module: str, names: str, rule: Rule, instead: str) -> dict[str, Entry]:
    return {f"{module}.{name}": (rule, instead) for name in names.split()}


EXACT: dict[str, Entry] = {
    **_each("time", "time monotonic perf_counter process_time thread_time", CLOCK, _TIME),
    **_each("time", "time_ns monotonic_ns perf_counter_ns", CLOCK, "workflow.time_ns()"),
    "time.sleep": (SLEEP, "workflow.sleep()"),
    **_each("datetime.datetime", "now utcnow today", CLOCK, _NOW),
    "datetime.date.today": (CLOCK, f"{_NOW}.date()"),
    **_each("time", "localtime gmtime ctime strftime", CLOCK, f"{_NOW}, or give a time"),
    **_each("pendulum", "now today tomorrow yesterday", CLOCK, _NOW),
    **_each("arrow", "now utcnow", CLOCK, _NOW),
    **_each("pandas.Timestamp", "now utcnow today", CLOCK, _NOW),
    **_each("django.utils.timezone", "now", CLOCK, _NOW),
    "uuid.uuid4": (RANDOM, "workflow.uuid4()"),
    "uuid.uuid1": (RANDOM, "workflow.uuid4()"),
    "os.urandom": (RANDOM, f"{_DRAW}.randbytes()"),
    "os.getrandom": (RANDOM, f"{_DRAW}.randbytes()"),
    **{
        f"random.{name}": (RANDOM, f"{_DRAW}.{name}()")
        for name in [
            "random",
            "uniform",
            "triangular",
            "randint",
            "randrange",
            "getrandbits",
            "randbytes",
            "choice",
            "choices",
            "shuffle",
            "sample",
            "gauss",
            "normalvariate",
            "lognormvariate",
            "expovariate",
            "betavariate",
            "gammavariate",
            "paretovariate",
            "vonmisesvariate",
            "weibullvariate",
            "binomialvariate",
            "seed",
        ]
    },
    "random.SystemRandom": (RANDOM, _DRAW),
    "builtins.hash": (IDENTITY, "hashlib, or the value itself"),
    "builtins.id": (IDENTITY, "an id of your own"),
    "builtins.open": (FILES, _ACT),
    "io.open": (FILES, _ACT),
    "builtins.input": (CONSOLE, "a signal or an update"),
    "builtins.breakpoint": (CONSOLE, "a replay under the debugger"),
    **_each(
        "os",
        "open read write listdir scandir walk remove unlink rename replace mkdir makedirs rmdir "
        "removedirs stat lstat chmod chown link symlink readlink truncate utime",
        FILES,
        _ACT,
    ),
    **_each(
        "os.path",
        "exists lexists isfile isdir islink ismount getsize getmtime getatime getctime realpath",
        FILES,
        _ACT,
    ),
    **_each(
        "os",
        "getenv environ getcwd getpid getppid getlogin cpu_count uname",
        ENVIRONMENT,
        "an argument of the workflow",
    ),
    **_each(
        "os",
        "system popen fork forkpty execv execve execvp spawnv spawnl kill posix_spawn _exit abort",
        PROCESS,
        _ACT,
    ),
    **_each("tempfile", "mkstemp mkdtemp NamedTemporaryFile TemporaryFile", FILES, _ACT),
    **_each("tempfile", "TemporaryDirectory gettempdir", FILES, _ACT),
    **_each("threading", "Thread Timer", THREAD, "asyncio.create_task(), or an activity"),
    **_each("threading", "Lock RLock Event Condition Semaphore Barrier", THREAD, "asyncio's"),
    "asyncio.to_thread": (THREAD, _ACT),
    **_each("asyncio", "run new_event_loop Runner run_coroutine_threadsafe", ASYNCIO_LOOP, "await"),
    **_each(
        "asyncio",
        "open_connection start_server open_unix_connection start_unix_server",
        NETWORK,
        _ACT,
    ),
    **_each("asyncio", "create_subprocess_exec create_subprocess_shell", PROCESS, _ACT),
    **{f"{sdk}.client.Client.connect": _CLIENT for sdk in ("perdure", "temporalio")},
    "perdure.embedded": _CLIENT,
    "sys.exit": (PROCESS, "raise ApplicationError, or return"),
    **_each("platform", "node uname platform system machine", ENVIRONMENT, "an argument"),
    "socket.gethostname": (ENVIRONMENT, "an argument of the workflow"),
    "pathlib.Path.cwd": (ENVIRONMENT, "an argument of the workflow"),
    "pathlib.Path.home": (ENVIRONMENT, "an argument of the workflow"),
}
"""Functions, whether they are called or only handed on."""

PACKAGES: dict[str, Entry] = {
    "secrets": (RANDOM, _DRAW),
    "numpy.random": (RANDOM, _DRAW),
    "subprocess": (PROCESS, _ACT),
    "multiprocessing": (PROCESS, _ACT),
    "concurrent.futures": (THREAD, _ACT),
    "shutil": (FILES, _ACT),
    "glob": (FILES, _ACT),
    "aiofiles": (FILES, _ACT),
    **dict.fromkeys(
        (
            "socket",
            "ssl",
            "urllib.request",
            "http.client",
            "smtplib",
            "ftplib",
            "requests",
            "httpx",
            "aiohttp",
            "urllib3",
            "websockets",
            "boto3",
            "aioboto3",
            "botocore",
            "paramiko",
            "grpc",
            "kafka",
            "aiokafka",
            "confluent_kafka",
            "pika",
            "aio_pika",
            "nats",
            "azure",
            "google.cloud",
            "slack_sdk",
            "stripe",
            "openai",
            "anthropic",
        ),
        (NETWORK, _ACT),
    ),
    **dict.fromkeys(
        (
            "sqlite3",
            "psycopg",
            "psycopg2",
            "asyncpg",
            "pymysql",
            "aiomysql",
            "aiosqlite",
            "pymongo",
            "motor",
            "redis",
            "pyodbc",
            "oracledb",
            "mysql.connector",
            "duckdb",
            "elasticsearch",
            "sqlalchemy.create_engine",
            "sqlalchemy.ext.asyncio.create_async_engine",
        ),
        (DATABASE, _ACT),
    ),
    **dict.fromkeys(("trio", "anyio"), (ASYNCIO_LOOP, "asyncio")),
}
"""Packages whose calls all do the same."""

HARMLESS = frozenset(
    {
        "numpy.random.Generator",
        "shutil.Error",
        "socket.timeout",
        "http.client.HTTPException",
        "shutil.get_terminal_size",
        "concurrent.futures.CancelledError",
        "concurrent.futures.TimeoutError",
        "sqlite3.Row",
    }
)
"""Calls into those packages that do nothing of the kind."""

METHODS: dict[str, dict[str, Entry]] = {
    "pathlib.Path": dict.fromkeys(
        [
            "open",
            "read_text",
            "read_bytes",
            "write_text",
            "write_bytes",
            "exists",
            "is_file",
            "is_dir",
            "iterdir",
            "glob",
            "rglob",
            "mkdir",
            "rmdir",
            "unlink",
            "touch",
            "rename",
            "replace",
            "stat",
            "chmod",
            "resolve",
            "samefile",
            "symlink_to",
        ],
        (FILES, _ACT),
    ),
}
"""Methods of objects of these types."""

ANY_METHOD: dict[str, Entry] = {
    "run_in_executor": (THREAD, _ACT),
    "run_until_complete": (ASYNCIO_LOOP, "await"),
    "run_forever": (ASYNCIO_LOOP, "await"),
}
"""Methods that are called the same nowhere else."""

ASYNCIO_SETS: dict[str, Entry] = {
    "asyncio.wait": (ASYNCIO_ORDER, "workflow.wait()"),
    "asyncio.as_completed": (ASYNCIO_ORDER, "workflow.as_completed()"),
}
"""They keep what they are given in sets. The hashes of tasks replay here, and so does the order of
sets of them; with the official SDK they do not."""

UNSEEDED = dict.fromkeys(
    [
        "random.Random",
        "numpy.random.default_rng",
        "numpy.random.RandomState",
        "numpy.random.SeedSequence",
        "numpy.random.PCG64",
        "numpy.random.MT19937",
        "numpy.random.Philox",
    ],
    (RANDOM, _DRAW),
)
"""Random unless they are given a seed."""

TIME_OPTIONAL = {"time.localtime": 1, "time.gmtime": 1, "time.ctime": 1, "time.strftime": 2}
"""They read the clock only when they are given fewer arguments."""


def entry_of(name: str, *, called: bool) -> Entry | None:
    """The rule that a dotted name breaks when it is used in workflow code."""
    found = EXACT.get(name)
    if found is not None or not called or name in HARMLESS or name in UNSEEDED:
        return found
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        package = PACKAGES.get(".".join(parts[:length]))
        if package is not None:
            return None if _is_exception(parts[-1]) else package
    return None


def _is_exception(name: str) -> bool:
    return name.endswith(("Error", "Exception", "Warning", "Timeout"))
