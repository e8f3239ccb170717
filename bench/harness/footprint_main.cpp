// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// main() of the programs that measure a whole process: memory, processor time when idle. They
// link nothing but the library itself, so that they weigh what its users' programs weigh.
#include "program.h"

int main(int argc, char** argv) {
  bench::Request request;
  if (!bench::parse(argc, argv, request)) {
    std::fprintf(stderr, "usage: %s --version | --list | --run NAME --workers N\n", argv[0]);
    return 2;
  }
  // One figure only: a second one would not be of a fresh process.
  print_value(*request.chosen, request.workers, request.chosen->measure()(request.workers));
  return 0;
}
