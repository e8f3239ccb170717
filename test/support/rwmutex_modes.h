// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// The same tests for RWMutex without and with readers in slots, and a look into it.

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <tuple>

#include "hamgam/rwmutex.h"
#include "support/crew.h"
#include "sync/reader_slots.h"

namespace hamgam::inline HAMGAM_ABI {

struct RWMutexTest {
  static bool biased(const RWMutex& mutex) {
    return (mutex.state_.load(detail::kRelaxed) & RWMutex::kBias) != 0;
  }
};

}  // namespace hamgam::inline HAMGAM_ABI

namespace hamgam::test {

inline bool biased(const hamgam::RWMutex& mutex) { return hamgam::RWMutexTest::biased(mutex); }

// Reads until readers use slots; false if they may not.
inline bool make_biased(hamgam::RWMutex& mutex) {
  for (int i = 0; i < 3000 && !biased(mutex); ++i) {
    mutex.lock_shared();
    mutex.unlock_shared();
  }
  return biased(mutex);
}

inline const void* readers_of(const hamgam::RWMutex& mutex) {
  return reinterpret_cast<const char*>(&mutex) + 1;
}
inline const void* watcher_of(const hamgam::RWMutex& mutex) {
  return reinterpret_cast<const char*>(&mutex) + 2;
}

enum class Mode { kCounter, kSlots };

// Slots: every lock is made with readers in slots already, and uses them again as soon as it can.
class RWMutexOf : public testing::TestWithParam<std::tuple<Who, Mode>> {
 protected:
  void SetUp() override {
    hamgam::detail::enable_reader_slots(slots());
    hamgam::detail::set_reader_slots_pause(0);
  }
  void TearDown() override {
    hamgam::detail::enable_reader_slots(true);
    hamgam::detail::set_reader_slots_pause(9);
  }

  [[nodiscard]] Who kind() const { return std::get<0>(GetParam()); }
  [[nodiscard]] bool slots() const { return std::get<1>(GetParam()) != Mode::kCounter; }

  [[nodiscard]] std::unique_ptr<hamgam::RWMutex> make() const {
    auto mutex = std::make_unique<hamgam::RWMutex>();
    EXPECT_EQ(make_biased(*mutex), slots() && hamgam::detail::reader_slots_enabled());
    return mutex;
  }
};

inline auto all_modes() {
  return testing::Combine(everybody(), testing::Values(Mode::kCounter, Mode::kSlots));
}
inline std::string mode_name(const testing::TestParamInfo<std::tuple<Who, Mode>>& info) {
  const Mode mode = std::get<1>(info.param);
  return name_of(testing::TestParamInfo<Who>(std::get<0>(info.param), 0)) +
         (mode == Mode::kSlots ? "_slots" : "_counter");
}

}  // namespace hamgam::test
