// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// What gdb_test.py looks at: goroutines in each state. gdb_program [COUNT]: and COUNT more.
// When all is as it should be, it calls reached(), says "ready", and ends when its input does.

#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <mutex>

#include "hamgam/hamgam.h"
#include "observe/stacks.h"

hamgam::Mutex g_door;  // its name is looked for

namespace {

std::atomic<int> g_done{0};
std::atomic<bool> g_spinning{false};
std::atomic<std::size_t> g_blocked{0};

// None of these calls is the last thing that is done.
HAMGAM_TEST_FRAME void waits_at_door() {
  std::lock_guard const guard(g_door);
  ++g_done;
}

HAMGAM_TEST_FRAME int reads_ticket(const hamgam::Chan<int>& tickets, int seed) {
  volatile int ticket = seed + 11;
  int const sum = ticket + tickets.recv().value_or(0);
  ++g_done;
  return sum;
}

HAMGAM_TEST_FRAME void waits_in_crowd(const hamgam::Chan<int>& tickets) {
  (void)tickets.recv();
  ++g_done;
}

HAMGAM_TEST_FRAME void sleeps_long() {
  hamgam::sleep(std::chrono::hours(24));
  ++g_done;
}

HAMGAM_TEST_FRAME void spins_for_ever() {
  for (;;) {
    g_spinning.store(true);
  }
}

HAMGAM_TEST_FRAME void reads_pipe(int from) {
  char c = 0;
  hamgam::blocking([&] {
    g_blocked.store(1);
    return read(from, &c, 1);
  });
  ++g_done;
}

std::size_t count_waiting() {
  std::size_t count = 0;
  for (const auto& info : hamgam::observe::goroutines()) {
    count += info.state == hamgam::observe::GoroutineState::waiting ? 1 : 0;
  }
  return count;
}

// What others wait for is not known before somebody has parked with nobody else to run.
bool objects_are_known() {
  auto const all = hamgam::observe::goroutines();
  return !hamgam::test::stacks_are_seen() ||
         std::any_of(all.begin(), all.end(), [](auto& info) { return info.waits_on != nullptr; });
}

}  // namespace

extern "C" HAMGAM_TEST_FRAME void reached() { asm volatile("" ::: "memory"); }

int main(int argc, char** argv) {
  prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);  // where only a parent may look otherwise
  std::size_t const crowd = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 0;
  int pipe_ends[2];
  if (pipe(pipe_ends) != 0) {
    return 1;
  }
  (void)hamgam::run([&] {
    auto const tickets = hamgam::make_chan<int>();
    std::lock_guard const guard(g_door);
    hamgam::go({.name = "washer"}, waits_at_door);
    hamgam::go({.name = "reader"}, [&] { g_done += reads_ticket(tickets, 4700); });
    hamgam::go({.name = "sleeper"}, sleeps_long);
    hamgam::go({.name = "filer"}, [&] { reads_pipe(pipe_ends[0]); });
    for (std::size_t i = 0; i < crowd; ++i) {
      hamgam::go([&] { waits_in_crowd(tickets); });
    }
    hamgam::go({.name = "spinner"}, spins_for_ever);
    while (count_waiting() < 3 + crowd || !g_spinning.load() || g_blocked.load() == 0 ||
           !objects_are_known()) {
      hamgam::sleep(std::chrono::milliseconds(1));
    }
    std::puts("ready");
    std::fflush(stdout);
    reached();
    char c = 0;
    while (read(STDIN_FILENO, &c, 1) > 0) {
    }
    std::_Exit(0);
  });
}
