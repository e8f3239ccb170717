// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Prints a dump, in which there is a goroutine that waits in a function that was inlined.

#include <iostream>

#include "hamgam/hamgam.h"

namespace {

int g_taken = 0;

[[gnu::always_inline]] inline void takes_ticket(const hamgam::Chan<int>& tickets) {
  g_taken += tickets.recv().value_or(0);  // takes
}

[[gnu::noinline]] void queues_up(const hamgam::Chan<int>& tickets) {
  takes_ticket(tickets);  // queues
  ++g_taken;
}

[[gnu::noinline]] void opens(hamgam::WaitGroup& all, const hamgam::Chan<int>& tickets) {
  all.go({.name = "visitor"}, [tickets] { queues_up(tickets); });  // opens
  ++g_taken;
}

bool waits() {
  for (const auto& info : hamgam::observe::goroutines()) {
    if (info.name == "visitor" && !info.frames.empty() && info.waits_on != nullptr) {
      return true;
    }
  }
  return false;
}

}  // namespace

int main() {
  auto const tickets = hamgam::make_chan<int>();
  hamgam::WaitGroup all;
  opens(all, tickets);
  while (!waits()) {
    hamgam::sleep(std::chrono::milliseconds(1));
  }
  hamgam::observe::dump(std::cout);
  tickets.close();
  all.wait();
}
