// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Two goroutines take two locks in opposite order.
#include <hamgam/hamgam.h>

#include <mutex>

namespace {

hamgam::Mutex plates;
hamgam::Mutex spoons;
hamgam::Barrier both_have_one(2);

void lay_table() {
  const std::lock_guard first(plates);
  both_have_one.arrive_and_wait();
  const std::lock_guard second(spoons);
}

void wash_up() {
  const std::lock_guard first(spoons);
  both_have_one.arrive_and_wait();
  const std::lock_guard second(plates);
}

}  // namespace

int main() {
  return hamgam::run([] {
    hamgam::WaitGroup group;
    group.go({.name = "table"}, lay_table);
    group.go({.name = "washing"}, wash_up);
    group.wait();
  });
}
