#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright The Hamgam Authors
"""The site is built without a complaint; and planted faults are complained of."""
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SITE = ROOT / "tools/site"
sys.path.insert(0, str(SITE))
sys.dont_write_bytecode = True

import headers  # noqa: E402

HEADER = """// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Box: what is kept.
//
//   Box<int> box;

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI {

namespace detail {
// A base.
template <class T>
class Lid {
 public:
  // Shuts it.
  void shut() noexcept { shut_ = true; }

 private:
  bool shut_ = false;
};
}  // namespace detail

template <class T>
class Box : public detail::Lid<Box<T>> {
 public:
  Box() = default;
  // Of this value.
  explicit Box(T value) : value_(std::move(value)) {}  // NOLINT: short

  // The value: of an empty one, `T{}`.
  [[nodiscard]] T get() const HAMGAM_LIFETIMEBOUND { return value_; }
  template <class F>
    requires std::invocable<F, T&>
  auto with(F f) { return f(value_); }
@MEMBER@
 private:
  T hidden() const;
  T value_{};
};

// How it is made.
struct Options {
  std::function<void(int)> done{};  // when it is
  int count = 0;
};

// Calls f.
template <std::invocable F>
void make(F f);
template <class F>
  requires(!std::invocable<F>)
void make(F) {
  static_assert(std::invocable<F>, "no");
}

}  // namespace hamgam::inline HAMGAM_ABI
"""


class Tree(unittest.TestCase):
    """A small tree of its own."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        for side in ("en", "fa"):
            self.write(f"docs/guide/{side}/README.md", "# Guide\n\n1. [Box](box.md): it\n")
            self.write(f"docs/guide/{side}/box.md", "# Box\n\n`Box::get()` and `Options`.\n")
        self.write("README.md", "# Hamgam\n\n[guide](docs/guide/en/README.md)\n")
        self.write("tools/check_docs", (ROOT / "tools/check_docs").read_text())
        self.write("include/hamgam/hamgam.h", '#pragma once\n\n// All.\n\n#include "hamgam/box.h"\n')
        self.header("")

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def header(self, member):
        self.write("include/hamgam/box.h", HEADER.replace("@MEMBER@", member))

    def build(self):
        return subprocess.run([sys.executable, SITE / "build", "--check", "--root", self.root],
                              capture_output=True, text=True, check=False)

    def expect(self, message):
        done = self.build()
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn(message, done.stdout)

    def page(self, name):
        done = self.build()
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return (self.root / "build/site" / name).read_text()


class Reader(Tree):
    def read(self):
        return headers.read(self.root / "include/hamgam/box.h")

    def test_what_is_public_with_its_comments(self):
        header = self.read()
        self.assertEqual([entry.name for entry in header.entries], ["Box", "Options", "make"])
        box, options, _ = header.entries
        self.assertEqual([member.name for member in box.members], ["Box", "Box", "get", "with"])
        self.assertEqual(box.members[1].comment, ["Of this value."])
        self.assertEqual(box.members[1].signature, "explicit Box(T value)")
        self.assertEqual(box.members[2].signature, "[[nodiscard]] T get() const")
        self.assertEqual(box.members[3].signature.splitlines()[1], "  requires std::invocable<F, T&>")
        self.assertEqual([(member.name, member.comment) for member in options.members],
                         [("done", ["when it is"]), ("count", [])])
        self.assertEqual(header.comment[0], "Box: what is kept.")

    def test_what_is_not_understood_is_no_silence(self):
        self.header("  @@;\n")
        with self.assertRaises(headers.NotUnderstood):
            self.read()

    def test_every_header_of_the_library(self):
        for path in sorted((ROOT / "include/hamgam").glob("*.h")):
            headers.read(path)


class Pages(Tree):
    def test_reference_and_guide_lead_to_each_other(self):
        self.assertIn('href="../../reference/box.html#Box.get"', self.page("guide/en/box.html"))
        reference = self.page("reference/box.html")
        self.assertIn('href="../guide/en/box.html"', reference)
        self.assertIn('id="Box.shut"', reference)  # of its base

    def test_a_name_without_a_comment(self):
        self.header("\n  void lose();\n")
        self.expect("include/hamgam/box.h:39: lose has no comment")

    def test_a_link_that_leads_nowhere(self):
        self.write("README.md", "[x](docs/lost.md)\n")
        self.expect("README.md: docs/lost.md leads nowhere")

    def test_an_anchor_that_is_not_there(self):
        self.write("README.md", "[x](docs/guide/en/box.md#lid)\n")
        self.expect("index.html: guide/en/box.html#lid: no such place")

    def test_broken_html(self):
        if not shutil.which("tidy"):
            self.skipTest("there is no tidy")
        self.write("README.md", "# Hamgam\n\n<div>\n")
        self.expect("index.html: line ")

    def test_persian_is_from_right_to_left_and_its_code_is_not(self):
        self.write("docs/guide/fa/box.md",
                   '<div dir="rtl">\n\n# جعبه\n\n`Box` است.\n\n</div>\n\n```cpp\nBox box;\n```\n')
        page = self.page("guide/fa/box.html")
        self.assertIn('<html lang="fa" dir="rtl">', page)
        self.assertIn('<div class="code" dir="ltr">', page)
        self.assertIn('<code dir="ltr">Box</code>', page)


class Whole(unittest.TestCase):
    def test_the_site(self):
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([sys.executable, SITE / "build", "--check", "--out", folder],
                                  capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertGreater((pathlib.Path(folder) / "search_index.js").stat().st_size, 100_000)


if __name__ == "__main__":
    unittest.main()
