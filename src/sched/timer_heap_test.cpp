// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "sched/timer_heap.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "base/random.h"
#include "support/scale.h"
#include "support/seed.h"

namespace hamgam {
namespace {

using detail::kForever;
using detail::Nanos;
using detail::Random;
using detail::TimerHeap;

struct Noted : detail::Timer {
  std::vector<Noted*>* fired_into = nullptr;
};

void note(detail::Timer& timer) noexcept {
  auto& noted = static_cast<Noted&>(timer);
  noted.fired_into->push_back(&noted);
}

void note_all(std::span<Noted> timers, std::vector<Noted*>& fired) {
  for (Noted& timer : timers) {
    timer.fire = note;
    timer.fired_into = &fired;
  }
}

TEST(TimerHeap, smoke) {
  TimerHeap heap;
  std::vector<Noted*> fired;
  Noted timers[3];
  note_all(timers, fired);
  EXPECT_EQ(heap.earliest(), kForever);
  EXPECT_EQ(heap.run_due(kForever - 1), 0U);
  EXPECT_TRUE(heap.add(timers[0], 20));
  EXPECT_FALSE(heap.add(timers[1], 30));
  EXPECT_TRUE(heap.add(timers[2], 10));
  EXPECT_EQ(heap.earliest(), 10);
  EXPECT_EQ(heap.run_due(9), 0U);
  EXPECT_EQ(heap.run_due(20), 2U);  // due at the moment, not only after it
  EXPECT_EQ(fired, (std::vector<Noted*>{&timers[2], &timers[0]}));
  EXPECT_EQ(heap.earliest(), 30);
  EXPECT_FALSE(TimerHeap::remove(timers[0]));  // it fired
  EXPECT_TRUE(TimerHeap::remove(timers[1]));
  EXPECT_FALSE(TimerHeap::remove(timers[1]));
  EXPECT_EQ(heap.earliest(), kForever);
  EXPECT_TRUE(heap.add(timers[0], 5));  // a timer that fired can be used again
  EXPECT_EQ(heap.run_due(5), 1U);
}

TEST(TimerHeap, stress_against_a_multimap) {
  Random random(test::seed());
  TimerHeap heap;
  std::vector<Noted*> fired;
  std::vector<Noted> timers(200);
  note_all(timers, fired);
  std::multimap<Nanos, Noted*> model;
  std::map<Noted*, std::multimap<Nanos, Noted*>::iterator> places;
  Nanos time = 0;
  for (int step = 0; step < test::scaled(100000); ++step) {
    Noted& timer = timers[random.below(200)];
    std::uint32_t const what = random.below(10);
    if (what == 0) {
      time += random.below(50);
      fired.clear();
      std::size_t const count = heap.run_due(time);
      ASSERT_EQ(count, fired.size());
      Nanos last = 0;
      for (Noted* one : fired) {
        auto place = places.find(one);
        ASSERT_NE(place, places.end());
        Nanos const when = place->second->first;
        ASSERT_LE(when, time);
        ASSERT_GE(when, last);  // in order
        last = when;
        model.erase(place->second);
        places.erase(place);
      }
      ASSERT_TRUE(model.empty() || model.begin()->first > time);  // and all of them
    } else if (auto place = places.find(&timer); place != places.end()) {
      ASSERT_TRUE(TimerHeap::remove(timer));
      model.erase(place->second);
      places.erase(place);
    } else {
      Nanos const when = time + random.below(300);
      bool const earliest = heap.add(timer, when);
      ASSERT_EQ(earliest, model.empty() || when < model.begin()->first);
      places[&timer] = model.emplace(when, &timer);
    }
    ASSERT_EQ(heap.earliest(), model.empty() ? kForever : model.begin()->first);
  }
}

// A worker that retires hands its timers over: they fire once, can be taken out and added again.
TEST(TimerHeap, close_hands_over) {
  TimerHeap heap;
  TimerHeap heir;
  std::vector<Noted*> fired;
  Noted timers[4];
  note_all(timers, fired);
  heap.add(timers[0], 30);
  heap.add(timers[1], 10);
  heap.add(timers[2], 20);
  heap.add(timers[3], 5);
  EXPECT_EQ(heap.run_due(5), 1U);
  ASSERT_TRUE(heap.close(heir));
  EXPECT_EQ(heap.earliest(), kForever);
  EXPECT_TRUE(heap.at_rest());
  EXPECT_EQ(heir.earliest(), 10);
  EXPECT_FALSE(heir.at_rest());
  EXPECT_TRUE(TimerHeap::remove(timers[1]));
  EXPECT_TRUE(heir.add(timers[3], 15));  // not to the closed one
  EXPECT_EQ(heap.run_due(100), 0U);
  EXPECT_EQ(heir.run_due(100), 3U);
  EXPECT_EQ(fired, (std::vector<Noted*>{&timers[3], &timers[3], &timers[2], &timers[0]}));
  heap.open();
  EXPECT_TRUE(heap.add(timers[1], 10));  // was in the heir last, which is open
  EXPECT_EQ(heir.run_due(100), 1U);
  EXPECT_TRUE(heir.at_rest());
}

// One that is being fired is neither in nor over; nothing is closed then, and adding itself again
// needs no memory.
TEST(TimerHeap, firing_is_no_rest) {
  struct Nosy : detail::Timer {
    TimerHeap* in = nullptr;
    bool rest = true;
    bool closed = true;
  };
  TimerHeap heap;
  TimerHeap heir;
  Nosy timer;
  timer.in = &heap;
  timer.fire = [](detail::Timer& t) noexcept {
    auto& self = static_cast<Nosy&>(t);
    TimerHeap other;
    self.rest = self.in->at_rest();
    self.closed = self.in->close(other);
    self.in->add(self, 7);
  };
  heap.add(timer, 5);
  EXPECT_EQ(heap.run_due(5), 1U);
  EXPECT_FALSE(timer.rest);
  EXPECT_FALSE(timer.closed);
  EXPECT_EQ(heap.earliest(), 7);
  EXPECT_TRUE(heap.close(heir));
  EXPECT_EQ(heir.earliest(), 7);
  EXPECT_TRUE(TimerHeap::remove(timer));
}

// One that has added itself again while it fires, because it could not do its work, can be taken
// out before that is over, and then counts as one that did not fire.
TEST(TimerHeap, taken_out_while_it_adds_itself_again) {
  struct Fickle : detail::Timer {
    TimerHeap* in = nullptr;
    bool removed = false;
  };
  TimerHeap heap;
  Fickle timer;
  timer.in = &heap;
  timer.fire = [](detail::Timer& t) noexcept {
    auto& self = static_cast<Fickle&>(t);
    self.in->add(self, 7);
    self.removed = TimerHeap::withdraw(self);
  };
  heap.add(timer, 5);
  EXPECT_EQ(heap.run_due(5), 1U);
  EXPECT_TRUE(timer.removed);
  EXPECT_EQ(heap.earliest(), detail::kForever);
  EXPECT_FALSE(TimerHeap::remove(timer));
}

// Heaps close and open while timers are added, taken out and fire: each does one of the two.
TEST(TimerHeap, stress_closing) {
  struct Own : detail::Timer {
    std::atomic<int>* fired = nullptr;
  };
  TimerHeap heap;
  TimerHeap heir;
  std::atomic<int> fired{0};
  std::atomic<bool> stop{false};
  std::thread closer([&] {
    while (!stop.load()) {
      heir.run_due(detail::now());
      if (heap.close(heir)) {
        heap.open();
      }
      std::this_thread::yield();
    }
  });
  std::thread runner([&] {
    while (!stop.load()) {
      heap.run_due(detail::now());
      std::this_thread::yield();
    }
  });
  int removed = 0;
  int const rounds = test::scaled(3000);
  for (int i = 0; i < rounds; ++i) {
    auto timer = std::make_unique<Own>();
    timer->fired = &fired;
    timer->fire = [](detail::Timer& t) noexcept { static_cast<Own&>(t).fired->fetch_add(1); };
    (i % 2 == 0 ? heap : heir).add(*timer, detail::now() + 20'000);
    if (i % 3 == 0) {
      std::this_thread::yield();
    }
    removed += TimerHeap::remove(*timer) ? 1 : 0;
  }
  stop.store(true);
  closer.join();
  runner.join();
  EXPECT_EQ(removed + fired.load(), rounds);
  EXPECT_TRUE(heap.at_rest());
  EXPECT_TRUE(heir.at_rest());
}

// remove() returns only when the timer is not being fired any more: its memory may go at once.
TEST(TimerHeap, destroy_after_remove) {
  struct Own : detail::Timer {
    std::atomic<int>* fired = nullptr;
  };
  TimerHeap heap;
  std::atomic<int> fired{0};
  std::atomic<bool> stop{false};
  std::thread runner([&] {
    while (!stop.load()) {
      heap.run_due(detail::now());
    }
  });
  int removed = 0;
  int const rounds = test::scaled(3000);
  for (int i = 0; i < rounds; ++i) {
    auto timer = std::make_unique<Own>();
    timer->fired = &fired;
    timer->fire = [](detail::Timer& t) noexcept { static_cast<Own&>(t).fired->fetch_add(1); };
    heap.add(*timer, detail::now());
    if (i % 3 == 0) {
      std::this_thread::yield();
    }
    removed += TimerHeap::remove(*timer) ? 1 : 0;
  }
  stop.store(true);
  runner.join();
  EXPECT_EQ(removed + fired.load(), rounds);
}

}  // namespace
}  // namespace hamgam
