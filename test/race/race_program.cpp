// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include "race/program.h"

#include <chrono>
#include <memory>
#include <mutex>
#include <shared_mutex>

namespace {

using namespace hamgam;
using namespace hamgam::test;
using namespace std::chrono_literals;

void two_in_turn(int procs) {
  max_procs(procs);
  run([] {
    go(touch);
    go(touch);
    await_last();
  });
}

// Goroutines that block on the same lock at other times are not ordered by it where they race.
void race_beside_a_mutex() {
  Mutex mutex;
  run([&] {
    for (int i = 0; i < 2; ++i) {
      go([&] {
        touch();
        LockGuard<Mutex> const guard(mutex);
      });
    }
    await_last();
  });
}

// Two that send into one buffer are not ordered by it.
void race_beside_a_channel() {
  auto ch = make_chan<int>(10);
  run([&] {
    for (int i = 0; i < 2; ++i) {
      go([ch] {
        touch();
        ch.send(1);
      });
    }
    await_last();
  });
}

// Nor are they where a receiver waits and gets the values past it.
template <class T>
void race_beside_a_waiting_receiver() {
  auto ch = make_chan<T>(2);
  one_by_one(
      [ch] {
        ch.recv();
        ch.recv();
      },
      [ch] {
        touch();
        ch.send({});
      },
      [ch] {
        ch.send({});
        touch();
      });
}

// Who takes from a full buffer is not after the sender that gets room by that.
template <class T>
void race_beside_a_waiting_sender() {
  auto ch = make_chan<T>(1);
  ch.send({});
  one_by_one(
      [ch] {
        touch();
        ch.send({});
      },
      [ch] {
        ch.recv();
        touch();
      });
}

// Nor is he before the one who receives what that sender sent.
template <class T>
void race_of_receivers_past_a_waiting_sender() {
  auto ch = make_chan<T>(1);
  ch.send({});
  one_by_one([ch] { ch.send({}); },
             [ch] {
               touch();
               ch.recv();
             },
             [ch] {
               ch.recv();
               touch();
             });
}

// Two whose values have the same slot are ordered with the other side only.
template <class T>
void race_of_senders_into_a_slot() {
  auto ch = make_chan<T>(1);
  one_by_one(
      [ch] {
        touch();
        ch.send({});
      },
      [ch] { ch.recv(); },
      [ch] {
        ch.send({});
        touch();
      });
}

template <class T>
void race_of_receivers_from_a_slot() {
  auto ch = make_chan<T>(1);
  ch.send({});
  one_by_one(
      [ch] {
        touch();
        ch.recv();
      },
      [ch] { ch.send({}); },
      [ch] {
        ch.recv();
        touch();
      });
}

void race_with_creator() {
  run([] {
    go(touch);
    touch();
    await_last();
  });
}

// What nothing orders though both did something with the same thing, one after the other on one
// worker: `first` in a goroutine that ends before that of `second` is started.
template <class F, class G>
void one_after_the_other(F first, G second) {
  max_procs(1);
  run([&] {
    go(first);
    await_last();
    go(second);
    await_last();
  });
}

// A WaitGroup orders what was done before its waits, not what is started after it.
void race_over_add() {
  max_procs(1);
  run([] {
    WaitGroup group;
    group.go(touch);
    await_last();
    group.go(touch);
    group.wait();
  });
}

void race_over_add_by_hand() {
  max_procs(1);
  run([] {
    WaitGroup group;
    group.add(1);
    go([&] {
      touch();
      group.done();
    });
    await_last();
    group.add(1);
    touch();
    group.done();
    group.wait();
  });
}

void race_of_readers() {
  RWMutex mutex;
  auto const read = [&] {
    std::shared_lock const lock(mutex);
    touch();
  };
  one_after_the_other(read, read);
}

void race_over_dropped_handle() {
  max_procs(1);
  run([] {
    auto ch = make_chan<Unit>();
    ch.close();
    go([ch] { touch(); });
    await_last();
    ch.recv();
    touch();
  });
}

// The one that comes second might have come first.
void race_of_close_and_send() {
  auto ch = make_chan<int>(8);
  one_after_the_other([ch] { ch.send(1); }, [ch] { ch.close(); });
}

void race_of_close_and_select() {
  auto ch = make_chan<int>(8);
  one_after_the_other([ch] { select(on_send(ch, 1), otherwise()); }, [ch] { ch.close(); });
}

// The record of the goroutine that the first one starts is that of the second.
void race_over_records() {
  one_after_the_other(
      [] {
        touch();
        go([] {});
      },
      touch);
}

// Each has a lock of its own, at the same place of the same stack.
void race_over_stacks() {
  auto const work = [] {
    Mutex mutex;
    std::lock_guard const lock(mutex);
    touch();
  };
  one_after_the_other(work, work);
}

// Timers are fired by whoever comes by.
void race_over_timers() {
  max_procs(1);
  run([] {
    go([] {
      touch();
      auto const first = after_func(1ms, [] {});
    });
    auto const second = after_func(30ms, touch);
    sleep(60ms);  // any event would order the two
  });
}

void race_beside_a_done_once() {
  Once once;
  once.call([] {});
  one_after_the_other(
      [&] {
        touch();
        once.call([] {});
      },
      [&] {
        once.call([] {});
        touch();
      });
}

void race_beside_a_pool() {
  Pool<int> pool;
  one_after_the_other(
      [&] {
        touch();
        (void)pool.take();
      },
      [&] {
        pool.put(std::make_unique<int>(1));
        touch();
      });
}

void race_beside_a_map_of_others() {
  Map<int, int> map;
  one_after_the_other(
      [&] {
        touch();
        map.store(1, 1);
      },
      [&] {
        map.store(1, 2);
        map.store(2, 2);
        touch();
      });
}

void race_beside_a_read_map() {
  Map<int, int> map;
  map.store(1, 1);
  one_after_the_other(
      [&] {
        touch();
        (void)map.load(1);
      },
      [&] {
        map.erase(1);
        touch();
      });
}

void race_beside_a_read_value() {
  AtomicValue<int> value(1);
  auto const held = value.load();
  one_after_the_other(
      [&] {
        touch();
        auto const kept = new std::shared_ptr<const int>(value.load());
        static_cast<void>(kept);
      },
      [&] {
        auto const seen = value.load();
        touch();
      });
}

void race_beside_a_semaphore() {
  Semaphore slots(2);
  one_after_the_other(
      [&] {
        touch();
        slots.acquire();
      },
      [&] {
        slots.acquire();
        touch();
      });
}

// Who takes a semaphore of several units for a lock.
void race_under_a_semaphore() {
  max_procs(1);
  run([] {
    Semaphore slots(3);
    WaitGroup group;
    for (int i = 0; i < 2; ++i) {
      group.go([&] {
        SemaphoreGuard const slot(slots);
        touch();
      });
    }
    group.wait();
  });
}

void race_beside_a_context() {
  auto const parent = with_cancel(Context::background());
  one_after_the_other(
      [&] {
        touch();
        auto const child = with_cancel(parent.ctx);
        (void)child.ctx.err();
      },
      [&] {
        auto const child = with_cancel(parent.ctx);
        (void)child.ctx.err();
        touch();
      });
}

void race_beside_a_counter() {
  Counter counter;
  auto const count = [&] {
    touch();
    counter.add();
  };
  one_after_the_other(count, count);
}

// The report is to say who they are and where they were started.
void start_painter() { go(GoOptions{"painter"}, touch); }
void race_of_painters() {
  run([] {
    start_painter();
    start_painter();
    await_last();
  });
}

// In a destructor that the map runs.
void race_of_a_removed_value() {
  struct Touches {
    ~Touches() { touch(); }
  };
  Map<int, std::shared_ptr<Touches>> map;
  map.store(1, std::make_shared<Touches>());
  run([&] {
    WaitGroup group;
    group.go([&] { map.erase(1); });
    group.go(touch);
    group.wait();
  });
}

}  // namespace

int main(int argc, char** argv) {
  return run_program(
      {
          {"race_in_turn_on_one_worker", [] { two_in_turn(1); }},
          {"race_on_two_workers", [] { two_in_turn(2); }},
          {"race_beside_a_mutex", race_beside_a_mutex},
          {"race_of_a_removed_value", race_of_a_removed_value},
          {"race_beside_a_channel", race_beside_a_channel},
          {"race_beside_a_waiting_receiver", race_beside_a_waiting_receiver<int>},
          {"race_beside_a_waiting_receiver_wide", race_beside_a_waiting_receiver<Wide>},
          {"race_beside_a_waiting_sender", race_beside_a_waiting_sender<int>},
          {"race_beside_a_waiting_sender_wide", race_beside_a_waiting_sender<Wide>},
          {"race_of_receivers_past_a_waiting_sender", race_of_receivers_past_a_waiting_sender<int>},
          {"race_of_receivers_past_a_waiting_sender_wide",
           race_of_receivers_past_a_waiting_sender<Wide>},
          {"race_of_senders_into_a_slot", race_of_senders_into_a_slot<int>},
          {"race_of_senders_into_a_slot_wide", race_of_senders_into_a_slot<Wide>},
          {"race_of_receivers_from_a_slot", race_of_receivers_from_a_slot<int>},
          {"race_of_receivers_from_a_slot_wide", race_of_receivers_from_a_slot<Wide>},
          {"race_with_creator", race_with_creator},
          {"race_over_add", race_over_add},
          {"race_over_add_by_hand", race_over_add_by_hand},
          {"race_of_readers", race_of_readers},
          {"race_over_dropped_handle", race_over_dropped_handle},
          {"race_of_close_and_send", race_of_close_and_send},
          {"race_of_close_and_select", race_of_close_and_select},
          {"race_over_records", race_over_records},
          {"race_over_stacks", race_over_stacks},
          {"race_over_timers", race_over_timers},
          {"race_beside_a_done_once", race_beside_a_done_once},
          {"race_beside_a_pool", race_beside_a_pool},
          {"race_beside_a_map_of_others", race_beside_a_map_of_others},
          {"race_beside_a_read_map", race_beside_a_read_map},
          {"race_beside_a_read_value", race_beside_a_read_value},
          {"race_beside_a_semaphore", race_beside_a_semaphore},
          {"race_under_a_semaphore", race_under_a_semaphore},
          {"race_beside_a_context", race_beside_a_context},
          {"race_beside_a_counter", race_beside_a_counter},
          {"race_of_painters", race_of_painters},
      },
      argc, argv);
}
