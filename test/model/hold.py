#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright The Hamgam Authors
"""Exhaustive search of how a goroutine is held while somebody looks at its stack (src/sched/hold.h), on a TSO machine.

A goroutine goes from worker to worker, through a queue that all take from or through the one of its last worker.
A worker's stores to `saved` wait in its store buffer and become visible at any later moment, in order; a queue for
all is behind them. The looker's barrier is not atomic: it reaches each worker at a moment of its own and drains
that one's buffer. Checked: never does a goroutine run while its stack is looked at, and never is it lost: when
nothing comes next, it is in a queue and the looker is done.

usage: hold.py [WORKERS RUNS LOOKS VARIANT]    without arguments: the runs that the test suite wants
variants: full; and broken ones, in which an error must be found:
  nobarrier (the looker has no barrier), nolock (a resumer goes aside without looking at `held` under the lock),
  takefirst (the looker takes those aside before it clears `held`), early (saved is set before it is off its stack),
  afterwards (the resumer clears `saved` after it has looked at `held`),
  late (what the looker reads of the stack may be read after it has cleared `held`, as where that is no release)
"""
import sys

from explore import check_all, explore


class Model:
    # A state: (where the goroutine is: "all", a worker's number, "aside", "looker" or "" (in somebody's hands),
    # held, saved, lock holder or -1, runs left, workers, looker); a worker: (pc, store buffer);
    # the looker: (pc, looks left, workers that its barrier still has to reach, or "stack" while reads of that are
    # under way, whom it took).
    def __init__(self, workers, runs, looks, variant):
        self.n, self.variant = workers, variant
        self.first = ("all", 0, 1, -1, runs, tuple(("look", ()) for _ in range(workers)), ("set", looks, (), 0))

    def steps(self, state):
        place, held, saved, lock, runs, workers, looker = state
        pc, looks, pending, took = looker

        def to(i=-1, worker=None, p=place, h=held, s=saved, k=lock, r=runs, look=looker, base=workers):
            changed = list(base)
            if i >= 0:
                changed[i] = worker
            return (p, h, s, k, r, tuple(changed), look)

        for i, (at, buffer) in enumerate(workers):
            if buffer:
                yield to(i, (at, buffer[1:]), s=buffer[0])
            if at == "look":
                if place in ("all", i) and runs:
                    yield to(i, ("claim", buffer), p="", r=runs - 1)
            elif at == "claim":
                if self.variant == "afterwards":
                    yield to(i, ("meet" if held else "late", buffer))
                else:
                    yield to(i, ("glance", buffer + (0,)))
            elif at == "late":
                yield to(i, ("run", buffer + (0,)))
            elif at == "glance":
                yield to(i, ("meet" if held else "run", buffer))
            elif at == "meet":
                if self.variant == "nolock":
                    if not buffer:
                        yield to(i, ("look", ()), p="aside")
                elif lock < 0 and not buffer:  # a locked instruction drains
                    yield to(i, ("met", ()), k=i)
            elif at == "met":
                yield to(i, ("look" if held else "run", buffer), p="aside" if held else place, k=-1)
            elif at == "run":
                if self.variant == "early":
                    yield to(i, ("saving", buffer + (1,)))
                else:
                    yield to(i, ("off", buffer))
            elif at == "saving":
                yield to(i, ("off", buffer))
            elif at == "off":
                yield to(i, ("push", buffer if self.variant == "early" else buffer + (1,)))
            elif at == "push":
                yield to(i, ("look", buffer), p=i)
                if not buffer:
                    yield to(i, ("look", buffer), p="all")

        def now(p, left=looks, rest=(), took=took):
            return (p, left, rest, took)

        if pc == "set" and looks:
            everybody = () if self.variant == "nobarrier" else tuple(range(self.n))
            yield to(h=1, look=now("barrier", rest=everybody))
        elif pc == "barrier":
            for i in pending:
                at, buffer = workers[i]
                yield to(i, (at, ()), s=buffer[-1] if buffer else saved,
                         look=now("barrier", rest=tuple(j for j in pending if j != i)))
            if not pending:
                yield to(look=now("read" if saved else "give"))
        elif pc == "read":
            yield to(look=now("give", rest=("stack",) if self.variant == "late" else ()))
        elif pc == "give" and lock < 0:
            yield to(k=self.n, look=now("given", rest=pending))
        elif pc == "given":
            mine = place == "aside"
            if self.variant == "takefirst":
                yield to(k=-1, p="looker" if mine else place, look=now("clear", took=int(mine)))
            else:
                yield to(h=0, k=-1, p="looker" if mine else place,
                         look=now("push", rest=pending, took=int(mine)))
        elif pc == "clear":
            yield to(h=0, look=now("push"))
        elif pc == "push":
            yield to(s=1 if took else saved, p="all" if took else place, look=now("set", looks - 1, took=0))

    def wrong(self, state, rests):
        place, _, _, _, _, workers, looker = state
        runs = ("run", "saving", "off") if self.variant == "early" else ("run",)
        if (looker[0] == "read" or "stack" in looker[2]) and any(at in runs for at, _ in workers):
            return "it runs while its stack is looked at"
        if rests and (place == "aside" or looker[0] != "set" or looker[1]):
            return "it is lost"
        return ""


def run(workers, runs, looks, variant):
    model = Model(workers, runs, looks, variant)
    error, states = explore(model.first, model.steps, model.wrong)
    return (f"{variant}, {workers} workers, {runs} runs, {looks} looks", variant != "full", error, states)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        check_all([run(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])])
    check_all([run(2, 4, 2, "full"), run(3, 4, 2, "full"), run(2, 4, 2, "nobarrier"), run(2, 4, 2, "nolock"),
               run(2, 4, 2, "takefirst"), run(2, 4, 2, "early"), run(2, 4, 2, "afterwards"),
               run(2, 4, 2, "late")])
