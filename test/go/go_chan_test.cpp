// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// What Go's own tests ask of channels; handles as in the reference (CH1 ...).

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <vector>

#include "hamgam/hamgam.h"
#include "support/close.h"
#include "support/crew.h"
#include "support/scale.h"

namespace {

using namespace std::chrono_literals;
using hamgam::Chan;
using hamgam::make_chan;
using hamgam::Unit;
using hamgam::test::Crew;
using hamgam::test::scaled;
using hamgam::test::Who;

class Channels : public testing::TestWithParam<Who> {};
INSTANTIATE_TEST_SUITE_P(, Channels, hamgam::test::everybody(), hamgam::test::name_of);

// CH1: a receive from an empty channel blocks, and so does a send to a full one; try_ never does.
TEST_P(Channels, CH1_blocking) {
  for (std::size_t capacity = 0; capacity < 20; ++capacity) {
    auto ch = make_chan<int>(capacity);
    std::atomic<bool> received{false};
    {
      Crew crew(GetParam());
      crew.start([&] {
        EXPECT_EQ(ch.recv(), 5);
        received = true;
      });
      crew.start([&] {
        EXPECT_FALSE(received);
        ch.send(5);
      });
    }
    EXPECT_FALSE(ch.try_recv().value.has_value());
    for (std::size_t i = 0; i < capacity; ++i) {
      EXPECT_TRUE(ch.try_send(static_cast<int>(i)));
    }
    EXPECT_FALSE(ch.try_send(0));
    EXPECT_FALSE(ch.send_for(0, 100us));
    std::atomic<bool> sent{false};
    Crew crew(GetParam());
    crew.start([&] {
      ch.send(100);
      sent = true;
    });
    crew.start([&] {
      EXPECT_TRUE(capacity == 0 || !sent);
      for (std::size_t i = 0; i < capacity; ++i) {
        EXPECT_EQ(ch.recv(), static_cast<int>(i));
      }
      EXPECT_EQ(ch.recv(), 100);
    });
  }
}

// CH2: a closed channel gives what it holds, in order, then nothing for ever; close wakes
// receivers.
TEST_P(Channels, CH2_close) {
  for (std::size_t capacity = 0; capacity < 20; ++capacity) {
    auto ch = make_chan<int>(capacity);
    for (std::size_t i = 0; i < capacity; ++i) {
      ch.send(static_cast<int>(i));
    }
    ch.close();
    for (std::size_t i = 0; i < capacity; ++i) {
      EXPECT_EQ(ch.recv(), static_cast<int>(i));
    }
    EXPECT_EQ(ch.recv(), std::nullopt);
    EXPECT_TRUE(ch.try_recv().closed);
    EXPECT_TRUE(ch.recv_for(1h).closed);
    EXPECT_TRUE(ch.recv(std::stop_token()).closed);

    auto wakes = make_chan<int>(capacity);
    Crew crew(GetParam());
    for (int i = 0; i < 4; ++i) {
      crew.start([wakes] { EXPECT_EQ(wakes.recv(), std::nullopt); });
    }
    crew.start([wakes] { EXPECT_TRUE(wakes.recv_for(1h).closed); });
    crew.start([wakes] { wakes.close(); });
  }
}

// CH3: 100 values in order; 4 senders and 4 receivers of 1000 each: every value as often as sent.
TEST_P(Channels, CH3_fifo_and_many) {
  for (std::size_t capacity = 0; capacity < 20; ++capacity) {
    auto ch = make_chan<int>(capacity);
    {
      Crew crew(GetParam());
      crew.start([ch] {
        for (int i = 0; i < 100; ++i) {
          ch.send(i);
        }
      });
      crew.start([ch] {
        for (int i = 0; i < 100; ++i) {
          EXPECT_EQ(ch.recv(), i);
        }
      });
    }
    constexpr int kCrew = 4;
    int const values = scaled(1000);
    std::vector<std::atomic<int>> seen(static_cast<std::size_t>(values));
    {
      Crew crew(GetParam());
      for (int p = 0; p < kCrew; ++p) {
        crew.start([&, ch] {
          for (int i = 0; i < values; ++i) {
            ch.send(i);
          }
        });
        crew.start([&, ch] {
          for (int i = 0; i < values; ++i) {
            ++seen[static_cast<std::size_t>(ch.recv().value_or(0))];
          }
        });
      }
    }
    for (auto& count : seen) {
      EXPECT_EQ(count.load(), kCrew);
    }
  }
}

// CH4: len and cap.
TEST(ChannelsAlone, CH4_len_and_cap) {
  auto ch = make_chan<int>(10);
  EXPECT_EQ(ch.len(), 0U);
  EXPECT_EQ(ch.cap(), 10U);
  for (int i = 0; i < 10; ++i) {
    ch.send(i);
    EXPECT_EQ(ch.len(), static_cast<std::size_t>(i) + 1);
  }
  EXPECT_EQ(Chan<int>().len(), 0U);
  EXPECT_EQ(Chan<int>().cap(), 0U);
}

// CH5: a try_recv that races with a close finds the value that was there.
TEST_P(Channels, CH5_try_recv_races_with_close) {
  int const n = scaled(10'000);
  std::atomic<int> missed{0};
  auto next = make_chan<Chan<int>>();
  Crew crew(GetParam());
  crew.start([&] {
    for (int i = 0; i < n; ++i) {
      auto ch = make_chan<int>(1);
      ch.send(1);
      next.send(ch);
      ch.close();
      ch.recv();
    }
    next.close();
  });
  crew.start([&] {
    for (const Chan<int>& ch : next) {
      auto const got = ch.try_recv();
      missed += !got.value.has_value() && !got.closed ? 1 : 0;
    }
  });
  crew.join();
  EXPECT_EQ(missed, 0);
}

// CH12: 23 consumers of all of 271,828 values.
TEST_P(Channels, CH12_multi_consumer) {
  constexpr int kConsumers = 23;
  constexpr std::array kPrimes{2, 3, 5, 7, 11, 13};
  int const items = scaled(GetParam() == Who::kGoroutines ? 271'828 : 27'182);
  auto work = make_chan<int>(kConsumers);
  auto results = make_chan<int>(kConsumers);
  std::int64_t expected = 0;
  std::int64_t sum = 0;
  hamgam::WaitGroup consumers;
  Crew crew(GetParam());
  consumers.add(kConsumers);
  for (int c = 0; c < kConsumers; ++c) {
    crew.start([&, c] {
      for (int v : work) {
        if (v % (c + 1) == 0) {
          hamgam::yield();
        }
        results.send(v);
      }
      consumers.done();
    });
  }
  crew.start([&] {
    for (int i = 0; i < items; ++i) {
      int const v = kPrimes[static_cast<std::size_t>(i) % kPrimes.size()];
      expected += v;
      work.send(v);
    }
    work.close();
  });
  crew.start([&] {
    consumers.wait();
    results.close();
  });
  for (int v : results) {
    sum += v;
  }
  crew.join();
  EXPECT_EQ(sum, expected);
}

// CH14: a blocked operation's frame is where it was, though it resumes on another thread.
TEST(ChannelsAlone, CH14_blocked_across_threads) {
  hamgam::test::Procs const procs(2);
  auto there = make_chan<std::array<int, 32>>();
  auto back = make_chan<std::array<int, 32>>();
  hamgam::WaitGroup group;
  int const n = scaled(2000);
  for (int g = 0; g < 4; ++g) {
    group.go([&] {
      for (int i = 0; i < n; ++i) {
        auto got = there.recv();
        for (int& x : *got) {
          ++x;
        }
        back.send(*got);
        hamgam::yield();
      }
    });
    group.go([&] {
      for (int i = 0; i < n; ++i) {
        std::array<int, 32> values{};
        values.fill(i);
        there.send(values);
        auto const got = back.recv();
        EXPECT_TRUE(std::all_of(got->begin(), got->end(), [&](int x) { return x == (*got)[0]; }));
      }
    });
  }
  group.wait();
}

// CH15: a nil channel blocks for ever and is never ready.
TEST_P(Channels, CH15_nil) {
  Chan<int> nil;
  EXPECT_FALSE(nil);
  EXPECT_FALSE(nil.try_send(1));
  EXPECT_FALSE(nil.try_recv().value.has_value() || nil.try_recv().closed);
  Crew crew(GetParam());
  for (int i = 0; i < 2; ++i) {
    crew.start([nil] { EXPECT_FALSE(nil.send_for(1, 1ms)); });
    crew.start([nil] { EXPECT_FALSE(nil.recv_for(1ms).value.has_value()); });
    crew.start([nil] {
      std::stop_source stop;
      hamgam::go([stop]() mutable { stop.request_stop(); });
      EXPECT_FALSE(nil.send(1, stop.get_token()));
      EXPECT_FALSE(nil.recv(stop.get_token()).closed);
    });
  }
}

// CH16: those who wait are served in the order in which they came.
TEST_P(Channels, CH16_strict_fifo) {
  constexpr int kCount = 10;
  auto buffered = make_chan<int>(kCount);
  for (int i = 0; i < kCount; ++i) {
    buffered.send(i);
  }
  for (int i = 0; i < kCount; ++i) {
    EXPECT_EQ(buffered.recv(), i);
  }
  auto ch = make_chan<int>();
  std::vector<Chan<int>> turns;  // each sends only after the one before it has
  for (int i = 0; i <= kCount; ++i) {
    turns.push_back(make_chan<int>(1));
  }
  Crew crew(GetParam());
  for (std::size_t i = 0; i < kCount; ++i) {
    crew.start([&, i] {
      turns[i].recv();
      ch.send(static_cast<int>(i));
      turns[i + 1].send(0);
    });
  }
  turns[0].send(0);
  for (int i = 0; i < kCount; ++i) {
    EXPECT_EQ(ch.recv(), i);
  }
}

// CH17: values of no content.
TEST_P(Channels, CH17_zero_size) {
  for (std::size_t const capacity : {0, 1, 10}) {
    auto ch = make_chan<Unit>(capacity);
    Crew crew(GetParam());
    crew.start([ch] {
      for (int i = 0; i < 100; ++i) {
        ch.send({});
      }
      ch.close();
    });
    crew.start([ch] {
      int count = 0;
      for (Unit unit : ch) {
        (void)unit;
        ++count;
      }
      EXPECT_EQ(count, 100);
    });
  }
}

// The k-th receive is before the (k+C)-th send: a channel is a counting semaphore.
TEST_P(Channels, is_a_semaphore) {
  constexpr int kLimit = 3;
  auto slots = make_chan<Unit>(kLimit);
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  int plain = 0;  // TSan: ordered by the channel of capacity 1
  auto mutex = make_chan<Unit>(1);
  {
    Crew crew(GetParam());
    for (int i = 0; i < 8; ++i) {
      crew.start([&] {
        for (int j = 0; j < scaled(500); ++j) {
          slots.send({});
          int const now = ++inside;
          int seen = most;
          while (now > seen && !most.compare_exchange_weak(seen, now)) {
          }
          mutex.send({});
          ++plain;
          mutex.recv();
          --inside;
          slots.recv();
        }
      });
    }
  }
  EXPECT_LE(most, kLimit);
  EXPECT_EQ(plain, 8 * scaled(500));
}

// Unbuffered: what the receiver did before its receive, the sender sees after its send.
TEST_P(Channels, receive_is_before_the_end_of_the_send) {
  for (int i = 0; i < scaled(1000); ++i) {
    auto ch = make_chan<int>();
    int from_receiver = 0;
    int from_sender = 0;
    Crew crew(GetParam());
    crew.start([&] {
      from_receiver = 1;
      ch.recv();
      EXPECT_EQ(from_sender, 1);
    });
    crew.start([&] {
      from_sender = 1;
      ch.send(1);
      EXPECT_EQ(from_receiver, 1);
    });
  }
}

// A sender that waits when the channel is closed keeps its value.
TEST_P(Channels, close_gives_the_value_back) {
  for (std::size_t const capacity : {0, 1}) {
    auto ch = make_chan<std::unique_ptr<int>>(capacity);
    if (capacity > 0) {
      ch.send(std::make_unique<int>(0));
    }
    std::atomic<int> threw{0};
    Crew crew(GetParam());
    for (int i = 0; i < 6; ++i) {
      crew.start([&, i] {
        auto value = std::make_unique<int>(i);
        try {
          if (i % 2 == 0) {
            ch.send(std::move(value));
          } else {
            (void)ch.send_for(std::move(value), 1h);
          }
          ADD_FAILURE();
        } catch (const hamgam::Panic& panic) {
          EXPECT_STREQ(panic.what(), "send on closed channel");
          EXPECT_EQ(*value, i);
          ++threw;
        }
      });
    }
    crew.start([&] { hamgam::test::close_beside_senders(ch); });
    crew.join();
    EXPECT_EQ(threw, 6);
  }
}

// Values that remain are destroyed with the last handle.
TEST(ChannelsAlone, last_handle_destroys_the_values) {
  auto token = std::make_shared<int>(1);
  {
    auto ch = make_chan<std::shared_ptr<int>>(4);
    ch.send(token);
    ch.send(token);
    ch.recv();
    ch.send(token);
    auto copy = ch;
    ch = {};
    EXPECT_EQ(token.use_count(), 3);
  }
  EXPECT_EQ(token.use_count(), 1);
}

// A wake-up is neither lost nor doubled when deadlines, stops and partners race.
TEST_P(Channels, timed_and_stopped_under_stress) {
  auto ch = make_chan<int>();
  std::atomic<std::int64_t> sent{0};
  std::atomic<std::int64_t> received{0};
  std::atomic<int> senders{4};
  std::stop_source stop;
  Crew crew(GetParam());
  for (int s = 0; s < 4; ++s) {
    crew.start([&, s] {
      for (int i = 0; i < scaled(2000); ++i) {
        bool const done = s % 2 == 0 ? ch.send_for(i, std::chrono::microseconds(i % 50))
                                     : ch.send(i, stop.get_token());
        sent += done ? i : 0;
      }
      if (--senders == 0) {
        ch.close();
      }
    });
    crew.start([&, s] {
      for (bool over = false; !over;) {
        auto const got = s % 2 == 0 ? ch.recv_for(std::chrono::microseconds(20)) : ch.recv_for(1s);
        received += got.value.value_or(0);
        over = got.closed;
      }
    });
  }
  crew.join();
  EXPECT_EQ(sent, received);
}

}  // namespace
