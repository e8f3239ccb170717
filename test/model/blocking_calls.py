#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright The Hamgam Authors
"""Exhaustive search of who is let into blocking() (src/sched/blocking.h).

Goroutines enter and leave, park in a queue where there is no place, and are let in by those who leave; the
limit is set meanwhile. Checked: never more inside than the highest limit; when nothing comes next nobody is
parked, and nobody is who could be inside; the count is that of those inside; nobody is overtaken.

usage: blocking_calls.py    runs the protocol and broken variants of it, in which an error must be found:
  early_limit (who queues reads the limit before he locks), setter_lets_nobody_in, overtaking (newcomers look
  at those inside only), leaver_forgets (gives his place back without a look at those who wait), two_words (who
  queues is counted only after he has seen that there is no place)
"""
from explore import check_all, explore


class Model:
    # A state: (inside, waiting, limit, locked, queue, threads). A thread: (pc, left, seen); seen: a limit,
    # or how many waited when it came in.
    def __init__(self, variant, limits, calls):
        self.variant, self.most = variant, max(limits)
        threads = tuple(("out", n, 0) for n in calls) + tuple(("set", n, 0) for n in limits[1:])
        self.first = (0, 0, limits[0], False, (), threads)

    def steps(self, state):
        inside, waiting, limit, locked, queue, threads = state
        variant = self.variant
        for i, (pc, left, seen) in enumerate(threads):
            def to(pc, i=inside, w=waiting, m=limit, k=locked, q=queue, left=left, seen=0, ready=None, me=i):
                changed = list(threads)
                changed[me] = (pc, left, seen)
                if ready is not None:
                    changed[ready] = ("in", changed[ready][1], 0)
                return (i, w, m, k, q, tuple(changed))

            free = inside < seen and (waiting == 0 or variant == "overtaking")
            if pc == "out" and left > 0:
                yield to("try", seen=limit)
            elif pc == "try":  # the compare-and-swap
                if free:
                    yield to("in", i=inside + 1, seen=waiting)
                elif variant == "early_limit":
                    yield to("lock", seen=limit)
                else:
                    yield to("lock")
            elif pc == "lock" and not locked:
                yield to("count" if variant == "early_limit" else "look", k=True, seen=seen)
            elif pc == "look":
                yield to("count", seen=limit)
            elif pc == "count":
                if inside < seen and waiting == 0:
                    yield to("in", i=inside + 1, k=False)
                elif variant == "two_words":
                    yield to("late")
                else:
                    yield to("push", w=waiting + 1)
            elif pc == "late":
                yield to("push", w=waiting + 1)
            elif pc == "push":  # unlocked by whoever runs next, once it is parked
                yield to("parked", q=queue + (i,), k=False)
            elif pc == "in":
                lets = waiting > 0 and variant != "leaver_forgets"
                yield to("let" if lets else "out", i=inside - 1, left=left - 1)
            elif pc == "set":
                yield to("out" if variant == "setter_lets_nobody_in" else "let", m=left, left=0)
            elif pc == "let" and not locked:
                yield to("let_look", k=True)
            elif pc == "let_look":
                yield to("let_in", seen=limit)
            elif pc == "let_in":
                if waiting == 0 or inside >= seen:
                    yield to("out", k=False)
                else:
                    yield to("let", i=inside + 1, w=waiting - 1, q=queue[1:], k=False, ready=queue[0])

    def wrong(self, state, rests):
        inside, waiting, limit, _, queue, threads = state
        if inside > self.most:
            return "more inside than the limit"
        if any(pc == "in" and seen for pc, _, seen in threads):
            return "one is overtaken"
        if all(pc in ("in", "out", "parked") for pc, _, _ in threads):
            if inside != sum(pc == "in" for pc, _, _ in threads):
                return "a wrong count"
            if queue and inside < limit:  # those inside may wait for him
                return "one is forgotten"
        if rests and queue:
            return "one sleeps for ever"
        return ""


def main():
    runs = []
    for variant in ("", "early_limit", "setter_lets_nobody_in", "overtaking", "leaver_forgets", "two_words"):
        error, states = "", 0
        for limits, calls in (((1,), (2, 1, 1)), ((1, 2), (1, 1, 1)), ((2, 1), (2, 1, 1)), ((1, 2, 1), (1, 1, 1))):
            model = Model(variant, limits, calls)
            found, count = explore(model.first, model.steps, model.wrong)
            error, states = error or found, states + count
        runs.append((variant or "as it is", bool(variant), error, states))
    check_all(runs)


if __name__ == "__main__":
    main()
