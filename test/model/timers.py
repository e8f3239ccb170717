#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright The Hamgam Authors
"""Exhaustive search of who keeps time (src/sched/timers.cpp, idle.cpp, worker_loop.cpp, monitor.cpp).

Adders add timers; sleeping workers, of whom one keeps time, fall asleep, are woken by a waker or by a timer, which
they fire; the monitor keeps time while no worker sleeps. Checked: when nothing moves but time, whoever keeps time
sleeps no longer than until the earliest timer.

usage: timers.py    runs the protocol and broken variants of it, in which an error must be found:
  adder_unfenced (it may look who keeps time before its timer is visible), keeper_unfenced, monitor_unfenced (they
  may look at the timers before it is visible until when they sleep), handover_unfenced (who takes the keeper off
  may look at the rest before that is visible), no_handover (it looks at nothing), told_unordered (the heir is told
  to look again, and does not see that it keeps time), shared_looks (all keepers say in one word until when they
  sleep, so that one that was taken off between its look and its store overwrites what its heir says)
"""
from explore import check_all, explore

NEVER = 9  # later than all timers


class Model:
    # A state: (timers, keeper or -1, until when each worker sleeps as the keeper, until when the monitor does, the
    # monitor is poked?, sleeping workers, the wake words of all: A(sleep), L(ook again), G(ranted), and the threads' pcs).
    # A pc is (name, ...); the last entry of those that are routines is the pc to go on with.
    def __init__(self, variant, workers, due, wakers, keeps=("loop",)):
        self.variant, self.n = variant, workers
        pcs = [keeps] + [("loop",)] * (workers - 1) + [("monitor",)]
        pcs += [("add", time) for time in due] + [("claim",)] * wakers
        # Until when they sleep is from former times, when there was a timer that has been taken out since.
        self.first = ((), 0, (0,) + (NEVER,) * (workers - 1), 0, False, tuple(range(workers)), "A" * workers,
                      tuple(pcs))

    def steps(self, state, with_time=True):
        timers, keeper, looks, monitor, poked, asleep, wake, pcs = state
        variant = self.variant
        earliest = timers[0] if timers else NEVER

        for i, pc in enumerate(pcs):
            def to(pc, t=timers, k=keeper, looks=looks, m=monitor, p=poked, z=asleep, w=wake):
                return (t, k, looks, m, p, z, w, pcs[:i] + (pc,) + pcs[i + 1:])

            def says(worker, until):
                changed = list(looks)
                changed[0 if variant == "shared_looks" else worker] = until
                return tuple(changed)

            def word(worker, letter):
                return wake[:worker] + letter + wake[worker + 1:]

            def limit_of(worker):
                return looks[0 if variant == "shared_looks" else worker]

            def tell(worker, then):
                return to(then, w=word(worker, "L") if wake[worker] == "A" else wake)

            def off(worker, then, no_heir=False):  # off the list, and an heir in its place
                rest = tuple(w for w in asleep if w != worker)
                if keeper != worker:
                    return to(then[1], z=rest)
                heir = rest[0] if rest and not no_heir else -1
                return to(then[0], z=rest, k=heir)

            name = pc[0]
            if name == "loop":  # of a sleeping worker
                if wake[i] == "G":
                    yield to(("run",))
                elif wake[i] == "L":
                    yield to(("loop",), w=word(i, "A"))
                    if variant == "told_unordered":
                        yield to(("wait", NEVER), w=word(i, "A"))
                elif keeper == i:
                    yield to(("keep", earliest))
                else:
                    yield to(("wait", NEVER))
            elif name == "keep":
                yield to(("kept", pc[1]), looks=says(i, pc[1]))
                if variant == "keeper_unfenced":
                    yield to(("keep_late", pc[1], min(pc[1], earliest)))
            elif name == "keep_late":
                yield to(("wait", pc[2]), looks=says(i, pc[1]))
            elif name == "kept":
                yield to(("wait", min(pc[1], earliest)))
            elif name == "wait":
                if wake[i] != "A":
                    yield to(("loop",))
                elif with_time and pc[1] < NEVER:
                    yield to(("due",))
            elif name == "due":  # wakes itself, unless it was claimed
                if i not in asleep:
                    yield to(("loop",))
                else:  # and fires what is due before it looks who is to keep time for the rest
                    after = ("run",) if variant == "no_handover" else ("hand_over", ("run",))
                    yield off(i, (("fire", after), ("fire", ("run",))), no_heir=True)
            elif name == "run":
                yield to(("busy",))
                z = (i,) + asleep
                mine = looks if variant == "shared_looks" else says(i, NEVER)
                yield to(("loop",), z=z, w=word(i, "A"), k=i if keeper < 0 else keeper, looks=mine)

            elif name == "fire":
                rest = timers[1:]
                if not timers:
                    yield to(pc[1])
                elif rest:
                    yield to(("tell", rest[0], pc[1]), t=rest)
                else:
                    yield to(pc[1], t=rest)

            elif name == "monitor":
                yield to(("watch",), m=NEVER)  # it has dozed off: without a period of its own
                if variant == "monitor_unfenced":
                    yield to(("watch_late", earliest if keeper < 0 else NEVER))
            elif name == "watch_late":
                yield to(("watched", pc[1]), m=NEVER)
            elif name == "watch":
                if keeper < 0:
                    yield to(("watched", earliest), m=earliest)
                else:
                    yield to(("watched", NEVER))
            elif name == "watched":
                if poked:
                    yield to(("poked",), p=False)
                elif with_time and pc[1] < NEVER:
                    yield to(("poked",))
            elif name == "poked":
                yield to(("fire", ("monitor",)) if keeper < 0 else ("monitor",))

            elif name == "add":
                new = tuple(sorted(timers + (pc[1],)))
                yield to(("tell", pc[1], ("end",)) if new[0] == pc[1] else ("end",), t=new)
                if variant == "adder_unfenced":
                    yield to(("add_late", pc[1], keeper, limit_of(keeper) if keeper >= 0 else monitor))
            elif name == "add_late":
                _, time, whom, limit = pc
                new = tuple(sorted(timers + (time,)))
                if time >= limit:
                    yield to(("end",), t=new)
                else:
                    yield to(("told", whom, ("end",)), t=new)
            elif name == "tell":  # of a timer that was added, or is next
                yield to(("tell_keeper" if keeper >= 0 else "tell_monitor", pc[1], keeper, pc[2]))
            elif name == "tell_keeper":
                _, time, whom, then = pc
                yield tell(whom, then) if time < limit_of(whom) else to(then)
            elif name == "told":
                yield tell(pc[1], pc[2]) if pc[1] >= 0 else to(pc[2], p=True)
            elif name == "tell_monitor":
                _, time, _, then = pc
                yield to(then, p=poked or time < monitor)

            elif name == "claim":  # a waker takes anybody off the list
                for worker in asleep:
                    grant = ("grant", worker)
                    yield from self.take_off(worker, to, off, earliest, monitor, ("end",), grant)
            elif name == "grant":
                yield to(pc[2], w=word(pc[1], "G"))
            elif name == "hand_over":
                yield to(("handed", pc[1]), looks=says(0, NEVER) if variant == "shared_looks" else looks)
            elif name == "handed":
                yield to(("heir", earliest, pc[1]) if earliest < NEVER else pc[1])
            elif name == "heir":
                if keeper >= 0:
                    yield tell(keeper, pc[2])
                else:
                    yield to(("tell_monitor", pc[1], -1, pc[2]))
            elif name == "heir_late":  # what it knows is from before
                _, time, limit, then = pc
                if time == NEVER:
                    yield to(then)
                elif keeper >= 0:
                    yield tell(keeper, then)
                else:
                    yield to(then, p=poked or time < limit)
            elif name == "late":
                yield off(pc[1], (pc[2], pc[3]))

    # Takes a worker off the list, hands the timers over if it kept them, and goes on with `then`; in between it
    # wakes that one, if it is another.
    def take_off(self, worker, to, off, earliest, monitor, then, grant=None):
        def woken(pc):
            return grant + (pc,) if grant else pc

        after = woken(("hand_over", then)) if self.variant != "no_handover" else woken(then)
        yield off(worker, (after, woken(then)))
        if self.variant == "handover_unfenced":
            yield to(("late", worker, woken(("heir_late", earliest, monitor, then)), woken(then)))

    def search(self):
        def wrong(state, _):
            timers, keeper, _, _, _, _, _, pcs = state
            if not timers or any(True for _ in self.steps(state, with_time=False)):
                return ""
            until = pcs[keeper if keeper >= 0 else self.n][1]
            return f"a timer due at {timers[0]}, and all sleep until {until}" if until > timers[0] else ""

        return explore(self.first, self.steps, wrong)


def main():
    runs = []
    late = ("keep", 1)  # it has looked, and seen a timer that has been taken out since
    for variant, *sizes in [
            ("full", 1, (1,), 1), ("full", 1, (2, 1), 0), ("full", 2, (1,), 0), ("full", 2, (2,), 1, late),
            ("adder_unfenced", 1, (1,), 0), ("keeper_unfenced", 1, (1,), 0), ("monitor_unfenced", 1, (1,), 1),
            ("handover_unfenced", 1, (1,), 1), ("no_handover", 2, (1,), 1), ("told_unordered", 2, (1,), 1),
            ("shared_looks", 2, (2,), 1, late)]:
        error, states = Model(variant, *sizes).search()
        name = "{}, {} workers, timers due at {}, {} wakers".format(variant, *sizes[:3])
        runs.append((name, variant != "full", error, states))
    check_all(runs)


if __name__ == "__main__":
    main()
