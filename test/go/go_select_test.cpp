// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// What Go's own tests ask of select; handles as in the reference (CH6 ...).

#include <gtest/gtest.h>
#include <sys/select.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <thread>
#include <vector>

#include "hamgam/hamgam.h"
#include "support/close.h"
#include "support/crew.h"
#include "support/scale.h"

namespace {

using namespace std::chrono_literals;
using hamgam::Chan;
using hamgam::make_chan;
using hamgam::on_recv;
using hamgam::on_send;
using hamgam::on_stop;
using hamgam::on_timeout;
using hamgam::otherwise;
using hamgam::select;
using hamgam::SelectSet;
using hamgam::Unit;
using hamgam::test::Crew;
using hamgam::test::scaled;
using hamgam::test::Who;

class Selects : public testing::TestWithParam<Who> {
 protected:
  // Go's sizes where all are goroutines; threads, which take turns by the kernel, do less.
  [[nodiscard]] static int many(int n) {
    return scaled(GetParam() == Who::kGoroutines ? n : n / 10);
  }
};
INSTANTIATE_TEST_SUITE_P(, Selects, hamgam::test::everybody(), hamgam::test::name_of);

TEST(SelectsAlone, returns_the_place_and_runs_the_function) {
  auto a = make_chan<int>(1);
  auto b = make_chan<std::unique_ptr<int>>(1);
  EXPECT_EQ(select(on_recv(a), on_recv(b), otherwise()), 2U);
  bool sent = false;
  auto value = std::make_unique<int>(3);
  EXPECT_EQ(select(on_recv(a), on_send(b, std::move(value), [&] { sent = true; })), 1U);
  EXPECT_TRUE(sent);
  EXPECT_EQ(value, nullptr);
  value = std::make_unique<int>(4);
  EXPECT_EQ(select(on_send(b, std::move(value)), otherwise()), 1U);
  EXPECT_NE(value, nullptr) << "moved from though not chosen";
  int got = 0;
  EXPECT_EQ(select(on_recv(b, [&](std::optional<std::unique_ptr<int>> p) { got = **p; })), 0U);
  EXPECT_EQ(got, 3);
  EXPECT_EQ(select(on_recv(a), on_timeout(1ms), on_timeout(1h)), 1U);
  EXPECT_EQ(select(on_recv(a), on_timeout(-1s)), 1U);
  a.send(7);
  EXPECT_EQ(select(on_timeout(0s), on_recv(a)), 1U) << "a timeout is for those who would wait";
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(select(on_recv(a), on_stop(stop.get_token())), 1U);
  a.close();
  bool closed = false;
  select(on_recv(a, [&](std::optional<int> v) { closed = !v.has_value(); }));
  EXPECT_TRUE(closed);
}

// CH6: of two channels one is always ready: the select that must not wait finds it.
TEST_P(Selects, CH6_is_a_snapshot) {
  auto c1 = make_chan<int>(1);
  auto c2 = make_chan<int>(1);
  auto done = make_chan<bool>(1);
  int const n = many(100'000);
  c1.send(1);
  Crew crew(GetParam());
  crew.start([&] {
    bool missed = false;
    for (int i = 0; i < n && !missed; ++i) {
      select(on_recv(c1), on_recv(c2), otherwise([&] { missed = true; }));
      if (!missed) {
        // The value that was taken is put back into either, before the next look.
        (void)(i % 2 == 0 ? c1 : c2).try_send(1);
      }
    }
    done.send(!missed);
  });
  EXPECT_EQ(done.recv(), true);
}

// CH6, as Go has it: the ready one moves from c1 to c2 while the other looks.
TEST_P(Selects, CH6_ready_moves_on) {
  int const n = many(100'000);
  auto done = make_chan<bool>(1);
  auto c1 = make_chan<Chan<int>>();
  auto pairs = make_chan<std::array<Chan<int>, 2>>();
  Crew crew(GetParam());
  crew.start([&] {
    for (int i = 0; i < n; ++i) {
      std::array pair{make_chan<int>(1), make_chan<int>(1)};
      pair[0].send(1);
      pairs.send(pair);
      pair[1].send(1);
      select(on_recv(pair[0]), otherwise());
      if (!done.try_recv().value.value_or(true)) {
        break;
      }
    }
    pairs.close();
  });
  std::atomic<int> missed{0};
  crew.start([&] {
    for (auto pair : pairs) {
      select(on_recv(pair[0]), on_recv(pair[1]), otherwise([&] { ++missed; }));
    }
  });
  crew.join();
  EXPECT_EQ(missed, 0);
}

// CH7: the same, and what makes the second ready is a close.
TEST_P(Selects, CH7_ready_by_close) {
  int const n = many(100'000);
  auto pairs = make_chan<std::array<Chan<int>, 2>>();
  Crew crew(GetParam());
  crew.start([&] {
    for (int i = 0; i < n; ++i) {
      std::array pair{make_chan<int>(1), make_chan<int>()};
      pair[0].send(1);
      pairs.send(pair);
      pair[1].close();
      select(on_recv(pair[0]), otherwise());
    }
    pairs.close();
  });
  std::atomic<int> missed{0};
  crew.start([&] {
    for (auto pair : pairs) {
      select(on_recv(pair[0]), on_recv(pair[1]), otherwise([&] { ++missed; }));
    }
  });
  crew.join();
  EXPECT_EQ(missed, 0);
}

// CH8: whoever sends and receives on one channel in one select never gets its own value, nor hangs.
TEST_P(Selects, CH8_self_select) {
  for (std::size_t const capacity : {0, 10}) {
    auto c = make_chan<int>(capacity);
    Crew crew(GetParam());
    for (int p = 0; p < 2; ++p) {
      crew.start([c, p, capacity] {
        auto const check = [&](std::optional<int> v) {
          EXPECT_FALSE(capacity == 0 && v == p) << "its own value";
        };
        for (int i = 0; i < scaled(1000); ++i) {
          if (p == 0 || i % 2 == 0) {
            select(on_send(c, p), on_recv(c, check));
          } else {
            select(on_recv(c, check), on_send(c, p));
          }
        }
      });
    }
    crew.join();
  }
}

// CH9: 4 channels, each with a sender and a receiver, 4 selecting of each kind.
TEST_P(Selects, CH9_stress) {
  int const n = many(100'000);
  std::array<Chan<int>, 4> c{make_chan<int>(), make_chan<int>(), make_chan<int>(2),
                             make_chan<int>(3)};
  Crew crew(GetParam());
  for (auto& ch : c) {
    crew.start([&ch, n] {
      for (int i = 0; i < n; ++i) {
        ch.send(0);
      }
    });
    crew.start([&ch, n] {
      for (int i = 0; i < n; ++i) {
        ch.recv();
      }
    });
  }
  crew.start([&c, n] {  // sends n to each
    std::array<Chan<int>, 4> open = c;
    std::array<int, 4> left{n, n, n, n};
    for (int i = 0; i < 4 * n; ++i) {
      std::size_t const k = select(on_send(open[3], 0), on_send(open[2], 0), on_send(open[0], 0),
                                   on_send(open[1], 0));
      constexpr std::array<std::size_t, 4> kWhich{3, 2, 0, 1};
      if (--left[kWhich[k]] == 0) {
        open[kWhich[k]] = {};
      }
    }
  });
  crew.start([&c, n] {  // receives n from each
    std::array<Chan<int>, 4> open = c;
    std::array<int, 4> left{n, n, n, n};
    for (int i = 0; i < 4 * n; ++i) {
      std::size_t const k =
          select(on_recv(open[0]), on_recv(open[1]), on_recv(open[2]), on_recv(open[3]));
      if (--left[k] == 0) {
        open[k] = {};
      }
    }
  });
}

// CH10: two that are always ready are chosen equally often, within 10 standard deviations.
TEST_P(Selects, CH10_fairness) {
  constexpr int kTrials = 10'000;
  auto c1 = make_chan<int>(kTrials + 1);
  auto c2 = make_chan<int>(kTrials + 1);
  for (int i = 0; i < kTrials + 1; ++i) {
    c1.send(1);
    c2.send(2);
  }
  auto nobody = make_chan<int>();
  std::array<int, 4> count{};
  Crew crew(GetParam());
  crew.start([&] {
    for (int i = 0; i < kTrials; ++i) {
      ++count[select(on_recv(nobody), on_recv(c1), on_recv(nobody), on_recv(c2))];
    }
  });
  crew.join();
  EXPECT_EQ(count[1] + count[3], kTrials);
  EXPECT_NEAR(count[1], kTrials / 2, 10 * 50);
}

// CH11: which of two ready sends is done is random.
TEST_P(Selects, CH11_pseudo_random_send) {
  int const n = 100;
  for (std::size_t const capacity : {0, n}) {
    auto c = make_chan<int>(capacity);
    std::vector<int> got(n);
    auto done = make_chan<Unit>();
    Crew crew(GetParam());
    crew.start([&, c] {
      for (int& g : got) {
        g = c.recv().value_or(-1);
      }
      done.send({});
    });
    crew.start([&, c] {
      for (int i = 0; i < n; ++i) {
        select(on_send(c, 1), on_send(c, 0));
      }
    });
    done.recv();
    int ones = 0;
    for (int const g : got) {
      ones += g;
    }
    EXPECT_GT(ones, n / 10);
    EXPECT_LT(ones, n - n / 10);
  }
}

// CH13: the same channel twice; the case that was not chosen leaves its queue in order.
TEST_P(Selects, CH13_duplicate_channel) {
  auto c = make_chan<int>();
  auto nobody = make_chan<int>();
  int const n = scaled(1000);
  Crew crew(GetParam());
  for (int p = 0; p < 3; ++p) {
    crew.start([&] {
      for (int i = 0; i < n; ++i) {
        select(on_recv(c), on_recv(nobody), on_recv(c));
      }
    });
  }
  crew.start([&] {
    for (int i = 0; i < 3 * n; ++i) {
      select(on_send(c, 1), on_send(c, 2), on_send(nobody, 3));
    }
  });
}

// CH15: nil channels are never chosen; a send to a closed channel panics, in a select too.
TEST_P(Selects, CH15_nil_and_closed) {
  Chan<int> nil;
  auto closed = make_chan<int>();
  closed.close();
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(select(on_send(nil, 1), on_recv(nil), on_recv(closed)), 2U);
  }
  EXPECT_EQ(select(on_send(nil, 1), on_recv(nil), on_timeout(1ms)), 2U);
  EXPECT_THROW(select(on_send(closed, 1)), hamgam::Panic);
  EXPECT_THROW(select(on_send(closed, 1), otherwise()), hamgam::Panic);
  auto open = make_chan<int>();
  Crew crew(GetParam());
  crew.start([&] { EXPECT_THROW(select(on_recv(nil), on_send(open, 1)), hamgam::Panic); });
  crew.start([&] { hamgam::test::close_beside_senders(open); });
}

// CH18: what a select that did not choose a case left in a queue is gone.
TEST_P(Selects, CH18_leaves_nothing_behind) {
  auto never = make_chan<int>();
  auto often = make_chan<int>();
  int const n = many(100'000);
  Crew crew(GetParam());
  crew.start([&] {
    for (int i = 0; i < n; ++i) {
      select(on_recv(never), on_recv(often));
    }
  });
  crew.start([&] {
    for (int i = 0; i < n; ++i) {
      often.send(i);
    }
  });
  crew.join();
  EXPECT_FALSE(never.try_send(1));
}

// CH19: each value is delivered by one case.
TEST_P(Selects, CH19_doubleselect) {
  int const n = many(100'000);
  std::array<Chan<int>, 4> c{make_chan<int>(), make_chan<int>(), make_chan<int>(),
                             make_chan<int>()};
  auto done = make_chan<Unit>();
  auto merged = make_chan<int>();
  hamgam::WaitGroup forwarders;
  forwarders.add(4);
  Crew crew(GetParam());
  crew.start([&] {
    for (int i = 0; i < n; ++i) {
      select(on_send(c[0], i), on_send(c[1], i), on_send(c[2], i), on_send(c[3], i));
    }
    done.close();
  });
  for (auto& ch : c) {
    crew.start([&] {
      for (bool over = false; !over;) {
        std::optional<int> got;
        select(on_recv(ch, [&](std::optional<int> v) { got = v; }),
               on_recv(done, [&] { over = true; }));
        if (got) {
          merged.send(*got);
        }
      }
      forwarders.done();
    });
  }
  crew.start([&] {
    forwarders.wait();
    merged.close();
  });
  std::vector<bool> seen(static_cast<std::size_t>(n));
  int count = 0;
  for (int v : merged) {
    EXPECT_FALSE(seen[static_cast<std::size_t>(v)]) << "twice: " << v;
    seen[static_cast<std::size_t>(v)] = true;
    ++count;
  }
  EXPECT_EQ(count, n);
}

// Selects that face each other on the same channels, in opposite orders.
TEST_P(Selects, opposing_selects) {
  auto a = make_chan<int>();
  auto b = make_chan<int>();
  int const n = many(20'000);
  std::atomic<std::int64_t> sent{0};
  std::atomic<std::int64_t> received{0};
  std::atomic<int> active{4};
  auto over = make_chan<Unit>();
  Crew crew(GetParam());
  for (int p = 0; p < 4; ++p) {
    crew.start([&, p] {
      auto const take = [&](std::optional<int> v) { received += v.value_or(0); };
      for (int i = 1; i <= n; ++i) {
        if (p % 2 == 0) {
          select(on_send(a, i, [&] { sent += i; }), on_recv(b, take));
        } else {
          select(on_send(b, i, [&] { sent += i; }), on_recv(a, take));
        }
        if (active < 4) {
          break;
        }
      }
      if (--active == 0) {
        over.close();
      }
    });
  }
  crew.start([&] {
    auto const take = [&](std::optional<int> v) { received += v.value_or(0); };
    for (bool end = false; !end;) {
      select(on_recv(a, take), on_recv(b, take), on_send(a, 0), on_send(b, 0),
             on_recv(over, [&] { end = true; }));
    }
  });
  crew.join();
  EXPECT_EQ(sent, received);
}

// Deadlines and stops race with partners: nothing is lost, nothing is delivered twice.
TEST_P(Selects, timeouts_and_stops_under_stress) {
  auto a = make_chan<int>();
  auto b = make_chan<int>(1);
  std::atomic<std::int64_t> sent{0};
  std::atomic<std::int64_t> received{0};
  std::atomic<int> senders{3};
  auto over = make_chan<Unit>();
  Crew crew(GetParam());
  for (int s = 0; s < 3; ++s) {
    crew.start([&] {
      for (int i = 0; i < scaled(2000); ++i) {
        select(on_send(a, i, [&] { sent += i; }), on_send(b, i, [&] { sent += i; }),
               on_timeout(std::chrono::microseconds(i % 30)));
      }
      if (--senders == 0) {
        over.close();
      }
    });
    crew.start([&] {
      auto const take = [&](std::optional<int> v) { received += v.value_or(0); };
      int round = 0;
      for (bool end = false; !end;) {
        std::stop_source stop;
        if (round++ % 8 == 0) {  // a goroutine is dear under ThreadSanitizer
          hamgam::go([stop]() mutable { stop.request_stop(); });
        }
        select(on_recv(a, take), on_recv(b, take), on_stop(stop.get_token()),
               on_recv(over, [&] { end = true; }));
      }
    });
  }
  crew.join();
  select(on_recv(b, [&](std::optional<int> v) { received += v.value_or(0); }), otherwise());
  EXPECT_EQ(sent, received);
}

// More cases than fit without memory of its own.
TEST_P(Selects, many_cases) {
  std::vector<Chan<int>> chans;
  SelectSet set;
  int last = -1;
  for (int i = 0; i < 100; ++i) {
    chans.push_back(make_chan<int>(static_cast<std::size_t>(i % 2)));
    set.add(on_recv(chans.back(), [&last](std::optional<int> v) { last = v.value_or(-2); }));
  }
  Crew crew(GetParam());
  crew.start([&] {
    for (int i = 0; i < 1000; ++i) {
      auto const place = static_cast<std::size_t>(i * 37 % 100);
      chans[place].send(i);
    }
  });
  int sum = 0;
  for (int i = 0; i < 1000; ++i) {
    SelectSet::Key const key = set.wait();
    EXPECT_EQ(last * 37 % 100, static_cast<int>(key));
    sum += last;
  }
  EXPECT_EQ(sum, 999 * 1000 / 2);
  crew.join();
  set.add(otherwise());
  EXPECT_EQ(set.wait(), 100U);
}

TEST(SelectsAlone, select_set) {
  auto a = make_chan<std::unique_ptr<int>>(1);
  SelectSet set;
  EXPECT_EQ(set.wait_for(1ms), std::nullopt);
  auto value = std::make_unique<int>(9);
  auto const send = set.add(on_send(a, std::move(value)));
  EXPECT_EQ(value, nullptr) << "taken over at once";
  EXPECT_EQ(set.wait(), send);
  EXPECT_EQ(set.size(), 0U) << "a send that was done leaves the set";
  int got = 0;
  SelectSet::Key recv = 0;
  recv = set.add(on_recv(a, [&](std::optional<std::unique_ptr<int>> p) {
    got = **p;
    set.remove(recv);  // itself
  }));
  EXPECT_EQ(set.wait(), recv);
  EXPECT_EQ(got, 9);
  EXPECT_EQ(set.size(), 0U);
  std::stop_source stop;
  stop.request_stop();
  set.add(on_recv(a));
  EXPECT_EQ(set.wait(stop.get_token()), std::nullopt);
  auto const timeout = set.add(on_timeout(1ms));
  EXPECT_EQ(set.wait(), timeout);
  EXPECT_EQ(set.wait_for(1h), timeout);
  EXPECT_EQ(set.wait_until(hamgam::Clock::now()), std::nullopt);
  {
    auto gone = make_chan<int>(1);
    gone.send(1);
    set.add(on_recv(gone, [&](std::optional<int> v) { got = *v; }));
  }
  set.wait();
  EXPECT_EQ(got, 1) << "the set keeps the channel";
}

// Under `using namespace hamgam` POSIX's select is still what a call with its arguments means.
TEST(SelectsAlone, posix_select_still_works) {
  using namespace hamgam;  // NOLINT
  timeval none{0, 0};
  EXPECT_EQ(select(0, nullptr, nullptr, nullptr, &none), 0);
}

}  // namespace
