#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright The Hamgam Authors
"""Exhaustive search of one direction of a descriptor (src/net/descriptor.h, descriptor.cpp).

Readers come one after another (`busy`), each with a handle: they make room for a call, register at the first
EAGAIN, and sleep in the parking lot; some have a time-out. Threads that poll take an event from the kernel, and
tell later. A peer sends; others close or move the deadline. Whose handle is the last closes and gives the record
back, and a successor reads from a new number with the same record. A read that takes all there is remembers
that, and the stream may end. Checked: at rest nobody sleeps who has
something to do, nobody is readied who does not sleep (so no waiter is touched after it went), and no number is
closed under a call.

usage: net_direction.py    runs the protocol and broken variants of it, in which an error must be found:
  clears_late (kReady is cleared after the call said EAGAIN), looks_first (a sleeper looks at kReady before it sets
  kWaiters), blind_sleeper (it does not look whether it is closed, or the deadline another one), wakes_first (who
  closes or moves the deadline tells before it is visible), closes_at_once (the number is closed although somebody
  is in a call), stays_queued (who wakes leaves the waiters in the queue), late_event (the record of a former
  registration is given on with its word as it was, and the event's generation decides nothing: harmless, so no
  error), registers_once (the successor takes the number for registered, since the former one was),
  blind_to_end (what a short read tells is believed although the stream has ended)
"""
from explore import check_all, explore

NONE, FAR, PAST = "none", "far", "past"


class Model:
    # A state: (ready?, waiters?, closed?, users, deadline, bucket holder or -1, queue, busy or -1, handles,
    # generation, (registered?, drained?, last?), kernel, threads). kernel: of the present number: (open?, bytes,
    # registered as or -1, event pending?, at its end?). A thread: (pc, deadline it has seen, interrupted?, what
    # else it holds).
    def __init__(self, variant, readers, timed=0, pollers=1, sends=1, closers=0, movers=(), successor=False,
                 ends=False):
        self.variant, self.timed = variant, timed
        threads = [("take", NONE, False, None)] * readers
        if successor:
            threads += [("open", NONE, False, None)]
        threads += [("poll", None, False, None)] * pollers
        threads += [("send", None, False, (sends, ends))]
        threads += [("close", None, False, None)] * closers
        for to in movers:
            threads += [("move", to, False, None)]
        handles = readers + closers + len(movers)
        self.first = (False, False, False, 0, NONE, -1, (), -1, handles, 0, (False, False, False),
                      (True, 0, -1, False, False),
                      tuple(threads))

    SHUT = (False, 0, -1, False, False)

    def steps(self, state):
        ready, waiters, closed, users, deadline, bucket, queue, busy, handles, gen, reg, kernel, threads = state
        variant = self.variant
        is_open, data, tag, event, eof = kernel
        registered, drained, last = reg

        for i, (pc, seen, cut, more) in enumerate(threads):
            def to(pc, r=ready, w=waiters, c=closed, u=users, d=deadline, b=bucket, q=queue, y=busy, h=handles,
                   g=gen, reg=reg, k=kernel, seen=seen, cut=cut, more=None, others=()):
                changed = list(threads)
                for j, other in others:
                    changed[j] = other
                changed[i] = (pc, seen, cut, more)
                return (r, w, c, u, d, b, q, y, h, g, reg, k, tuple(changed))

            free = bucket < 0
            name, then = pc if isinstance(pc, tuple) else (pc, None)

            # A reader: operate().
            if name == "take" and busy < 0:
                yield to("enter", y=i)
            elif name == "enter":
                yield to("give") if closed else to("look", u=users + 1)
            elif name == "look":
                if deadline == PAST:
                    yield to(("leave", "give"))
                else:
                    yield to("hint", seen=deadline)
            elif name == "hint":
                if drained and not ready and (not last or variant == "blind_to_end"):
                    yield to(("leave", "lock"))
                else:
                    yield to("clear" if ready and variant != "clears_late" else "call")
            elif name == "clear":
                yield to("call", r=False)
            elif name == "call":
                if not is_open:
                    yield to("called on a closed number")
                elif data:
                    yield to(("leave", "give"), k=(True, data - 1, tag, event, eof),
                             reg=(registered, registered and data == 1, last))
                elif eof:
                    yield to(("leave", "give"), reg=(registered, False, last))
                else:
                    yield to("cleared_late" if variant == "clears_late" else "register")
            elif name == "cleared_late":
                yield to("register", r=False)
            elif name == "register":
                if registered:
                    yield to(("leave", "lock"))
                else:
                    yield to(("leave", "lock"), reg=(True, drained, last),
                             k=(is_open, data, gen, data > 0 or eof, eof))
            elif name == "leave":
                latest = closed and users == 1 and variant != "closes_at_once"
                yield to(then, u=users - 1, k=self.SHUT if latest else kernel)
            elif name == "lock" and free:  # sleep()
                yield to("peek" if variant == "looks_first" else "say", b=i)
            elif name == "peek":
                yield to("enter", b=-1) if ready else to("say_blindly")
            elif name in ("say", "say_blindly"):
                blind = variant == "blind_sleeper"
                if (ready and name == "say") or (not blind and (closed or deadline != seen)):
                    yield to("enter", b=-1, w=True)
                elif cut:
                    yield to("give", b=-1, w=True)
                else:
                    yield to("asleep", b=-1, w=True, q=queue + (i,))
            elif name == "woken":
                yield to("enter")
            elif name == "woken_by_limit":
                yield to("give")
            elif name == "give":
                yield to("release", y=-1)

            # Everybody who has a handle.
            elif name == "release":
                if handles > 1:
                    yield to("end", h=handles - 1)
                else:
                    yield from self.close(to, "free", closed, users, kernel)
            elif name == "free":
                yield to("end", h=0, g=gen + 1)

            # The next one to have the record.
            elif name == "open" and handles == 0:
                stale = variant == "registers_once" and registered
                yield to("take", r=False, w=False, c=False, u=0, d=NONE, h=1, reg=(stale, False, False),
                         k=(True, 0, -1, False, False))

            # on_event(), with the event of a moment ago.
            elif name == "poll" and event:
                yield to("match", k=(is_open, data, tag, False, eof), more=(tag, eof))
            elif name == "match":
                if more[0] == gen or variant == "late_event":
                    yield to(("tell_end" if more[1] else "tell", "poll"))
                else:
                    yield to("poll")

            elif name == "send" and is_open:
                sends, ends = more
                if sends:
                    yield to("send", k=(True, data + 1, tag, event or tag >= 0, False), more=(sends - 1, ends))
                elif ends:
                    yield to("send", k=(True, data, tag, event or tag >= 0, True), more=(0, False))

            elif name == "close":
                if variant == "wakes_first":
                    yield to(("tell", "closes"))
                else:
                    yield from self.close(to, "release", closed, users, kernel)
            elif name == "closes":
                yield from self.close(to, "release", closed, users, kernel, wakes=False)
            elif name == "move":
                if variant == "wakes_first":
                    yield to(("tell", "moves"))
                else:
                    yield to(("tell", "release"), d=seen)
            elif name == "moves":
                yield to("release", d=seen)

            # wake_sleepers()
            elif name in ("tell", "tell_end"):
                yield to(("pop", then) if waiters else then, r=True,
                         reg=(registered, drained, last or name == "tell_end"))
            elif name == "pop" and free:
                left = queue if variant == "stays_queued" else ()
                yield to(("wake", then), w=False, q=left, more=queue)
            elif name == "wake":
                if not more:
                    yield to(then)
                else:
                    yield self.wake(to, pc, more, threads, "woken")

            # A time-out or stop_token of a reader: leave_bucket(), under the lock.
            if i < self.timed and free and not cut:
                if i in queue:
                    rest = tuple(j for j in queue if j != i)
                    yield to("woken_by_limit" if pc == "asleep" else "readied twice", q=rest, cut=True)
                elif pc != "end" and pc != "asleep":
                    yield to(pc, cut=True, more=more)
                elif pc == "asleep":  # popped: it is the waker's
                    yield to(pc, cut=True)

    def close(self, to, then, closed, users, kernel, wakes=True):
        after = ("tell", then) if wakes else then
        if closed:
            yield to(then)
        elif users == 0 or self.variant == "closes_at_once":
            yield to(after, c=True, k=self.SHUT)
        else:
            yield to(after, c=True)

    @staticmethod
    def wake(to, pc, more, threads, how):
        j, rest = more[0], more[1:]
        pcj, seenj, cutj, morej = threads[j]
        other = (how if pcj == "asleep" else "readied twice", seenj, cutj, morej)
        return to(pc, more=rest, others=((j, other),))

    def wrong(self, state, rests):
        _, _, closed, _, deadline, _, _, _, _, _, _, kernel, threads = state
        for pc, seen, _, _ in threads:
            if pc in ("readied twice", "called on a closed number"):
                return pc
            if rests and pc == "asleep" and (closed or kernel[1] or kernel[4] or deadline != seen):
                return "a wake-up is lost"
            if rests and (isinstance(pc, tuple) or pc not in ("asleep", "take", "end", "poll", "send", "open")):
                return f"stuck at {pc}"
        return ""


def main():
    runs = []
    for variant, wants_error, *sizes in [
            ("full", False, dict(readers=2, sends=2, pollers=2)),
            ("full", False, dict(readers=2, timed=1, closers=1)),
            ("full", False, dict(readers=2, timed=2, sends=1)),
            ("full", False, dict(readers=1, closers=2, movers=(FAR,))),
            ("full", False, dict(readers=1, timed=1, movers=(FAR, PAST))),
            ("full", False, dict(readers=1, closers=1, pollers=2, sends=2, successor=True)),
            ("full", False, dict(readers=1, timed=1, pollers=2, sends=2, successor=True)),
            ("late_event", False, dict(readers=1, timed=1, pollers=2, sends=2, successor=True)),
            ("full", False, dict(readers=2, sends=1, pollers=2, ends=True)),
            ("full", False, dict(readers=3, sends=1, ends=True)),
            ("full", False, dict(readers=2, timed=1, sends=1, ends=True)),
            ("blind_to_end", True, dict(readers=3, sends=1, ends=True)),
            ("clears_late", True, dict(readers=2, sends=2)), ("looks_first", True, dict(readers=1)),
            ("blind_sleeper", True, dict(readers=1, closers=1)),
            ("blind_sleeper", True, dict(readers=1, sends=0, movers=(PAST,))),
            ("wakes_first", True, dict(readers=1, closers=1)),
            ("wakes_first", True, dict(readers=1, sends=0, movers=(PAST,))),
            ("closes_at_once", True, dict(readers=1, closers=1)),
            ("stays_queued", True, dict(readers=1, timed=1, movers=(FAR,))),
            ("registers_once", True, dict(readers=1, timed=1, sends=2, successor=True))]:
        model = Model(variant, **sizes[0])
        error, states = explore(model.first, model.steps, model.wrong)
        name = f"{variant}: " + ", ".join(f"{key} {value}" for key, value in sizes[0].items())
        runs.append((name, wants_error, error, states))
    check_all(runs)


if __name__ == "__main__":
    main()
