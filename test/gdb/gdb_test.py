#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright The Hamgam Authors
"""gdb_test.py GDB SCRIPT PROGRAM REFUSE [LIBRARY]: what tools/gdb/hamgam-gdb.py shows of test/gdb/gdb_program.cpp, in
a live process, an attached one and a core; and of lists that are damaged. REFUSE: test/refuse, as gdb's
gcore can't write a core of what has guards of the kernel's new kind. LIBRARY: the shared one that the
program uses; all symbols that the linker does not need are taken away then."""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

GDB, SCRIPT, PROGRAM, REFUSE, *LIBRARY = sys.argv[1:]
SOURCE = (pathlib.Path(__file__).parent / "gdb_program.cpp").read_text().splitlines()
RECEIVES = next(number for number, line in enumerate(SOURCE, 1) if "ticket + tickets.recv" in line)
ENVIRONMENT = {**os.environ, "HAMGAM_PROCS": "4", "LC_ALL": "C", "DEBUGINFOD_URLS": ""}
AGE = r"(, (up to )?\d+ \w+)?"  # where the machine is slow
BOTTOM = r"#\d+ [^\n]*hamgam_fiber_entry \(" if not LIBRARY else r"#\d+ "
# Where switches are made by ucontext, it is not known what is waited for.
WAITS = r"" if os.environ.get("HAMGAM_TEST_CONTEXT") == "ucontext" else r", waits for 0x\w+"
PARKED = {"washer": "waits_at_door", "reader": "reads_ticket", "sleeper": "sleeps_long"}


def gdb(arguments, *commands, refuse=False):
    """What gdb says; commands are done in turn, also after one that fails."""
    line = [REFUSE, "guards"] if refuse else []
    line += [GDB, "-nx", "-q", "-batch", "-ex", "set disable-randomization off", "-ex", "set width 0",
             "-ex", f"source {SCRIPT}"]
    for command in commands:
        line += ["-ex", command]
    done = subprocess.run(line + arguments, env=ENVIRONMENT, stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=280)
    return done.stdout


def live(*commands, crowd=0, refuse=False):
    return gdb([PROGRAM], "break reached", f"run {crowd} </dev/null", *commands, refuse=refuse)


def soname(library):
    dynamic = subprocess.run(["readelf", "-d", library], check=True, text=True, stdout=subprocess.PIPE)
    return re.search(r"SONAME.*\[(.*)\]", dynamic.stdout).group(1)


def part(output, number):
    """What stands behind the number-th marker."""
    return re.split(r"^MARK\d*$", output, flags=re.M)[number]


class Goroutines(unittest.TestCase):
    def check_list(self, output):
        for state, name, what in (
                ("sync.Mutex.Lock", "washer", f"waits_at_door.*{WAITS and WAITS + ' <g_door>'}"),
                ("chan receive", "reader", f"reads_ticket at gdb_program.cpp:{RECEIVES}{WAITS}"),
                ("sleep", "sleeper", "sleeps_long at gdb_program.cpp"),
                ("blocking on thread \\d+", "filer", ""),
                ("running on thread \\d+", "spinner", "spins_for_ever")):
            self.assertRegex(output, rf'(?m)^[ *] \d+ +{state}{AGE} +"{name}" .*{what}')
        self.assertRegex(output, r'(?m)^[ *] 1 +running on thread \d+ ')

    def check_stacks(self, output):
        for name, function in PARKED.items():
            self.assertRegex(output, rf"goroutine \d+ \[[^\n]*\]: {name}\n"
                                     rf"(#[^\n]*\n)*#\d+ [^\n]*{function} \([^\n]*gdb_program.cpp:\d+\n"
                                     rf"(#[^\n]*\n)*{BOTTOM}")
        self.assertRegex(output, r"\]: spinner\n(#[^\n]*\n)*#\d+ [^\n]*spins_for_ever")
        self.assertRegex(output, r"\]: filer\n(#[^\n]*\n)*#\d+ [^\n]*reads_pipe")
        self.assertNotIn("corrupt", output)
        self.assertNotIn("Traceback", output)

    def numbers(self, output):
        return {name: number for number, name in re.findall(r'(?m)^[ *] (\d+) .*?"(\w+)"', output)}

    def test_live(self):
        reader = self.numbers(live("info goroutines"))["reader"]
        output = live(
            "echo MARK\\n", "info goroutines", "echo MARK\\n", "goroutine all bt",
            "echo MARK1\\n", f"goroutine {reader}", "frame apply all -s info locals",
            "goroutine off", "frame",
            "echo MARK2\\n", f"goroutine {reader}", "next", "bt",
            "echo MARK3\\n", "goroutine 99999 bt", "goroutine nonsense")
        self.assertRegex(part(output, 1), r"(?m)^\* 1 +running on thread \d+ +reached at gdb_program.cpp")
        self.check_list(part(output, 1))
        self.check_stacks(part(output, 2))
        self.assertIn("ticket = 4711", part(output, 3))
        self.assertRegex(part(output, 3).strip().splitlines()[-2], r"^#0 +reached \(\)")
        # To go on is to leave it.
        self.assertRegex(part(output, 4), r"(?m)^#0 .*\n(#.*\n)*#\d+ .*main")
        self.assertNotRegex(part(output, 4).split("next", 1)[-1], r"(?m)^#\d+ .*reads_ticket.*\n#")
        self.assertIn("There is no goroutine 99999.", part(output, 5))
        self.assertIn("Usage: ", part(output, 5))

    def test_core(self):
        with tempfile.TemporaryDirectory() as folder:
            core = f"{folder}/core"
            written = live(f"gcore {core}", refuse=True)
            self.assertTrue(os.path.exists(core), written)
            output = gdb([PROGRAM, core], "echo MARK\\n", "info goroutines", "echo MARK\\n",
                         "goroutine all bt", "thread 2", "goroutine 1 bt", "goroutine 1 p $sp = 0")
        self.check_list(part(output, 1))
        self.check_stacks(part(output, 2))
        self.assertRegex(part(output, 2), r"#\d+ [^\n]*reached \(\)")

    def test_attached_also_from_a_thread_that_runs_none(self):
        with subprocess.Popen([PROGRAM], env=ENVIRONMENT, stdin=subprocess.PIPE, text=True,
                              stdout=subprocess.PIPE) as program:
            self.assertEqual(program.stdout.readline(), "ready\n")
            output = gdb(["-p", str(program.pid)], "echo MARK\\n", "info goroutines", "echo MARK\\n",
                         "goroutine all bt", "detach")
            program.stdin.close()  # it goes on, and ends
            self.assertEqual(program.wait(), 0)
        self.check_list(part(output, 1))
        self.check_stacks(part(output, 2))

    def test_a_damaged_list_ends(self):
        slab = "*(unsigned long *)((unsigned long *)&hamgam_debug_layout)[3]"
        output = live("echo MARK\\n", f"set var *(unsigned long *)({slab}) = {slab}", "info goroutines",
                      "echo MARK\\n", f"set var *(unsigned long *)({slab}) = 0x5a5a5a5a5a5a", "info goroutines",
                      "echo MARK\\n", f"set var {slab} = 8", "info goroutines", "goroutine 1 bt")
        self.assertRegex(part(output, 1), r"The list of goroutines is damaged: it comes back to 0x\w+\. \d+ ")
        self.check_list(part(output, 1))
        self.assertRegex(part(output, 2), r"The list of goroutines is damaged: Cannot access memory")
        self.assertIn("There is no goroutine 1. (The list of goroutines is damaged:", part(output, 3))
        self.assertNotIn("Traceback", output)

    def test_many_are_grouped_within_seconds(self):
        output = live("python import time; start = time.monotonic()", "info goroutines",
                      "python print('seconds', time.monotonic() - start)", crowd=100_000)
        self.assertRegex(output, r"\d+, \d+, [^\n]* \(100000 in all\) +chan receive" + AGE + r" +[^\n]*waits_in_crowd")
        print("100,000 goroutines:", re.search("seconds .*", output).group(), file=sys.stderr)
        self.check_list(output)

    def test_without_a_process(self):
        self.assertIn("There is no process", gdb([PROGRAM], "info goroutines"))
        self.assertIn("No symbol hamgam_debug_layout",
                      gdb(["/bin/true"], "starti", "info goroutines", "kill"))


def main():
    with tempfile.TemporaryDirectory() as folder:
        for library in LIBRARY:
            subprocess.run(["strip", library, "-o", f"{folder}/{soname(library)}"], check=True)
            ENVIRONMENT["LD_LIBRARY_PATH"] = folder
        unittest.main(argv=sys.argv[:1], verbosity=2)


if __name__ == "__main__":
    main()
