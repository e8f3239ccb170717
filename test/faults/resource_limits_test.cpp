// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// The limits of a ResourcePool reach what is open when they are set.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <utility>
#include <vector>

#include "hamgam/resource_pool.h"
#include "hamgam/time.h"
#include "support/crew.h"
#include "support/until.h"

namespace {

using hamgam::test::comes_true;
using hamgam::test::Who;
using std::chrono::milliseconds;

std::atomic<int> g_opened{0};
std::atomic<int> g_alive{0};

struct Connection {
  Connection() : id(++g_opened) { ++g_alive; }
  ~Connection() { --g_alive; }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  int id;
};

using Connections = hamgam::ResourcePool<Connection>;
Connection connect() { return Connection(); }

class ResourceLimits : public testing::TestWithParam<Who> {
 protected:
  void TearDown() override { EXPECT_EQ(g_alive, 0); }
};

// Limits that are set while resources are open hold for these, too: for what is idle and for what
// is in use, from when it was opened, and as often as they are changed.
TEST_P(ResourceLimits, LifetimesReachWhatIsOpen) {
  hamgam::test::Crew crew(GetParam());
  crew.start([] {
    Connections pool(connect, {.max_idle = 4});
    {
      auto a = pool.acquire();
      auto b = pool.acquire();
    }
    EXPECT_EQ(pool.stats().idle, 2U);
    pool.set_max_lifetime(milliseconds(5));
    EXPECT_TRUE(comes_true([] { return g_alive == 0; }));
    EXPECT_EQ(pool.stats().max_lifetime_closed, 2U);
    // While one is in use.
    pool.set_max_lifetime(milliseconds(0));
    {
      auto c = pool.acquire();
      pool.set_max_lifetime(milliseconds(5));
      hamgam::sleep(milliseconds(6));  // its life is over
      EXPECT_EQ(g_alive, 1);
    }
    EXPECT_EQ(g_alive, 0);
    EXPECT_EQ(pool.stats().max_lifetime_closed, 3U);
    // Shorter than before, while the former end is waited for.
    pool.set_max_lifetime(std::chrono::hours(1));
    { auto d = pool.acquire(); }
    pool.set_max_lifetime(milliseconds(5));
    EXPECT_TRUE(comes_true([] { return g_alive == 0; }));
    // Longer than before, or none at all: not closed when the former time is over.
    pool.set_max_lifetime(milliseconds(500));
    auto e = pool.acquire();
    pool.set_max_lifetime(std::chrono::hours(1));
    auto f = pool.acquire();
    int const ids[] = {e->id, f->id};
    pool.set_max_lifetime(milliseconds(0));
    e = {};
    f = {};
    hamgam::sleep(milliseconds(501));  // what must not happen would have by now
    EXPECT_EQ(g_alive, 2);
    auto const again = pool.acquire();
    EXPECT_TRUE(again->id == ids[0] || again->id == ids[1]);
  });
  crew.join();
}

TEST_P(ResourceLimits, OtherLimitsReachWhatIsOpen) {
  hamgam::test::Crew crew(GetParam());
  crew.start([] {
    Connections pool(connect, {.max_idle = 4});
    auto const fill = [&pool] {
      std::vector<Connections::Lease> all;
      for (int i = 0; i < 4; ++i) {
        all.push_back(pool.acquire());
      }
    };
    fill();
    EXPECT_EQ(pool.stats().idle, 4U);
    pool.set_max_idle(3);
    EXPECT_EQ(g_alive, 3);
    pool.set_max_open(2);
    EXPECT_EQ(g_alive, 2);
    {
      auto a = pool.acquire();
      auto b = pool.acquire();
      pool.set_max_idle(0);
    }
    EXPECT_EQ(g_alive, 0);
    pool.set_max_idle(4);
    pool.set_max_open(0);
    fill();
    pool.set_max_idle_time(std::chrono::hours(1));
    pool.set_max_idle_time(milliseconds(5));
    EXPECT_TRUE(comes_true([] { return g_alive == 0; }));
    EXPECT_EQ(pool.stats().max_idle_time_closed, 4U);
    pool.set_max_idle_time(milliseconds(0));
    fill();
    pool.set_max_lifetime(std::chrono::hours(1));  // time is kept from here on
    pool.set_max_idle_time(milliseconds(5));
    EXPECT_TRUE(comes_true([] { return g_alive == 0; }));
    pool.set_min_idle(2);
    EXPECT_TRUE(comes_true([&pool] { return pool.stats().idle == 2; }));
  });
  crew.join();
}

INSTANTIATE_TEST_SUITE_P(By, ResourceLimits, testing::Values(Who::kGoroutines, Who::kThreads),
                         hamgam::test::name_of);

}  // namespace
