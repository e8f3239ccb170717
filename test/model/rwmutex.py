#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright The Hamgam Authors
"""Exhaustive search of RWMutex's counted half (src/sync/rwmutex.cpp): readers that add themselves and never fail,
writers that claim, wait for those inside, and may give up at any moment.

What is done under the bucket's lock with one change of the word is one step: whoever looks at the queues has the
lock. The writer that is to sleep until readers have left makes two, so it holds the lock in between. Checked: no
writer inside with anybody else, and nobody sleeps when nothing moves any more.

usage: rwmutex.py    runs the protocol and broken variants of it, in which an error must be found:
  silent_undo (a reader that takes back what it added wakes no writer), looks_first (the writer looks whether
  somebody is inside, then says that it sleeps), blind_park (sleeps without looking whether the writer is still
  there), uncounted (a release lets readers in without counting them), early_flag (a writer that was handed the
  lock beside readers sleeps without kWatched)
"""
from explore import check_all, explore

W, WP, RP, AW, WATCHED = "W", "wp", "rp", "aw", "watched"


class Model:
    # A state: (flags, count, bucket's holder or -1, sleeping writers, readers, watchers, threads); a thread:
    # (pc, owns AW).
    def __init__(self, variant, readers, writers, timed):
        self.variant = variant
        self.timed = set(range(readers + writers - timed, readers + writers))
        pcs = (("r_try", 0),) * readers + (("w_try", 0),) * writers
        self.first = (frozenset(), 0, -1, (), (), (), pcs)

    def steps(self, state):
        flags, count, bucket, wq, rq, watch, threads = state
        variant = self.variant

        for i, (pc, awake) in enumerate(threads):
            def to(pc, f=flags, c=count, b=bucket, w=wq, r=rq, v=watch, a=awake, others=()):
                changed = list(threads)
                changed[i] = (pc, a)
                for j, thread in others:
                    changed[j] = thread
                return (frozenset(f), c, b, w, r, v, tuple(changed))

            free = bucket < 0
            own = {AW} if awake else set()

            def release(after, staying=0):
                for long in (False, True):  # whether the next writer has waited long
                    f, w, v = set(flags) - {W, RP, WATCHED}, wq, watch
                    c = count + staying + (len(rq) if variant != "uncounted" else 0)
                    others = [(j, ("r_in", 0)) for j in rq]
                    if WP in flags and AW not in flags and wq:
                        z, w = wq[0], wq[1:]
                        if c > 0:
                            f |= {W, WATCHED} if variant != "early_flag" else {W}
                            v = watch + (z,)
                            others.append((z, ("w_handed_asleep", 0)))
                        elif long:
                            f.add(W)
                            others.append((z, ("w_handed", 0)))
                        else:
                            f.add(AW)
                            others.append((z, ("w_try", 1)))
                    if not w:
                        f.discard(WP)
                    yield to(after, f, c, w=w, r=(), v=v, others=others)

            if pc == "r_try":
                yield to("r_park" if W in flags else "r_add")
            elif pc == "r_add":
                yield to("r_undo" if W in flags else "r_in", c=count + 1)
            elif pc in ("r_undo", "r_in"):
                then = "r_try" if pc == "r_undo" else "end"
                wakes = WATCHED in flags and count == 1 and not (pc == "r_undo" and variant == "silent_undo")
                yield to("wake " + then if wakes else then, c=count - 1)
            elif pc.startswith("wake ") and free:
                others = [(watch[0], (threads[watch[0]][0] + "!", 0))] if watch else []
                yield to(pc[5:], v=watch[1:], others=others)
            elif pc == "r_park" and free:
                if W in flags or variant == "blind_park":
                    yield to("r_asleep", flags | {RP}, r=rq + (i,))
                else:
                    yield to("r_try")
            elif pc == "w_try":
                if W in flags:
                    yield to("w_park")
                else:
                    yield to("w_in" if count == 0 else "w_wait", (flags - own) | {W}, a=0)
            elif pc == "w_park" and free:
                if W in flags or variant == "blind_park":
                    yield to("w_asleep", (flags - own) | {WP}, w=wq + (i,), a=0)
                else:
                    yield to("w_try")
            elif pc == "w_asleep" and free and i in self.timed:
                yield to("end", w=tuple(j for j in wq if j != i))
            elif pc in ("w_handed", "w_handed_asleep!"):
                yield to("w_in" if count == 0 else "w_wait")
            elif pc == "w_handed_asleep" and free and i in self.timed:
                yield to("w_give_up", v=tuple(j for j in watch if j != i))
            elif pc == "w_wait":
                if count == 0:
                    yield to("w_in")
                elif free and variant == "looks_first":
                    yield to("w_say", b=i)
                elif free:
                    yield to("w_look", flags | {WATCHED}, b=i)
            elif pc == "w_say":
                yield to("w_watching", flags | {WATCHED}, b=-1, v=watch + (i,))
            elif pc == "w_look":
                if count == 0:
                    yield to("w_in", b=-1)
                else:
                    yield to("w_watching", b=-1, v=watch + (i,))
            elif pc == "w_watching!":
                yield to("w_wait")
            elif pc == "w_watching" and free and i in self.timed:
                yield to("w_last", flags | {WATCHED}, b=i, v=tuple(j for j in watch if j != i))
            elif pc == "w_last":
                yield to("w_in" if count == 0 else "w_give_up", b=-1)
            elif pc == "w_give_up" and free:
                yield from release("end")
            elif pc == "w_in":
                if RP not in flags and (WP not in flags or AW in flags):
                    yield to("end", flags - {W, WATCHED})
                else:
                    yield to("w_release")
            elif pc == "w_release" and free:
                yield from release("end")

    @staticmethod
    def wrong(state, rests):
        pcs = [thread[0] for thread in state[6]]
        writers = sum(pc in ("w_in", "w_release") for pc in pcs)
        if writers > 1 or (writers == 1 and "r_in" in pcs):
            return "a writer is inside with somebody else"
        if rests and any(pc != "end" for pc in pcs):
            return "a wake-up is lost"
        if rests and (state[1] != 0 or state[0] - {WP, RP}):
            return "the lock is not free at the end"
        return ""


def main():
    runs = []
    for variant, sizes in (("full", ((2, 2, 0), (2, 2, 1), (1, 3, 2), (3, 1, 1), (3, 2, 1), (2, 3, 1))),
                           ("silent_undo", ((2, 1, 0),)), ("looks_first", ((2, 1, 0),)),
                           ("blind_park", ((1, 1, 0),)), ("uncounted", ((2, 2, 0),)),
                           ("early_flag", ((2, 2, 0),))):
        for readers, writers, timed in sizes:
            model = Model(variant, readers, writers, timed)
            error, states = explore(model.first, model.steps, model.wrong)
            runs.append((f"{variant}: {readers} readers, {writers} writers, {timed} of them with time-outs",
                         variant != "full", error, states))
    check_all(runs)


if __name__ == "__main__":
    main()
