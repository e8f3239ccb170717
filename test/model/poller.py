#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright The Hamgam Authors
"""Exhaustive search of who waits in the epoll, and how they get out (src/sched/poller.h, poller.cpp, worker_loop.cpp).

Sleeping workers, of whom one keeps time and so waits in the epoll, one behind the other; wakers that take a worker
off the list; adders of timers; devices, each of which makes one descriptor ready; lookers, who take what there is
where nobody keeps time; and the first user, before whom nobody waits there. Checked: at rest the timekeeper waits in
the epoll, with nothing in it, no longer than until the earliest timer; who was taken off the list is up; and never
do two wait there.

usage: poller.py    runs the protocol and broken variants of it, in which an error must be found:
  no_inside (an heir waits there although the former keeper has not left), untold (who leaves does not tell the
  keeper), leaver_unfenced (or may look who it is before its leaving is visible), looker_keeps (who takes another
  one's interruption does not write it again), blind_enter (kPolling is stored over what was written meanwhile),
  blind_back (so is kAsleep afterwards), user_untold (the first user tells nobody), no_interrupt (a waker takes
  kPolling for kAsleep)
"""
from explore import check_all, explore

NEVER = 9  # later than all timers


class Model:
    # A state: (sleepers, keeper or -1, in use?, inside?, interrupted?, ready descriptors, timers, the wake words of
    # all: A(sleep), P(olling), L(ook again), G(ranted), until when each looks, the threads' pcs). A pc is
    # (name, ...); the last entry of those that are routines is the pc to go on with.
    def __init__(self, variant, workers, wakers=0, devices=0, due=(), lookers=0, first_user=False):
        self.variant, self.n = variant, workers
        pcs = [("loop",)] * workers + [("claim",)] * wakers + [("device",)] * devices
        pcs += [("add", time) for time in due] + [("peek",)] * lookers + [("use",)] * first_user
        self.first = (tuple(range(workers)), 0, not first_user, False, False, 0, (), "A" * workers, (NEVER,) * workers,
                      tuple(pcs))

    def steps(self, state, with_time=True):
        asleep, keeper, used, inside, edge, ready, timers, wake, looks, pcs = state
        variant = self.variant
        earliest = timers[0] if timers else NEVER

        for i, pc in enumerate(pcs):
            def to(pc, z=asleep, k=keeper, u=used, n=inside, e=edge, r=ready, t=timers, w=wake, l=looks):
                return (z, k, u, n, e, r, t, w, l, pcs[:i] + (pc,) + pcs[i + 1:])

            def word(worker, letter):
                return wake[:worker] + letter + wake[worker + 1:]

            def without(worker):
                return tuple(w for w in asleep if w != worker)

            name = pc[0]
            if name == "loop":  # of a sleeping worker
                if wake[i] == "G":
                    yield to(("run",))
                elif wake[i] == "L":
                    yield to(("loop",), w=word(i, "A"))
                elif keeper != i:
                    yield to(("futex", NEVER))
                else:
                    yield to(("keep", earliest), l=looks[:i] + (earliest,) + looks[i + 1:])
            elif name == "keep":
                until = min(pc[1], earliest)
                yield to(("enter", until) if used else ("futex", until))
            elif name == "futex":
                if wake[i] != "A":
                    yield to(("loop",))
                elif with_time and pc[1] < NEVER:
                    yield to(("due",))
            elif name == "enter":
                if inside and variant != "no_inside":
                    yield to(("futex", pc[1]))
                else:
                    yield to(("commit", pc[1]), n=True)
            elif name == "commit":
                if wake[i] == "A" or variant == "blind_enter":
                    yield to(("epoll", pc[1]), w=word(i, "P"))
                else:
                    yield to(("leave", ("loop",)))
            elif name == "epoll":
                if ready or edge:
                    yield to(("back", ready), e=False, r=0)
                elif with_time and pc[1] < NEVER:
                    yield to(("back", 0))
            elif name == "back":
                after = ("leave", ("dispatch",) if pc[1] else ("loop",))
                if pc[1] == 0 and earliest < NEVER and with_time:
                    yield to(("leave", ("due",)), w=word(i, "A") if wake[i] == "P" else wake)
                yield to(after, w=word(i, "A") if wake[i] == "P" or variant == "blind_back" else wake)
            elif name == "leave":
                yield to(pc[1] if variant == "untold" else ("left", pc[1]), n=False)
                if variant == "leaver_unfenced":
                    yield to(("late", keeper, pc[1]))
            elif name == "late":
                then = pc[2] if pc[1] in (-1, i) else ("tell", pc[1], pc[2])
                yield to(then, n=False)
            elif name == "left":
                yield to(pc[1] if keeper in (-1, i) else ("tell", keeper, pc[1]))
            elif name == "dispatch":  # wake_self without an heir; or all slots are taken
                if i in asleep:
                    yield to(("hand_over", ("run",)), z=without(i), k=-1 if keeper == i else keeper)
                yield to(("loop",))
            elif name == "due":  # wake_self with an heir, and what is due is run
                rest = without(i)
                if i in asleep:
                    heir = rest[0] if rest else -1
                    yield to(("hand_over", ("fire",)), z=rest, k=heir if keeper == i else keeper)
                yield to(("loop",), t=timers[1:])
            elif name == "fire":
                yield to(("run",), t=timers[1:])
            elif name == "run":
                yield to(("loop",), z=(i,) + asleep, w=word(i, "A"), k=i if keeper < 0 else keeper,
                         l=looks[:i] + (NEVER,) + looks[i + 1:])

            # tell(), which changes the word first.
            elif name == "tell":
                _, whom, then = pc
                if wake[whom] == "G":
                    yield to(then)
                else:
                    poked = wake[whom] == "P" and variant != "no_interrupt"
                    yield to(("interrupt", then) if poked else then, w=word(whom, "L"))
            elif name == "interrupt":
                yield to(pc[1], e=True)
            elif name == "hand_over":
                yield to(pc[1] if keeper < 0 else ("tell", keeper, pc[1]))

            elif name == "claim":  # a waker takes anybody off the list
                for worker in asleep:
                    rest = without(worker)
                    heir = rest[0] if rest else -1
                    yield to(("grant", worker, keeper == worker), z=rest, k=heir if keeper == worker else keeper)
            elif name == "grant":
                _, whom, kept = pc
                then = ("hand_over", ("end",)) if kept else ("end",)
                poked = wake[whom] == "P" and variant != "no_interrupt"
                yield to(("interrupt", then) if poked else then, w=word(whom, "G"))
            elif name == "device":
                yield to(("end",), r=ready + 1)
            elif name == "add":
                yield to(("added", pc[1]), t=tuple(sorted(timers + (pc[1],))))
            elif name == "added":
                tells = keeper >= 0 and pc[1] < looks[keeper]
                yield to(("tell", keeper, ("end",)) if tells else ("end",))
            elif name == "peek":
                if keeper < 0:
                    again = edge and variant != "looker_keeps"
                    yield to(("interrupt", ("end",)) if again else ("end",), e=False, r=0)
            elif name == "use":
                yield to(("end",) if variant == "user_untold" else ("hand_over", ("end",)), u=True)

    def wrong(self, state, _):
        _, keeper, used, _, edge, ready, timers, wake, _, pcs = state
        if sum(pc[0] == "epoll" for pc in pcs) > 1:
            return "two wait in the epoll"
        if any(True for _ in self.steps(state, with_time=False)):
            return ""
        for worker in range(self.n):
            if wake[worker] == "G" or (pcs[worker][0] == "epoll" and keeper != worker):
                return "who was woken waits on"
        if keeper < 0:
            return "nobody keeps time"
        name, until = pcs[keeper]
        if used and name != "epoll":
            return "nobody waits in the epoll"
        if timers and timers[0] < until:
            return "a timer is overlooked"
        return "an event is overlooked" if used and (ready or edge) else ""


def main():
    runs = []
    for variant, sizes in [
            ("full", dict(workers=2, wakers=1, devices=2)), ("full", dict(workers=3, wakers=1, devices=1)),
            ("full", dict(workers=2, wakers=2)), ("full", dict(workers=2, wakers=1, devices=1, lookers=1)),
            ("full", dict(workers=2, devices=1, due=(1,))), ("full", dict(workers=1, wakers=1, due=(1,), lookers=1)),
            ("full", dict(workers=2, wakers=1, devices=1, first_user=True)),
            ("no_inside", dict(workers=2, wakers=1)), ("untold", dict(workers=2, wakers=1)),
            ("leaver_unfenced", dict(workers=2, wakers=1, devices=1)),
            ("looker_keeps", dict(workers=1, wakers=1, lookers=1)), ("blind_enter", dict(workers=1, due=(1,))),
            ("blind_back", dict(workers=1, wakers=1, devices=1)),
            ("user_untold", dict(workers=1, first_user=True)), ("no_interrupt", dict(workers=1, due=(1,)))]:
        model = Model(variant, **sizes)
        error, states = explore(model.first, model.steps, model.wrong)
        name = f"{variant}: " + ", ".join(f"{key} {value}" for key, value in sizes.items())
        runs.append((name, variant != "full", error, states))
    check_all(runs)


if __name__ == "__main__":
    main()
