#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright The Hamgam Authors
"""Exhaustive search of who is woken for what (src/sched/idle.h, worker_loop.cpp).

Workers look for work in one queue, run it, block while they do (and give up their slot), search, fall asleep.
Submitters add to the queue and wake a sleeper, or want a new worker, which the system refuses. What a worker
adds while it runs, it need not have made visible when it looks whether somebody is to be woken. Checked: when
everything rests the queue is empty, or every worker blocks.

usage: idle_wakes.py    runs the protocol and broken variants of it, in which an error must be found:
  submitter_unfenced (it may look at the counts before its work is visible), sleeper_unfenced, slot_unfenced
  (the queue may be looked at before the count has changed), no_look (a sleeper does not look once more),
  slot_no_look (nor does who gives up a slot), refused_no_look (nor does who was refused a worker),
  refused_counts (who was refused claims a sleeper by counting first)
"""
from explore import check_all, explore


class Model:
    # A state: (work, active, searching, asleep, threads); asleep: workers, the last one first. A thread:
    # (pc, a worker searches?, what it has seen before its time, of the queue or the counts, or None, left to submit).
    # `wake` is a routine of several steps; its pc has where it returns to: ("claim", then).
    def __init__(self, variant, width, workers, submissions, own=0):
        self.width, self.variant = width, variant
        threads = tuple(("asleep", False, None, own) for _ in range(workers))
        threads += tuple(("submit", False, None, count) for count in submissions)
        self.first = (0, 0, 0, tuple(range(workers)), threads)

    def steps(self, state):
        work, active, searching, asleep, threads = state
        variant = self.variant

        for i, (pc, hunts, early, left) in enumerate(threads):
            def to(pc, w=work, a=active, s=searching, z=asleep, hunts=hunts, early=None, left=left, woken=None):
                changed = list(threads)
                changed[i] = (pc, hunts, early, left)
                if woken is not None:
                    changed[woken] = ("look", True, None, threads[woken][3])
                return (w, a, s, z, tuple(changed))

            may_wake = searching == 0 and active < self.width
            name, then = pc if isinstance(pc, tuple) else (pc, None)
            if name == "submit" and left > 0:
                yield to("submitted", w=work + 1, left=left - 1)
                if variant == "submitter_unfenced":
                    yield to("submit_late", early=may_wake)
            elif name == "submit_late":
                yield to(("claim", "submit") if early else "submit", w=work + 1, left=left - 1)
            elif name == "submitted":
                yield to(("claim", "submit") if may_wake else "submit")

            elif name == "look":  # for work, with a slot
                if work > 0:
                    yield to("found", w=work - 1)
                else:
                    yield to("drowse")
                    if not hunts:
                        yield to("look", s=searching + 1, hunts=True)
            elif name == "found":
                if not hunts:
                    yield to("run")
                else:
                    last = searching == 1
                    if variant == "sleeper_unfenced" and early is None:
                        yield to("found", early=work > 0)
                    after = ("seen", "run") if early is None else ("saw", "run")
                    yield to(after if last else "run", s=searching - 1, hunts=False, early=early)
            elif name == "run":
                yield to("look")
                if left > 0 and early is None:
                    yield to(("claim", "run") if may_wake else "run", w=work + 1, left=left - 1)
                    yield to("offer", early=may_wake)
                if variant == "slot_unfenced" and early is None:
                    yield to("run_late", early=work > 0)
                after = "blocked" if variant == "slot_no_look" else ("seen", "blocked")
                yield to(after, a=active - 1)
            elif name == "offer":
                yield to(("claim", "run") if early else "run", w=work + 1, left=left - 1)
            elif name == "run_late":
                yield to(("saw", "blocked"), a=active - 1, early=early)
            elif name == "blocked":  # without a slot, perhaps for ever
                yield to("stuck")
                if active < self.width:
                    yield to("look", a=active + 1)
                else:
                    yield to(("seen", "asleep"), z=(i,) + asleep)
            elif name == "drowse":
                if variant == "sleeper_unfenced" and early is None:
                    yield to("drowse", early=work > 0)
                after = ("seen", "asleep") if early is None else ("saw", "asleep")
                if variant == "no_look":
                    after = "asleep"
                yield to(after, a=active - 1, s=searching - hunts, z=(i,) + asleep, hunts=False, early=early)

            # Whoever may have been relied on looks at the counts, then at the queue. A worker among the
            # sleepers may be claimed meanwhile: "granted" below.
            elif name == "seen":
                yield to(("queue", then) if may_wake else then)
            elif name == "queue":
                yield to(("claim", then) if work > 0 else then)
            elif name == "saw":
                yield to(("claim", then) if may_wake and early else then)
            elif name == "claim":
                if may_wake:
                    yield to(("take", then), a=active + 1, s=searching + 1)
                else:
                    yield to(then)
            elif name == "take":  # under the list's lock
                if asleep:
                    yield from self.grant(to, then, asleep, threads, i)
                else:
                    yield to(("refused", then))
            elif name == "refused":
                after = ("again" if variant != "refused_no_look" else "", then)
                yield to(after if after[0] else then, a=active - 1, s=searching - 1)
            elif name == "again":
                yield to(("again_queue", then) if may_wake else then)
            elif name == "again_queue":
                yield to(("if_one_sleeps", then) if work > 0 else then)
            elif name == "if_one_sleeps":  # under the list's lock
                if variant == "refused_counts":
                    if may_wake:
                        yield to(("counted", then), a=active + 1, s=searching + 1)
                    else:
                        yield to(then)
                elif asleep and may_wake:
                    yield from self.grant(lambda pc, **k: to(pc, a=active + 1, s=searching + 1, **k), then,
                                          asleep, threads, i)
                else:
                    yield to(then)
            elif name == "counted":
                if asleep:
                    yield from self.grant(to, then, asleep, threads, i)
                else:
                    yield to(("uncount", then))
            elif name == "uncount":
                yield to(then, a=active - 1, s=searching - 1)

    # The first of the list. One that is still looking about goes on with that when it has finished.
    @staticmethod
    def grant(to, then, asleep, threads, i):
        woken, rest = asleep[0], asleep[1:]
        if woken == i:  # it claims itself
            yield to("look", z=rest, hunts=True)
        elif threads[woken][0] == "asleep":
            yield to(then, z=rest, woken=woken)
        else:
            after = to(then, z=rest)
            changed = list(after[4])
            pc, hunts, early, left = changed[woken]
            changed[woken] = ((pc[0], "granted"), hunts, early, left)
            yield after[:4] + (tuple(changed),)

    def search(self):
        def steps(state):
            for after in self.steps(state):
                threads = tuple(("look", True, None, t[3]) if t[0] == "granted" else t for t in after[4])
                yield after[:4] + (threads,)

        def wrong(state, rests):
            work, active, _, asleep, _ = state
            overlooked = rests and work > 0 and asleep and active < self.width
            return "work is overlooked" if overlooked else ""

        return explore(self.first, steps, wrong)


def main():
    runs = []
    for variant, width, workers, submissions, *own in [
            ("full", 2, 1, (2, 1)), ("full", 1, 2, (1, 1, 1)), ("full", 2, 2, (2, 1)), ("full", 2, 3, (1, 1)),
            ("full", 2, 2, (1,), 2), ("full", 1, 2, (1,), 2), ("full", 2, 3, (1,), 1), ("slot_no_look", 2, 2, (1,), 1),
            ("submitter_unfenced", 2, 2, (2, 1)), ("sleeper_unfenced", 2, 2, (2, 1)),
            ("slot_unfenced", 1, 2, (1, 1)), ("no_look", 2, 2, (2, 1)), ("slot_no_look", 1, 2, (1, 1)),
            ("refused_no_look", 2, 1, (2, 1)), ("refused_counts", 2, 1, (2, 1, 1))]:
        error, states = Model(variant, width, workers, submissions, *own).search()
        name = f"{variant}, {width} slots, {workers} workers, submitters of {submissions}, own {sum(own)}"
        runs.append((name, variant != "full", error, states))
    check_all(runs)


if __name__ == "__main__":
    main()
