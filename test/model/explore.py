# SPDX-License-Identifier: Apache-2.0
# Copyright The Hamgam Authors
"""Exhaustive search for the models here, whose states are tuples of threads' places and of shared memory.

A missing fence between a store and a load is modelled as what it allows: the load is made first.
"""
import sys
from collections import deque


def explore(first, steps, wrong):
    """The first wrong state's message or "", and how many states there are. steps(state) yields what may
    come next; wrong(state, rests) tells what is wrong with a state; rests: nothing comes next."""
    seen, todo = {first}, deque([first])
    while todo:
        state = todo.popleft()
        following = list(steps(state))
        error = wrong(state, not following)
        if error:
            return error, len(seen)
        for after in following:
            if after not in seen:
                seen.add(after)
                todo.append(after)
    return "", len(seen)


def check_all(runs):
    """runs: (name, whether an error must be found, message, states). Exits with what became of them."""
    good = True
    for name, wants_error, error, states in runs:
        good = good and bool(error) == wants_error
        print(f"{name}: {error or 'ok'}, {states} states"
              + ("" if bool(error) == wants_error else "  <-- WRONG"))
    sys.exit(0 if good else 1)
