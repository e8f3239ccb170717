// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Small programs for ThreadSanitizer as users have it: a library that is not instrumented, a
// program that is. Those named race_* have one and must be reported, those named order_* have none
// and must not.

#include <hamgam/hamgam.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <map>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace hamgam;
using namespace std::chrono_literals;

int shared_number = 0;

void touch() { ++shared_number; }

void await_last() {
  while (num_goroutine() > 1) {
    yield();
  }
}

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

void race_with_creator() {
  run([] {
    go(touch);
    touch();
    await_last();
  });
}

void order_by_go() {
  shared_number = 1;
  run([] {
    touch();
    go([] {
      touch();
      go([] {
        touch();
        go(touch);
      });
    });
    await_last();
  });
}

void order_by_mutex(int procs) {
  max_procs(procs);
  Mutex mutex;
  auto work = [&] {
    for (int i = 0; i < 200; ++i) {
      LockGuard<Mutex> const guard(mutex);
      touch();
      if (i % 50 == 0) {
        yield();
      }
    }
  };
  std::thread thread(work);
  run([&] {
    WaitGroup group;
    for (int i = 0; i < 8; ++i) {
      group.go(work);
    }
    group.wait();
  });
  thread.join();
}

void order_by_timed_lock() {
  Mutex mutex;
  run([&] {
    WaitGroup group;
    for (int i = 0; i < 8; ++i) {
      group.go([&] {
        std::stop_source stop;
        for (int k = 0; k < 20; ++k) {
          if (mutex.try_lock_for(k % 2 == 0 ? 10us : 10s)) {
            touch();
            sleep(20us);
            mutex.unlock();
          }
          if (mutex.try_lock(stop.get_token())) {
            touch();
            mutex.unlock();
          }
        }
      });
    }
    group.wait();
  });
}

void order_by_waitgroup() {
  run([] {
    for (int i = 0; i < 100; ++i) {
      WaitGroup group;
      group.go(touch);
      if (i % 2 == 0) {
        group.wait();
      } else if (!group.wait_for(10s)) {
        std::abort();
      }
      touch();
    }
  });
  touch();
}

void order_by_guarded_map() {
  Guarded<std::map<std::string, int>> words;
  run([&] {
    WaitGroup group;
    for (int i = 0; i < 50; ++i) {
      group.go(GoOptions{"worker " + std::to_string(i)},
               [&, i] { words.with([&](auto& map) { ++map[std::to_string(i % 7)]; }); });
    }
    group.wait();
  });
}

void order_by_atomic() {
  Atomic<int> flag;
  run([&] {
    WaitGroup group;
    group.go([&] {
      touch();
      flag.store(1);
      flag.notify_all();
    });
    group.go([&] {
      flag.wait(0);
      touch();
    });
    group.wait();
  });
}

void order_by_atomic_value() {
  AtomicValue<std::vector<int>> value(std::vector<int>{1});
  run([&] {
    WaitGroup group;
    for (int i = 0; i < 4; ++i) {
      group.go([&, i] {
        for (int k = 0; k < 100; ++k) {
          value.store(std::vector<int>(static_cast<std::size_t>(k % 5 + 1), i));
          shared_number == static_cast<int>(value.load()->size()) ? yield() : void();
        }
      });
    }
    group.wait();
  });
}

// Each hands the number to the next one, by send, close or receive.
void order_by_channel(std::size_t capacity) {
  std::thread thread;
  run([&] {
    auto values = make_chan<std::vector<int>>(capacity);
    auto closed = make_chan<Unit>(capacity);
    WaitGroup group;
    group.go([=] {
      for (int i = 0; i < 200; ++i) {
        touch();
        values.send(std::vector<int>(3, i));
        if (closed.cap() == 0) {
          touch();  // the receive is before the end of the send; its receiver does not touch
        }
      }
      touch();
      closed.close();
    });
    group.go([=] {
      for (int i = 0; i < 200; ++i) {
        (void)values.recv()->size();
      }
      closed.recv();
      touch();
    });
    group.wait();
    auto mutex = make_chan<Unit>(1);
    auto work = [mutex] {
      for (int i = 0; i < 100; ++i) {
        if (i % 3 != 0 || !mutex.try_send({})) {
          mutex.send({});
        }
        touch();
        mutex.recv();
      }
    };
    thread = std::thread(work);
    group.go(work);
    group.go(work);
    group.wait();
    thread.join();
  });
}

void order_by_select() {
  run([] {
    auto a = make_chan<std::string>();
    auto b = make_chan<std::string>();
    auto acknowledged = make_chan<Unit>(1);
    WaitGroup group;
    group.go([=] {
      for (int i = 0; i < 200; ++i) {
        touch();
        select(on_send(a, std::string(50, 'a')), on_send(b, std::string(50, 'b')), on_timeout(10s));
        acknowledged.recv();
      }
      a.close();
    });
    group.go([=] {
      for (bool over = false; !over;) {
        auto const take = [&](std::optional<std::string> text) {
          over = !text;
          if (text) {
            touch();
            acknowledged.send({});
          }
        };
        select(on_recv(a, take), on_recv(b, take));
      }
      touch();
    });
    group.wait();
  });
}

// Stacks, records and closures are used again by goroutines that nothing orders.
void order_by_nothing_shared() {
  run([] {
    WaitGroup group;
    for (int i = 0; i < 5000; ++i) {
      group.go(
          [](std::vector<int> mine, std::string text) {
            for (int& n : mine) {
              n += static_cast<int>(text.size());
            }
            if (mine.size() % 3 == 0) {
              yield();
            }
            try {
              throw std::runtime_error(text);
            } catch (const std::exception&) {
              yield();
            }
          },
          std::vector<int>(static_cast<std::size_t>(i % 100), i), std::string(40, 'x'));
      if (i % 500 == 0) {
        group.wait();
      }
    }
    group.wait();
  });
}

void order_by_run() {
  for (int i = 0; i < 20; ++i) {
    shared_number += run([&] {
      blocking([&] { touch(); });
      return shared_number;
    });
    touch();
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::map<std::string, std::function<void()>> const programs{
      {"race_in_turn_on_one_worker", [] { two_in_turn(1); }},
      {"race_on_two_workers", [] { two_in_turn(2); }},
      {"race_beside_a_mutex", race_beside_a_mutex},
      {"race_beside_a_channel", race_beside_a_channel},
      {"race_with_creator", race_with_creator},
      {"order_by_go", order_by_go},
      {"order_by_mutex_1", [] { order_by_mutex(1); }},
      {"order_by_mutex_4", [] { order_by_mutex(4); }},
      {"order_by_timed_lock", order_by_timed_lock},
      {"order_by_waitgroup", order_by_waitgroup},
      {"order_by_guarded_map", order_by_guarded_map},
      {"order_by_atomic", order_by_atomic},
      {"order_by_atomic_value", order_by_atomic_value},
      {"order_by_channel_0", [] { order_by_channel(0); }},
      {"order_by_channel_3", [] { order_by_channel(3); }},
      {"order_by_select", order_by_select},
      {"order_by_nothing_shared", order_by_nothing_shared},
      {"order_by_run", order_by_run},
  };
  auto const program = programs.find(argc > 1 ? argv[1] : "");
  if (program == programs.end()) {
    for (const auto& entry : programs) {
      std::puts(entry.first.c_str());
    }
    return 2;
  }
  program->second();
  std::puts("done");
  return 0;
}
