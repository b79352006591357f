"""The invariants, one small file each, named in docs by their ids.

A checker is a function from an `Audit` to texts, one per violation. `CHECKERS` is the table of them
all; `check_memory` and `watch_bounds` look at a living engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sim.audit import Audit
from sim.checkers.a1_activities import check as a1
from sim.checkers.a2_attempts import check as a2
from sim.checkers.a4_results import check as a4
from sim.checkers.a5_undelivered import check as a5
from sim.checkers.b1_bounds import left_over, watch_bounds
from sim.checkers.c1_children import check as c1
from sim.checkers.c2_externals import check as c2
from sim.checkers.d1_deployments import check as d1
from sim.checkers.d2_versions import check as d2
from sim.checkers.f1_fences import check as f1
from sim.checkers.f2_outbox import check as f2
from sim.checkers.f3_dispatch import check as f3
from sim.checkers.g1_batches import check as g1
from sim.checkers.h1_event_order import check as h1
from sim.checkers.h2_stable_reads import check as h2
from sim.checkers.h3_fold import check as h3
from sim.checkers.h3_memory import check_memory
from sim.checkers.h4_parses import check as h4
from sim.checkers.h5_replay import check as h5
from sim.checkers.h6_acknowledged import check as h6
from sim.checkers.j1_jobs import check as j1
from sim.checkers.k1_callbacks import check as k1
from sim.checkers.l1_ends import check as l1
from sim.checkers.o1_operations import check as o1
from sim.checkers.o2_standalone import check as o2
from sim.checkers.q1_queries import check as q1
from sim.checkers.r1_retention import check as r1
from sim.checkers.s1_signals import check as s1
from sim.checkers.t1_timers import check as t1
from sim.checkers.t2_fire_times import check as t2
from sim.checkers.t3_wakeups import check as t3
from sim.checkers.t4_closed_runs import check as t4
from sim.checkers.t4_closed_runs import check_buffer as s2
from sim.checkers.u1_updates import check as u1
from sim.checkers.u2_rejections import check as u2
from sim.checkers.v1_lists import check as v1
from sim.checkers.w1_runs import check as w1
from sim.checkers.w2_starts import check as w2
from sim.checkers.w3_chains import check as w3
from sim.checkers.w4_workflow_tasks import check as w4
from sim.checkers.z1_schedules import check as z1

Checker = Callable[[Audit], Iterator[str]]

CHECKERS: dict[str, Checker] = {
    "H1": h1,
    "H2": h2,
    "H3": h3,
    "H4": h4,
    "H5": h5,
    "H6": h6,
    "W1": w1,
    "W2": w2,
    "W3": w3,
    "W4": w4,
    "T1": t1,
    "T2": t2,
    "A1": a1,
    "T3": t3,
    "T4": t4,
    "A2": a2,
    "A4": a4,
    "A5": a5,
    "S1": s1,
    "S2": s2,
    "U1": u1,
    "U2": u2,
    "Q1": q1,
    "C1": c1,
    "C2": c2,
    "O1": o1,
    "O2": o2,
    "K1": k1,
    "J1": j1,
    "F1": f1,
    "F2": f2,
    "F3": f3,
    "D1": d1,
    "D2": d2,
    "G1": g1,
    "Z1": z1,
    "R1": r1,
    "V1": v1,
    "L1": l1,
}

__all__ = ["CHECKERS", "Checker", "check_memory", "left_over", "watch_bounds"]
