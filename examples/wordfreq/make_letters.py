#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Copyright The Hamgam Authors
"""Writes letters.h: the code points beyond ASCII that belong to words.

Usage: make_letters.py > letters.h
"""
import sys
import unicodedata


def in_word(code_point):
    category = unicodedata.category(chr(code_point))
    return category[0] == "L" or category == "Nd"


ranges = []
for code_point in range(0x80, sys.maxunicode + 1):
    if not in_word(code_point):
        continue
    if ranges and ranges[-1][1] == code_point - 1:
        ranges[-1][1] = code_point
    else:
        ranges.append([code_point, code_point])

print(f"""// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Made by make_letters.py from Unicode {unicodedata.unidata_version}; do not edit.
#pragma once

#include <array>

namespace wordfreq {{

struct CodePoints {{
  char32_t first;
  char32_t last;
}};

// clang-format off
// Letters (general category L*) and decimal digits (Nd) beyond ASCII, in ascending order.
inline constexpr std::array<CodePoints, {len(ranges)}> kLetters{{{{""")
line = "   "
for first, last in ranges:
    item = f" {{0x{first:X}, 0x{last:X}}},"
    if len(line) + len(item) > 100:
        print(line)
        line = "   "
    line += item
print(line)
print("""}};
// clang-format on

}  // namespace wordfreq""")
