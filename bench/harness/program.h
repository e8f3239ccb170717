// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// The command line that every benchmark program answers, in whatever language. One JSON object
// per line on standard output:
//
//   --version                     {"library": "std", "version": "...", "compiler": "..."}
//   --list                        {"name": "...", "workers": [1, 2], "unit": "ns", "big": false}
//   --run NAME --workers N        {"name": "...", "workers": 1, "unit": "ns", "value": 3.1}
//       [--reps R] [--min-time S]
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "case.h"

#ifndef BENCH_BUILD
#define BENCH_BUILD "?"
#endif

namespace bench {

struct Request {
  const Case* chosen = nullptr;
  int workers = 1;
  int reps = 1;
  double min_time = 0.2;
};

inline const char* compiler() {
#if defined(__clang__)
  return "clang " __clang_version__;
#else
  return "gcc " __VERSION__;
#endif
}

inline void print_version() {
  std::printf(R"({"library": "%s", "version": "%s", "compiler": "%s", "build": "%s"})"
              "\n",
              library().name, library().version, compiler(), BENCH_BUILD);
}

inline void print_list() {
  for (const Case* c = Case::first(); c != nullptr; c = c->next()) {
    std::printf(R"({"name": "%s", "workers": [)", c->name());
    for (const int* w = c->begin(); w != c->end(); ++w) {
      std::printf("%s%d", w == c->begin() ? "" : ", ", *w);
    }
    std::printf(R"(], "unit": "%s", "big": %s})"
                "\n",
                c->unit(), c->big() ? "true" : "false");
  }
}

inline void print_value(const Case& c, int workers, double value) {
  std::printf(R"({"name": "%s", "workers": %d, "unit": "%s", "value": %.6g})"
              "\n",
              c.name(), workers, c.unit(), value);
  std::fflush(stdout);
}

// Answers --version and --list itself and exits; true: `request` is to be run; false: the
// command line is not of this protocol.
inline bool parse(int argc, char** argv, Request& request) {
  if (argc < 2) return false;
  const std::string_view verb = argv[1];
  if (verb == "--version") {
    print_version();
    std::exit(0);
  }
  if (verb == "--list") {
    print_list();
    std::exit(0);
  }
  if (verb != "--run" || argc < 3) return false;
  for (const Case* c = Case::first(); c != nullptr; c = c->next()) {
    if (std::string_view(argv[2]) == c->name()) request.chosen = c;
  }
  if (request.chosen == nullptr) {
    std::fprintf(stderr, "%s: no case named %s\n", argv[0], argv[2]);
    std::exit(2);
  }
  for (int i = 3; i + 1 < argc; i += 2) {
    const std::string_view flag = argv[i];
    if (flag == "--workers") request.workers = std::atoi(argv[i + 1]);
    if (flag == "--reps") request.reps = std::atoi(argv[i + 1]);
    if (flag == "--min-time") request.min_time = std::atof(argv[i + 1]);
  }
  return true;
}

}  // namespace bench
