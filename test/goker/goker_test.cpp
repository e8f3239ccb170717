// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <ostream>
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

bool is_of_locks(Kind kind) {
  return kind == Kind::kLockOrder || kind == Kind::kLockedTwice || kind == Kind::kReadTwice;
}

class GoKer : public testing::TestWithParam<Kernel> {
 protected:
  // One run: what is left of it when nothing wakes it any more. The kernel itself is a goroutine,
  // so that its own waiting is seen, too.
  static std::string left_by(bool is_mended, std::chrono::nanoseconds limit) {
    observe::LeakCheck check;
    go([kernel = GetParam(), is_mended] { kernel.run(is_mended); });
    return check.report(limit);
  }
};

// Whoever blocks for ever is seen in the run in which he does: by the watch over locks, if they are
// what he waits for and who has them is there, else as a leak.
TEST_P(GoKer, FaultIsTold) {
  test::Child const child = test::in_child(
      [] {
        Kind const kind = GetParam().kind;
        for (int round = 1; round <= 1000; ++round) {
          std::string const left = left_by(false, 200ms);
          bool told = !left.empty();
          if (is_of_locks(kind)) {
            // It is told of a moment after it has come about.
            for (int i = 0; i < 100 && told && observe::lock_reports() == 0; ++i) {
              sleep(10ms);
            }
            told = observe::lock_reports() > 0;
          } else if (told && kind == Kind::kLeftLocked) {
            EXPECT_NE(left.find(" (ended), which locked it at "), std::string::npos) << left;
          }
          if (told) {
            std::cerr << "in round " << round << ":\n" << left;
            std::_Exit(testing::Test::HasFailure() ? 1 : 0);
          }
        }
        std::_Exit(2);
      },
      {"HAMGAM_DEBUG=locks"});
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
}

TEST_P(GoKer, MendedIsQuiet) {
  test::Child const child = test::in_child(
      [] {
        int const rounds = test::scaled(40);
        for (int round = 0; round < rounds; ++round) {
          std::string const left = left_by(true, 1min);
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
// runs through.
class GoKerOrder : public GoKer {};

TEST_P(GoKerOrder, IsToldBeforeItHangs) {
  test::Child const child = test::in_child(
      [] {
        bool hung = false;
        for (int round = 0; round < 1000 && !hung && observe::lock_reports() == 0; ++round) {
          hung = !left_by(false, 200ms).empty();
        }
        std::_Exit(!hung && observe::lock_reports() > 0 ? 0 : 1);
      },
      {"HAMGAM_DEBUG=locks", "HAMGAM_PROCS=1"});
  EXPECT_TRUE(child.succeeded()) << child.status << child.error;
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
