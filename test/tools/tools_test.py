#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright The Hamgam Authors
"""Plants violations in a temporary tree and sees that the tools of tools/ report them."""
import json
import pathlib
import shutil
import subprocess
import tempfile
import unittest
import xml.dom.minidom

TOOLS = pathlib.Path(__file__).resolve().parents[2] / "tools"


class ToolTest(unittest.TestCase):
    tool = ""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        (self.root / "src").mkdir()
        (self.root / "tools").mkdir()
        shutil.copy(TOOLS / "layers.txt", self.root / "tools")

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def run_tool(self, *arguments):
        command = [TOOLS / self.tool, *arguments]
        return subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=False)

    def expect_clean(self):
        done = self.run_tool()
        self.assertEqual((done.returncode, done.stdout), (0, ""))

    def expect(self, *messages):
        """Exactly these violations, each of them given by its beginning."""
        done = self.run_tool()
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        lines = done.stdout.splitlines()
        self.assertEqual(len(lines), len(messages), done.stdout)
        for line, message in zip(lines, messages):
            self.assertTrue(line.startswith(message), f"{line!r} is not {message!r}")


class CheckLayers(ToolTest):
    tool = "check_layers"

    def test_downward_and_own_layer_pass(self):
        self.write("src/sched/a.cpp", '#include "sched/a.h"\n#include "base/b.h"\n'
                   '#include "hamgam/mutex.h"\n#include <sys/mman.h>\n#include "near.h"\n')
        self.expect_clean()

    def test_upward(self):
        self.write("src/base/a.h", '\n  #  include "sched/park.h"\n')
        self.expect('src/base/a.h:2: layer base includes "sched/park.h"')

    def test_tests_and_benchmarks_include_anything(self):
        self.write("src/base/a_test.cpp", '#include "sync/mutex.h"\n')
        self.write("src/base/a_bench.cpp", '#include "sync/mutex.h"\n')
        self.expect_clean()

    def test_public_header_including_source(self):
        self.write("include/hamgam/a.h", '#include "sched/park.h"\n')
        self.expect('include/hamgam/a.h:1: a public header includes "sched/park.h"')

    def test_unlisted_folder(self):
        self.write("src/util/a.h", "")
        self.write("src/a.h", "")
        self.expect("src/a.h:1: not in a folder", "src/util/a.h:1: not in a folder")

    def test_model_is_no_layer(self):
        self.write("src/model/a.h", '#include "observe/b.h"\n')
        self.write("src/os/a.h", '#include "model/a.h"\n')
        self.expect('src/os/a.h:1: layer os includes "model/a.h"')

    def test_relative(self):
        self.write("src/base/a.h", '#include "../sched/park.h"\n')
        self.expect('src/base/a.h:1: "../sched/park.h"')


class CheckOrders(ToolTest):
    tool = "check_orders"

    def test_pair_passes(self):
        self.write("src/sync/a.cpp",
                   "x.store(1, kRelease);  // [a.1] release, pairs with [a.2]: why\n"
                   "// [a.2] acquire\nif (x.load(std::memory_order_acquire)) {\n}\n")
        self.expect_clean()

    def test_strong_without_tag(self):
        self.write("src/sync/a.cpp", "int y;\nx.store(1, std::memory_order::seq_cst);\n")
        self.expect("src/sync/a.cpp:2: seq_cst without a tag")

    def test_fence_without_tag(self):
        self.write("src/sync/a.cpp", "full_fence();\n")
        self.expect("src/sync/a.cpp:1: full_fence without a tag")

    def test_fence_below_a_tagged_access(self):
        self.write("src/sync/a.cpp", "// [a.1] seq_cst, pairs with itself\nx.store(1, kSeqCst);\n"
                   "full_fence();\nint y;\nfull_fence();\n")
        self.expect("src/sync/a.cpp:5: full_fence without a tag")

    def test_described_with_a_fence(self):
        head = "// [a.1] who: store x;  fence; load y\n// [a.2] other: store y; load x\n\n"
        bare = "// [a.1] seq_cst, pairs with [a.2]\nx.store(1, kSeqCst);\n{}// [a.2] seq_cst\ny.store(1, kSeqCst);\n"
        self.write("src/sync/a.cpp", head + bare.format("fence_after_rmw();\n"))
        self.expect_clean()
        self.write("src/sync/a.cpp", head + bare.format("int z;\n"))
        self.expect("src/sync/a.cpp:5: [a.1] is described with a fence, and none stands here")

    def test_fence_in_a_branch(self):
        function = ("void f() {{\n  if (rarely) {{{}\n    x.load(kRelaxed);  // relaxed: fenced below\n"
                    "    full_fence();  // [a.1] seq_cst, pairs with itself\n{}  }}\n{}}}\n\nint z;\n")
        for passes in (function.format("", "", ""), function.format("", "    return;\n", "  y();\n"),
                       function.format("", "", "  return z;\n"),
                       function.format("  // unfenced: why", "", "  y();\n"),
                       function.format("", "    while (a) {\n      continue;\n    }\n    return;\n", "  y();\n")):
            self.write("src/sync/a.cpp", passes)
            self.expect_clean()
        for fails in (function.format("", "", "  y();\n"), function.format("", "", "  return y();\n"),
                      function.format("", "    while (a) {\n      continue;\n    }\n", "  y();\n"),
                      function.format("", "  } else {\n    y();\n", "  y();\n")):
            self.write("src/sync/a.cpp", fails)
            self.expect("src/sync/a.cpp:4: a fence in a branch that others pass by")

    def test_as_above(self):
        for order in ("relaxed: as above", "relaxed throughout: as above; and more"):
            self.write("src/sync/a.cpp", f"x.load(kRelaxed);  // {order}\n")
            self.expect('src/sync/a.cpp:1: "as above" is no reason')

    def test_fence_in_a_loop(self):
        self.write("src/sync/a.cpp", "for (;;) {\n  full_fence();  // [a.1] seq_cst, pairs with itself\n}\ny();\n")
        self.expect_clean()

    def test_relaxed_access_that_others_order(self):
        self.write("src/sync/a.cpp",
                   "x.load(kRelaxed);  // relaxed: fenced, [a.2] pairs with [a.1]\n// [a.1] seq_cst\nx.store(1, kSeqCst);\n")
        self.expect_clean()

    def test_using_is_no_access(self):
        self.write("src/sync/a.cpp", "using detail::kAcquire;\n")
        self.expect_clean()

    def test_tag_of_another_statement_does_not_count(self):
        self.write("src/sync/a.cpp", "// [a.1] release, pairs with itself\nx.store(1, kRelease);\n"
                   "x.store(2, kRelease);\n")
        self.expect("src/sync/a.cpp:3: release without a tag")

    def test_partner_missing(self):
        self.write("src/sync/a.cpp", "x.load(kAcquire);  // [a.1] acquire, pairs with [a.2]\n")
        self.expect("src/sync/a.cpp:1: [a.2] stands at no atomic access")

    def test_tag_nobody_pairs(self):
        self.write("src/sync/a.cpp", "x.load(kAcquire);  // [a.1] acquire\n")
        self.expect("src/sync/a.cpp:1: [a.1] has no partner")

    def test_comment_that_names_a_lost_tag(self):
        self.write("include/hamgam/a.h", "// See [gone.1].\nint y;\n")
        self.expect("include/hamgam/a.h:1: [gone.1] stands at no atomic access")

    def test_statement_over_several_lines(self):
        self.write("src/sync/a.cpp", "return x.load(kRelaxed) == 0 &&  // relaxed: a hint\n"
                   "       y.exchange(1, kAcquire) == 0;  // [a.1] acquire, pairs with [a.2],\n"
                   "// [a.2] release\ny.store(0, kRelease);\n")
        self.expect_clean()

    def test_relaxed_without_reason(self):
        self.write("include/hamgam/a.h", "int f() { return x.load(kRelaxed); }\n")
        self.expect("include/hamgam/a.h:1: relaxed without its reason")

    def test_relaxed_with_reason(self):
        self.write("src/sync/a.cpp", "x.load(kRelaxed);  // relaxed: a hint\n"
                   "// relaxed: a hint\nx.load(kRelaxed);\n")
        self.expect_clean()

    def test_relaxed_throughout_ends_at_blank_line(self):
        self.write("src/sync/a.cpp", "// relaxed throughout: hints\nint f() {\n"
                   "  x.load(kRelaxed);\n}\n\nint y = x.load(kRelaxed);\n")
        self.expect("src/sync/a.cpp:6: relaxed without its reason")

    def test_failure_order_of_a_compare_exchange(self):
        self.write("src/sync/a.cpp", "// [a.1] acq_rel, pairs with itself\n"
                   "x.compare_exchange_strong(old, 1, kAcqRel,\n    kRelaxed);\n")
        self.expect_clean()

    def test_strings_are_no_comments(self):
        self.write("src/sync/a.cpp", 'puts("// [a.1] release"); x.store(1, kRelease);\n')
        self.expect("src/sync/a.cpp:1: release without a tag")

    def test_tests_are_not_looked_at(self):
        self.write("src/sync/a_test.cpp", "x.store(1, kRelease);\n")
        self.expect_clean()


class CheckSizes(ToolTest):
    tool = "check_sizes"

    def test_limit_is_inclusive(self):
        self.write("src/sync/a.cpp", "\n" * 800)
        done = self.run_tool()
        self.assertEqual(done.returncode, 0)
        self.assertIn("src/sync/a.cpp:800: warning", done.stdout)

    def test_too_long(self):
        self.write("src/sync/a.cpp", "\n" * 801)
        self.expect("src/sync/a.cpp:801: 801 lines")

    def test_short(self):
        self.write("src/sync/a.cpp", "\n" * 500)
        self.expect_clean()


class DocsSamples(ToolTest):
    tool = "docs_samples"
    SOURCE = "#include <a>\nint main() {\n  // [loop]\n  go();\n    deep();\n  // [/loop]\n}\n"

    def page(self, *lines):
        body = "".join(line + "\n" for line in lines)
        return f"Text\n<!-- sample: examples/a.cpp [loop] -->\n```cpp\n{body}```\nEnd\n"

    def test_same(self):
        self.write("examples/a.cpp", self.SOURCE)
        self.write("README.md", self.page("go();", "  deep();"))
        self.assertEqual(self.run_tool("--check").returncode, 0)

    def test_difference_is_reported_then_mended(self):
        self.write("examples/a.cpp", self.SOURCE)
        self.write("docs/deep/a.md", self.page("old();"))
        done = self.run_tool("--check")
        self.assertEqual(done.returncode, 1)
        self.assertIn("docs/deep/a.md:2: ", done.stdout)
        self.assertEqual(self.run_tool().returncode, 0)
        self.assertEqual((self.root / "docs/deep/a.md").read_text(),
                         self.page("go();", "  deep();"))

    def test_whole_file_without_its_licence_lines(self):
        self.write("examples/a.cpp", "// SPDX-License-Identifier: Apache-2.0\n"
                   "// Copyright The Hamgam Authors\n\n#include <a>\n")
        self.write("README.md", "<!-- sample: examples/a.cpp -->\n```cpp\n```\n")
        self.assertEqual(self.run_tool().returncode, 0)
        self.assertIn("```cpp\n#include <a>\n```", (self.root / "README.md").read_text())

    def test_lost_source_and_lost_name(self):
        self.write("README.md", self.page())
        self.assertIn("README.md:2: no file examples/a.cpp", self.run_tool("--check").stdout)
        self.write("examples/a.cpp", "int main() {}\n")
        done = self.run_tool("--check")
        self.assertEqual(done.returncode, 1)
        self.assertIn("README.md:2: no // [loop]", done.stdout)

    def test_marker_without_block(self):
        self.write("examples/a.cpp", self.SOURCE)
        self.write("README.md", "<!-- sample: examples/a.cpp -->\nno block\n")
        done = self.run_tool("--check")
        self.assertEqual(done.returncode, 1)
        self.assertIn("README.md:1: no fenced block", done.stdout)


class CheckDocs(ToolTest):
    tool = "check_docs"
    SAMPLES = ("<!-- sample: examples/guide/a.cpp -->\n```cpp\nint main() {}\n```\n\n"
               "<!-- sample: examples/guide/a.out -->\n```text\n```\n")
    RTL = '<div dir="rtl">\n\n{}\n\n</div>\n\n'

    def setUp(self):
        super().setUp()
        self.write("examples/guide/a.cpp", "int main() {}\n")
        self.write("examples/guide/a.out", "")
        self.write("include/hamgam/a.h", "class Mutex { void lock(); };  // unlock\n")
        self.write("include/hamgam/detail/clock.h", "struct Clock;\n")
        self.write("include/hamgam/detail/annotations.h", "")
        self.write("docs/guide/en/README.md", "# All\n\n[a](a.md)\n")
        self.write("docs/guide/fa/README.md", self.RTL.format("# همه\n\n[a](a.md)"))
        self.write("docs/guide/en/a.md", "# A\n\n" + self.SAMPLES)
        self.persian("می‌رود، کتاب‌ها را می‌خواند؛ خانه‌ی ما")

    def persian(self, text):
        self.write("docs/guide/fa/a.md", self.RTL.format(text) + self.SAMPLES)

    def test_agrees(self):
        self.expect_clean()

    def test_page_on_one_side(self):
        self.write("docs/guide/fa/b.md", self.RTL.format("ب"))
        self.expect("docs/guide/fa/b.md:1: there is no docs/guide/en/b.md",
                    "docs/guide/fa/b.md:1: docs/guide/fa/README.md does not lead to it")

    def test_other_samples(self):
        self.write("docs/guide/fa/a.md", self.RTL.format("ب"))
        self.expect("docs/guide/fa/a.md:1: other samples")

    def test_code_by_hand(self):
        self.write("docs/guide/en/a.md", "# A\n\n```sh\nls\n```\n\n```cpp\nx\n```\n" + self.SAMPLES)
        self.expect("docs/guide/en/a.md:7: code that is no sample")

    def test_program_that_is_not_shown(self):
        self.write("examples/guide/b.cpp", "")
        self.expect("examples/guide/b.cpp:1: there is no b.out",
                    "examples/guide/b.cpp:1: no page of the guide shows it whole",
                    "examples/guide/b.out:1: no page of the guide shows it whole")

    def test_persian_faults(self):
        for text, message in (("كتاب", "an Arabic letter"), ("علي", "an Arabic letter"),
                              ("٣ بار", "an Arabic digit"), ("خواند, نوشت", "Latin punctuation"),
                              ("چرا?", "Latin punctuation"), ("می رود", "a space where"),
                              ("نمی رود", "a space where"), ("کتاب ها", "a space where"),
                              ("خانه ی ما", "a space where"), ("رفت‌ و", "a half-space at the end"),
                              ("ســـلام", "a stretched letter"),
                              ("با `f()` و", "no U+200E beside `f()`"), ("با `*f`", "no U+200E beside")):
            self.persian(text)
            self.expect(f"docs/guide/fa/a.md:3: {message}")
        self.persian("قدیمی رفت، آن‌ها \u200e`ك, ي`\u200e و قوی ماند")
        self.expect_clean()

    def test_directions(self):
        self.write("docs/guide/fa/a.md", "متن\n\n" + self.SAMPLES)
        self.expect("docs/guide/fa/a.md:1: text outside of")
        self.write("docs/guide/fa/a.md", '<div dir="rtl">\n\n' + self.SAMPLES.replace("```\n\n", "```\n\n</div>\n"))
        self.expect('docs/guide/fa/a.md:4: code inside of')

    def test_tables(self):
        table = "# T\n\n| Go | Hamgam |\n|---|---|\n| `Gone` | `{}`, `std::gone()` gone |\n"
        for name in ("Mutex", "Mutex` `lock()", "Mutex` `Clock", "Mutex` `HAMGAM_PROCS"):
            self.write("docs/from_go.md", table.format(name))
            self.expect_clean()
        self.write("docs/from_std.md", "| a | Hamgam |\n|---|---|\n| a | `Mutex` |\n")
        for name in ("Mutexx", "unlock"):
            self.write("docs/from_go.md", table.format(name))
            self.expect(f"docs/from_go.md:5: no public header has {name}")
        self.write("docs/choose.md", "| a | Hamgam |\n|---|---|\n| a |\n")
        self.write("docs/from_go.md", "")
        self.expect("docs/choose.md:3: 1 cells in a table of 2")

    def test_name_without_table(self):
        self.write("docs/from_go.md", "| Go | Hamgam |\n|---|---|\n| `Mutex` | `Mutex` |\n")
        self.write("include/hamgam/b.h", "namespace hamgam::inline ABI {\nnamespace detail {\nstruct In {};\n"
                   "}  // namespace detail\nclass HAMGAM_X(\"a\") Out : In {\n  int f();\n};\nstruct Later;\n"
                   "[[nodiscard]] HAMGAM_API int ask(int n);\ntemplate <class T>\nChan<T> make(int n) {\n")
        self.expect(*(f"include/hamgam/b.h:{line}: no table of docs/ has {name}"
                      for line, name in ((5, "Out"), (9, "ask"), (11, "make"))))

    def test_links(self):
        self.write("README.md", "# Head: `x` y\n[a](#head-x-y) [b](docs/guide/en/a.md#a) [c](https://x.org)\n")
        self.expect_clean()
        self.write("README.md", "[a](#head)\n[b](docs/b.md)\n`[c](d)`\n")
        self.expect("README.md:1: README.md has no heading head", "README.md:2: docs/b.md leads nowhere")



class Instructions(ToolTest):
    """bench/instructions/check, with scripts in the place of the programs that it runs."""

    tool = "../bench/instructions/check"

    def setUp(self):
        super().setUp()
        self.program("ops", 'if [ "$1" = --list ]; then echo A/b; else echo gcc 12, glibc 2; fi')
        self.takes(100, 2)
        self.limit(105, 2.25)

    def program(self, name, script):
        self.write(name, f"#!/bin/sh\n{script}\n")
        (self.root / name).chmod(0o755)

    def takes(self, instructions, locked):
        self.program("count", f"echo {instructions} {locked}")

    def limit(self, instructions, locked, name="A/b", compiler="gcc 12, glibc 2"):
        self.write("limits.txt", f"# head\ncompiler {compiler}\n{name} {instructions} {locked}\n")

    def expect(self, status, *parts, arguments=()):
        done = self.run_tool("--build", self.root, "--limits", self.root / "limits.txt", *arguments)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        for part in parts:
            self.assertIn(part, done.stdout)

    def test_within_the_limits(self):
        self.expect(0, "100.00", "no operation is refused")

    def test_above_the_limits(self):
        self.limit(99.9, 2.25)
        self.expect(1, "above the limit", "1 refused")
        self.limit(105, 1.99)
        self.expect(1, "above the limit", "1 refused")

    def test_far_below_the_limits(self):
        self.limit(126, 2.25)
        self.expect(1, "far below: lower the limit")
        self.limit(105, 3.25)
        self.expect(1, "far below: lower the limit")
        self.limit(124, 2.49)
        self.expect(0)
        self.takes(3, 0)
        self.limit(5, 0.25)
        self.expect(0)

    def test_operations_and_limits_are_the_same(self):
        self.limit(105, 2.25, name="A/c")
        self.expect(1, "no limit: add it by --update", "A/c: there is a limit", "2 refused")

    def test_the_best_of_some_tries(self):
        self.program("count", f"cd {self.root}; [ -e once ] && echo 100 2 || echo 200 2; touch once")
        self.expect(0, "no operation is refused")

    def test_a_program_that_fails(self):
        self.program("count", "exit 1")
        self.expect(1, "failed", "1 refused")

    def test_another_compiler_is_not_judged(self):
        self.limit(1, 0, compiler="gcc 13, glibc 2")
        self.expect(0, "This is gcc 12, glibc 2; the limits are for gcc 13, glibc 2", "100.00")

    def test_a_machine_that_cannot_count(self):
        self.program("count", "echo ptrace is refused here; exit 77")
        self.expect(0, "not measured: ptrace is refused here")

    def test_update(self):
        self.takes(200, 3)
        self.expect(0, "200.00", arguments=["--update"])
        self.expect(0, "210.00", "3.25", "no operation is refused")


class Report(unittest.TestCase):
    """bench/report, on figures that were made up for it."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        (self.root / "bench").mkdir()
        (self.root / "bench/reasons.txt").write_text("# why\nMap/.* | tbb,std | It has no lock.\n")

    def document(self, kind, results, load=0.0, **more):
        return {"kind": kind, "date": "2026-01-02", "commands": [f"./dev bench --{kind}"], "rounds": 3,
                "machine": {"cpu": "Fast", "cores": 2, "kernel": "6.1", "load": load}, "results": results, **more}

    def operations(self, load=0.0):
        def cell(name, workers, **runs):
            return {"name": name, "workers": workers, "unit": "ns", "runs": runs}
        return self.document("operations", [
            cell("Map/load_hits", 1, hamgam=[20, 22, 24], tbb=[10, 11, 12], go=[30, 30, 30]),
            cell("Mutex/contended", 1, hamgam=[10, 12, 20], go=[20, 21, 25]),
            cell("Mutex/contended", 2, hamgam=[10, 12, 20], go=[5, 6, 7]),
        ], load, versions={"hamgam": "0.1.0", "compiler": "gcc 12", "build": "Release"}, failed=[])

    def report(self, *arguments, status=0):
        command = [TOOLS.parent / "bench/report", "--root", self.root, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stdout

    def page(self, *documents):
        files = []
        for document in documents:
            files.append(self.root / f"{document['kind']}{len(files)}.json")
            files[-1].write_text(json.dumps(document))
        self.report(*files)
        return (self.root / "docs/performance.md").read_text()

    def test_medians_and_half_of_the_range(self):
        page = self.page(self.operations())
        self.assertIn("| `Map/load_hits` | 1 | ns | 22 ±9 % | 30 ±0 % | 11 ±9 % | 2.00 |", page)
        self.assertNotIn("shared", page)

    def test_the_best_runs_on_a_shared_machine(self):
        page = self.page(self.operations(load=3.0))
        self.assertIn("**The machine was shared", page)
        self.assertIn("| `Mutex/contended` | 1 | ns | 10 +20 % | 20 +5 % |  | 0.50 |".replace("|  |", "|"), page)

    def test_who_wins_and_why(self):
        page = self.page(self.operations())
        self.assertIn("| `Map/load_hits` | TBB | 2.00 (1) | It has no lock. |", page)
        self.assertIn("| `Mutex/contended` | Go | 2.00 (2) | not looked into yet |", page)

    def test_plots(self):
        runs = {"p50": [100, 120], "p99": [5000, 9000], "p99.9": [1e6, 2e6], "fairness": [1, 2], "rate": [1e6, 2e6]}
        fairness = [{"name": "Mutex", "workers": 2, "tasks": tasks, "figures": {"hamgam": runs, "go": runs}}
                    for tasks in (2, 8)]
        self.page(self.operations(), self.document("fairness", fairness))
        pictures = {path.stem: path.read_text() for path in (self.root / "docs/performance").glob("*.svg")}
        self.assertEqual(sorted(pictures), ["mutex_contended", "over_mutex", "wait_mutex"])
        for text in pictures.values():
            xml.dom.minidom.parseString(text)

    def test_a_page_that_was_changed_by_hand(self):
        self.page(self.operations())
        self.assertEqual(self.report("--check"), "")
        page = self.root / "docs/performance.md"
        page.write_text(page.read_text().replace("22 ±9", "11 ±9"))
        self.assertIn("docs/performance.md: differs from its data", self.report("--check", status=1))

    def test_several_runs_of_a_kind(self):
        more = self.operations()
        more["results"] = [more["results"][0] | {"name": "Once/done"}]
        more["commands"] = ["./dev bench --more"]
        page = self.page(self.operations(), more)
        self.assertIn("`Mutex/contended`", page)
        self.assertIn("`Once/done`", page)
        self.assertIn("./dev bench --more --json operations1.json", page)

    def test_what_is_measured_anew_replaces_its_kind_only(self):
        self.page(self.operations())
        page = self.page(self.document("net", [{"case": "idle", "what": "bytes each", "figures": {"hamgam": [4096]}}],
                                       notes=[]))
        self.assertIn("Map/load_hits", page)
        self.assertIn("| idle | bytes each | 4096 |", page)


class DrawTraceTest(ToolTest):
    tool = "draw_trace"

    def test_slices_and_arrows(self):
        def event(kind, **fields):
            return {"ph": kind, "pid": 1, "name": "<Ali>", "args": {"name": "worker <1>"}} | fields

        events = [event("M", name="thread_name", tid=1), event("M", name="thread_name", tid=2),
                  event("s", tid=1, ts=0, id=7), event("f", tid=2, ts=1000, id=7),
                  event("X", tid=2, ts=1000, dur=9000), event("X", tid=1, ts=0, dur=0)]
        self.write("trace.json", json.dumps({"traceEvents": events}))
        done = self.run_tool("trace.json", "trace.svg")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        picture = xml.dom.minidom.parse(str(self.root / "trace.svg"))
        slices = [node for node in picture.getElementsByTagName("title")]
        self.assertEqual([node.firstChild.data.strip() for node in slices], ["<Ali>, 9.000 ms"])
        self.assertEqual(len([path for path in picture.getElementsByTagName("path")
                              if path.hasAttribute("marker-end")]), 1)


if __name__ == "__main__":
    unittest.main()
