#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright The Hamgam Authors
"""Exhaustive search of Mutex's unlock by a plain store (src/sync/mutex.cpp) on a TSO machine.

The plain store waits in a store buffer and becomes visible at any later moment, or at the thread's next
locked instruction. The barrier is not atomic: it reaches every other thread at a moment of its own, drains
that one's buffer and sends it back to the start of its restartable sequence. Checked: never two threads in
the critical section, and from every state the end can still be reached (no lost wake-up).

usage: mutex_unlock.py [THREADS ROUNDS VARIANT]    without arguments: the runs that the test suite wants
variants: full; and broken ones, in which an error must be found:
  nobarrier (no barrier at all), norestart (a barrier that only drains the buffers), nolock (probes without the
  bucket's lock), noheavy (parks without having made the word heavy)
"""
import sys
from collections import deque

LOCKED, PARKED, AWAKE, HEAVY, PROBE = 1, 2, 4, 8, 16


class Model:
    # A state: (word, bucket holder or -1, queue, threads); a thread: (pc, rounds left, buffered store?,
    # owns AWAKE?, threads that its barrier still has to reach).
    def __init__(self, threads, rounds, variant):
        self.n, self.variant = threads, variant
        self.first = (0, -1, (), tuple(("lock", rounds, 0, 0, ()) for _ in range(threads)))

    def steps(self, state):
        word, bucket, queue, threads = state

        def to(i, thread, w=word, b=bucket, q=queue, base=threads):
            changed = list(base)
            changed[i] = thread
            return (w, b, q, tuple(changed))

        for i, (pc, left, buffered, awake, pending) in enumerate(threads):
            if buffered:  # drains by itself at any time
                yield to(i, (pc, left, 0, awake, pending), w=0)
            me = lambda p, l=left, buf=0, a=awake, pend=(): (p, l, buf, a, pend)
            if pc in ("end", "asleep"):
                continue
            if pc == "inside":  # unlock begins: the check of the restartable sequence
                yield to(i, me("store" if word == LOCKED else "unlock", buf=buffered))
                continue
            if pc == "store":  # the commit: into the buffer
                yield to(i, me("lock" if left > 1 else "end", left - 1, 1))
                continue
            if buffered:
                continue  # everything below is a locked instruction: drain first
            if pc == "lock":
                if not word & LOCKED:
                    yield to(i, me("inside", a=0), w=(word & ~(AWAKE if awake else 0)) | LOCKED)
                elif self.variant == "nolock" and not word & HEAVY:
                    yield from self.probe(i, me, to, word)
                elif bucket < 0:
                    yield to(i, me("bucket"), b=i)
            elif pc == "bucket":  # under the bucket's lock
                if not word & LOCKED:
                    yield to(i, me("lock"), b=-1)
                elif word & HEAVY or self.variant == "noheavy":
                    parked = (word & ~(AWAKE if awake else 0)) | PARKED
                    yield to(i, me("asleep", a=0), w=parked, b=-1, q=queue + (i,))
                else:
                    yield from self.probe(i, me, to, word)
            elif pc == "barrier":
                if not pending:
                    yield to(i, me("probed"))
                for j in pending:
                    pcj, leftj, bufj, awakej, pendj = threads[j]
                    if pcj == "store" and self.variant != "norestart":
                        pcj = "inside"
                    base = list(threads)
                    base[j] = (pcj, leftj, 0, awakej, pendj)
                    rest = tuple(k for k in pending if k != j)
                    yield to(i, me("barrier", pend=rest), w=0 if bufj else word, base=base)
            elif pc == "probed":
                held = -1 if bucket == i else bucket
                if not word & PROBE:
                    yield to(i, me("lock"), b=held)
                else:
                    heavy = (word & ~PROBE) | HEAVY
                    again = "bucket" if bucket == i else "lock"
                    yield to(i, me(again), w=heavy)
            elif pc == "unlock":
                after = me("lock" if left > 1 else "end", left - 1)
                if not word & LOCKED:
                    yield None  # unlock of unlocked
                elif word & PARKED and not word & AWAKE:
                    if bucket < 0:
                        yield to(i, me("wake"), b=i)
                else:
                    yield to(i, after, w=word & ~LOCKED)
                    if word == LOCKED | HEAVY:
                        yield to(i, after, w=0)
            elif pc == "wake":  # under the bucket's lock
                after = me("lock" if left > 1 else "end", left - 1)
                if not queue:
                    yield to(i, after, w=HEAVY, b=-1)
                    continue
                z, rest = queue[0], queue[1:]
                parked = PARKED if rest else 0
                base = list(threads)
                base[z] = ("lock",) + threads[z][1:3] + (1,) + threads[z][4:]
                yield to(i, after, w=AWAKE | HEAVY | parked, b=-1, q=rest, base=base)
                base = list(threads)  # or hands the lock over
                base[z] = ("inside",) + threads[z][1:]
                yield to(i, after, w=LOCKED | HEAVY | parked, b=-1, q=rest, base=base)

    def probe(self, i, me, to, word):
        others = tuple(j for j in range(self.n) if j != i) if self.variant != "nobarrier" else ()
        yield to(i, me("barrier", pend=others), w=word | PROBE)

    @staticmethod
    def two_inside(state):
        return sum(t[0] in ("inside", "store", "unlock", "wake") for t in state[3]) > 1

    def search(self):
        before, todo, ends = {self.first: []}, deque([self.first]), []
        while todo:
            state = todo.popleft()
            if all(t[0] == "end" and not t[2] for t in state[3]):
                ends.append(state)
            for following in self.steps(state):
                if following is None or self.two_inside(following):
                    return "mutual exclusion is broken", len(before)
                if following not in before:
                    before[following] = []
                    todo.append(following)
                before[following].append(state)
        good, todo = set(ends), deque(ends)
        while todo:
            for state in before[todo.popleft()]:
                if state not in good:
                    good.add(state)
                    todo.append(state)
        return ("" if len(good) == len(before) else "a wake-up is lost"), len(before)


def check(threads, rounds, variant):
    error, states = Model(threads, rounds, variant).search()
    wanted = variant == "full"
    print(f"{variant} {threads} threads {rounds} rounds: {error or 'ok'}, {states} states")
    return (error == "") == wanted


def main():
    if len(sys.argv) == 4:
        runs = [(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])]
    else:
        runs = [(2, 2, "full"), (3, 1, "full"), (3, 2, "full"), (2, 2, "nobarrier"),
                (2, 2, "norestart"), (3, 2, "nolock"), (2, 2, "noheavy")]
    sys.exit(0 if all([check(*run) for run in runs]) else 1)


if __name__ == "__main__":
    main()
