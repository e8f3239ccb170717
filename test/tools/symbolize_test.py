#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright The Hamgam Authors
"""symbolize_test.py SCRIPT ADDR2LINE PROGRAM FIXED_PROGRAM: what tools/hamgam-symbolize makes of dumps of
test/tools/symbolize_program.cpp."""
import importlib.machinery
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import types
import unittest

sys.dont_write_bytecode = True
SCRIPT, ADDR2LINE, *PROGRAMS = sys.argv[1:]
SOURCE = (pathlib.Path(__file__).parent / "symbolize_program.cpp").read_text().splitlines()


def line_of(mark):
    number = next(number for number, line in enumerate(SOURCE, 1) if line.endswith(f"// {mark}"))
    return rf"[^\n]*/symbolize_program\.cpp:{number}\n"


def dump_of(program):
    return subprocess.run([program], stdout=subprocess.PIPE, check=True, text=True, timeout=100).stdout


def symbolize(text, *arguments):
    done = subprocess.run([SCRIPT, "--tool", ADDR2LINE, *arguments], input=text, capture_output=True, check=True,
                          text=True, timeout=100)
    return done.stdout


class Symbolize(unittest.TestCase):
    def test_lines_and_inlined_functions(self):
        for program in PROGRAMS:
            with self.subTest(program=program):
                text = symbolize(dump_of(program))
                visitor = re.search(r"^goroutine \d+ \[chan receive\]: visitor\n(.+\n)+", text, re.M)[0]
                self.assertRegex(visitor, r"takes_ticket[^\n]*\(inlined\)\n\t" + line_of("takes") +
                                 r"[^\n]*queues_up\([^\n]*\n\t" + line_of("queues"))
                self.assertRegex(visitor, r"created by [^\n]* at [^\n]*opens\([^\n]*\n\t" + line_of("opens"))
                self.assertNotRegex(visitor, r"/include/(c\+\+|hamgam)/")

    def test_a_stack_of_others_keeps_its_first(self):
        loader = importlib.machinery.SourceFileLoader("symbolizer", SCRIPT)
        script = types.ModuleType(loader.name)
        loader.exec_module(script)
        script.find_files = lambda name, folders: [name]
        script.look_up = lambda tool, path, offsets: {o: [("f", "/include/c++/12/functional:1")] for o in offsets}
        text = ("goroutine 1 [sync.Mutex.Lock]:\nwaits for 0x1, held by goroutine 2, which locked it at g()\n\tp(+0x1)\n"
                "a()\n\tp(+0x2)\nb()\n\tp(+0x3)\ncreated by goroutine 3 at h()\n\tp(+0x4)\n\n"
                "goroutine 2 [running]:\n\tits stack has 1 bytes\nc()\n\tp(+0x5)\nd()\n\tp(+0x6)\n")
        shown = script.symbolize(text, "", [], False)
        self.assertEqual(re.findall(r"^([a-z])\(\)$", shown, re.M), ["a", "c"], shown)
        self.assertEqual(shown.count("functional:1"), 4, shown)

    def test_all(self):
        dump = dump_of(PROGRAMS[0])
        self.assertGreater(symbolize(dump, "--all").count(" (inlined)\n"), symbolize(dump).count(" (inlined)\n"))

    def test_all_else_stays(self):
        text = "panic: (+0x12)\n\tno such file(+0x1234)\n\t/dev/null(+0x1234)\n\t0x1234\n\nlast \udcff"
        text = text.encode(errors="surrogateescape")
        done = subprocess.run([SCRIPT], input=text, capture_output=True, check=True, timeout=100)
        self.assertEqual(done.stdout, text)
        dump = dump_of(PROGRAMS[0])
        for line in dump.splitlines():
            if not line.startswith("\t"):
                self.assertIn(line, symbolize(dump, "--all"))

    def test_names_of_the_linker(self):
        dump = re.sub(r"^[^\n]*queues_up\(.*$", "_ZN12_GLOBAL__N_19queues_upEi", dump_of(PROGRAMS[0]), flags=re.M)
        self.assertRegex(symbolize(dump), r"\n[^\n_]*queues_up[^\n]*\n\t" + line_of("queues"))

    def test_moved(self):
        dump = dump_of(PROGRAMS[0])
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "dump"
            file.write_text(dump.replace(str(pathlib.Path(PROGRAMS[0]).parent), "/nowhere"))
            self.assertNotRegex(symbolize("", str(file)), line_of("queues"))
            shutil.copy(PROGRAMS[0], folder)
            self.assertRegex(symbolize("", "--dir", folder, str(file)), line_of("queues"))

    def test_stripped(self):
        with tempfile.TemporaryDirectory() as folder:
            program, whole = pathlib.Path(folder) / "program", pathlib.Path(folder) / "whole"
            whole.mkdir()
            shutil.copy(PROGRAMS[0], program)
            shutil.copy(PROGRAMS[0], whole / "program")
            dump = dump_of(program)
            subprocess.run(["strip", program], check=True)
            self.assertNotRegex(symbolize(dump), line_of("queues"))
            self.assertRegex(symbolize(dump, "--dir", whole), line_of("queues"))

    def test_ends_of_lines(self):
        dump = dump_of(PROGRAMS[0])
        windows = dump.replace("\n", "\r\n").encode(errors="surrogateescape")
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "dump"
            file.write_bytes(windows + b"a\rb\x0cc")
            done = subprocess.run([SCRIPT, "--tool", ADDR2LINE, file], capture_output=True, check=True, timeout=100)
        expected = symbolize(dump).replace("\n", "\r\n").encode(errors="surrogateescape")
        self.assertEqual(done.stdout, expected + b"a\rb\x0cc")


unittest.main(argv=sys.argv[:1])
