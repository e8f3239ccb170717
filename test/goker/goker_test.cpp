// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <ostream>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "goker/kernel.h"
#include "hamgam/hamgam.h"
#include "support/child.h"
#include "support/scale.h"

// What diagnostics say of faults that others have looked for: who waits for ever is told of, by the
// watch over locks or by LeakCheck, and of mended programs nothing is said.

namespace hamgam::goker {

// For GoogleTest, which finds it by the type.
static void PrintTo(const Kernel& kernel, std::ostream* out) { *out << kernel.name; }

namespace {

using namespace std::chrono_literals;

std::vector<Kernel> all_kernels() {
  std::vector<Kernel> all;
  for (std::span<const Kernel> some :
       {cockroach(), etcd(), grpc(), kubernetes(), moby(), others()}) {
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

class GoKer : public testing::TestWithParam<Kernel> {
 protected:
  // One run, of which the kernel itself is a goroutine, so that its own waiting is seen, too.
  static void start(bool is_mended) {
    go([kernel = GetParam(), is_mended] { kernel.run(is_mended); });
  }

  // Somebody who waits, and did already a while ago: no machine is that slow at each of two looks.
  static bool has_leaks(observe::LeakCheck& check) {
    std::set<std::uint64_t> before;
    for (const observe::GoroutineInfo& info : check.leaks(200ms)) {
      if (info.state == observe::GoroutineState::waiting) {
        before.insert(info.id);
      }
    }
    if (before.empty()) {
      return false;
    }
    sleep(50ms);
    std::vector<observe::GoroutineInfo> const after = check.leaks(0ns);
    return std::any_of(after.begin(), after.end(), [&before](const auto& info) {
      return info.state == observe::GoroutineState::waiting && before.contains(info.id);
    });
  }

  // One run with the fault: is it told of as it should be?
  static bool is_told() {
    observe::LeakCheck check;
    start(false);
    bool const left = has_leaks(check);
    switch (GetParam().kind) {
      case Kind::kLockOrder:
      case Kind::kReadTwice:
        return observe::lock_reports() > 0;  // whether it has come about or could
      case Kind::kLockedTwice:
        // It is told of a moment after it has come about. (That of one kernel may come about
        // through a Once, which is no lock.)
        for (int i = 0; i < 100 && left && observe::lock_reports() == 0; ++i) {
          sleep(10ms);
        }
        return left && observe::lock_reports() > 0;
      case Kind::kLeftLocked:
        return check.report(0ns).find(" (ended), which locked it at ") != std::string::npos;
      default:
        return left;
    }
  }
};

// Whoever blocks for ever is seen: by the watch over locks, if they are what he waits for and who
// has them is there, else as a leak.
TEST_P(GoKer, FaultIsTold) {
  test::Child const child = test::in_child(
      [] {
        int round = 1;
        while (round < 1000 && !is_told()) {
          ++round;
        }
        std::cerr << "in round " << round << '\n';
        std::_Exit(round < 1000 ? 0 : 1);
      },
      {"HAMGAM_DEBUG=locks"});
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

TEST_P(GoKer, MendedIsQuiet) {
  test::Child const child = test::in_child(
      [] {
        int const rounds = test::scaled(40);
        for (int round = 0; round < rounds; ++round) {
          observe::LeakCheck check;
          start(true);
          std::string const left = check.report(1min);
          if (!left.empty()) {
            std::cerr << left;
            std::_Exit(1);
          }
        }
        std::_Exit(observe::lock_reports() == 0 ? 0 : 1);
      },
      {"HAMGAM_DEBUG=locks"});
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

INSTANTIATE_TEST_SUITE_P(, GoKer, testing::ValuesIn(all_kernels()),
                         [](const auto& info) { return std::string(info.param.name); });

// Orders that could deadlock are told of though nobody waits yet: with one worker, on which each
// runs through mostly.
class GoKerOrder : public GoKer {};

TEST_P(GoKerOrder, IsToldBeforeItHangs) {
  test::Child const child = test::in_child(
      [] {
        for (int round = 0; round < 1000 && observe::lock_reports() == 0; ++round) {
          observe::LeakCheck check;
          start(false);
          (void)check.leaks(200ms);
        }
        std::_Exit(observe::lock_reports() > 0 ? 0 : 1);
      },
      {"HAMGAM_DEBUG=locks", "HAMGAM_PROCS=1"});
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
  std::size_t const before = child.error.find("hamgam: locks could deadlock: ");
  EXPECT_NE(before, std::string::npos) << child.error;
  EXPECT_LT(before, child.error.find("hamgam: deadlock: ")) << child.error;
}

std::vector<Kernel> orders() {
  std::vector<Kernel> all = all_kernels();
  std::erase_if(all, [](const Kernel& kernel) {
    return kernel.kind != Kind::kLockOrder && kernel.kind != Kind::kReadTwice;
  });
  return all;
}

INSTANTIATE_TEST_SUITE_P(, GoKerOrder, testing::ValuesIn(orders()),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace hamgam::goker
