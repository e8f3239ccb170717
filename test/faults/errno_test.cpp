// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <cerrno>

#include "hamgam/hamgam.h"

// Once more afterwards, as programs do: the first spelling does not come back.
#include <errno.h>
#include <gtest/gtest.h>

#include <atomic>
#include <climits>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "support/scale.h"

// B19: compilers keep the address of errno over a wait, after which it is another thread's.

namespace hamgam {
namespace {

using namespace std::chrono_literals;

TEST(Errno, over_a_park) {
  std::atomic<int> wrong{0};
  int const rounds = test::scaled(2000);
  (void)run([&] {
    int const former = max_procs(4);
    WaitGroup group;
    for (int i = 1; i <= 8; ++i) {
      group.go([&wrong, rounds, i] {
        for (int round = 0; round < rounds; ++round) {
          errno = i;
          if (round % 16 == 0) {
            sleep(1us);
          } else {
            yield();
          }
          wrong += errno == i ? 0 : 1;
        }
      });
    }
    group.wait();
    (void)max_procs(former);
  });
  EXPECT_EQ(wrong.load(), 0);
}

TEST(Errno, is_the_c_librarys) {
  errno = 0;
  EXPECT_EQ(std::strtol("99999999999999999999", nullptr, 10), LONG_MAX);
  EXPECT_EQ(errno, ERANGE);
  EXPECT_EQ(&errno, __errno_location());
  EXPECT_THROW((void)std::stoi("x"), std::invalid_argument);
  EXPECT_EQ(errno, ERANGE);
}

}  // namespace
}  // namespace hamgam
