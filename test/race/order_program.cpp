// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include "race/program.h"

#include <chrono>
#include <cstdlib>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <shared_mutex>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace hamgam;
using namespace hamgam::test;
using namespace std::chrono_literals;

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

// The k-th receive is before the end of the (k+C)-th send, also if it waits for the k-th.
template <class T>
void order_by_waiting_receiver() {
  auto ch = make_chan<T>(1);
  one_by_one(
      [ch] {
        touch();
        ch.recv();
      },
      [ch] {
        ch.send({});
        ch.send({});
        touch();
      });
}

// Or if the (k+C)-th send waits for it; which is before the receive of its value.
template <class T>
void order_by_waiting_sender() {
  auto ch = make_chan<T>(1);
  ch.send({});
  one_by_one(
      [ch] {
        ch.send({});
        touch();
      },
      [ch] {
        touch();
        ch.recv();
      });
  one_by_one(
      [ch] {
        touch();
        ch.send({});
      },
      [ch] { ch.recv(); },
      [ch] {
        ch.recv();
        touch();
      });
}

// C values wait, one is read, one is written: C+2 buffers do, whoever waits and however.
template <class T>
void order_by_reused_buffers() {
  auto const reuse = [](std::size_t capacity, bool thread, bool selects) {
    auto ch = make_chan<T>(capacity);
    std::vector<int> buffers(capacity + 2);
    auto const read = [&] {
      int sum = 0;
      for (std::size_t i = 0;; ++i) {
        std::optional<T> value;
        selects ? void(select(on_recv(ch, [&](std::optional<T> got) { value = got; }),
                              on_recv(make_chan<int>())))
                : void(value = ch.recv());
        if (!value) {
          break;
        }
        sum += buffers[i % buffers.size()];
        i % 5 == 0 ? yield() : void();
      }
      if (sum != 299 * 150) {
        std::abort();
      }
    };
    auto const write = [&] {
      for (int i = 0; i < 300; ++i) {
        buffers[static_cast<std::size_t>(i) % buffers.size()] = i;
        selects ? void(select(on_send(ch, T{}), on_recv(make_chan<int>()))) : void(ch.send({}));
        i % 3 == 0 ? yield() : void();
      }
      ch.close();
    };
    WaitGroup group;
    std::thread other;
    thread ? void(other = std::thread(read)) : group.go(read);
    group.go(write);
    group.wait();
    thread ? other.join() : void();
  };
  run([&] {
    for (std::size_t const capacity : {1, 3}) {
      for (bool const thread : {false, true}) {
        reuse(capacity, thread, false);
        reuse(capacity, thread, true);
      }
    }
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

void order_by_rwmutex(int procs) {
  max_procs(procs);
  RWMutex mutex;
  std::map<int, int> data;
  auto const read = [&](int n) {
    int sum = 0;
    for (int i = 0; i < n; ++i) {
      std::shared_lock const lock(mutex);
      auto const place = data.find(i % 16);
      sum += place != data.end() ? place->second : 0;
      i % 64 == 0 ? yield() : void();
    }
    return sum;
  };
  run([&] {
    for (int round = 0; round < 5; ++round) {
      WaitGroup group;
      for (int i = 0; i < 6; ++i) {
        group.go([&] { (void)read(1500); });
      }
      group.wait();  // by now readers have slots
      for (int i = 0; i < 6; ++i) {
        group.go([&] { (void)read(500); });
      }
      group.go([&] {
        for (int i = 0; i < 20; ++i) {
          std::lock_guard const lock(mutex);
          data[i] = i;
          yield();
        }
      });
      group.wait();
    }
  });
}

// It may be destroyed right after the unlock that the destroyer's own lock waited for.
template <class M>
void order_by_destroyed() {
  struct Box {
    M mutex;
    bool done = false;
  };
  run([] {
    for (int i = 0; i < 300; ++i) {
      auto* const box = new Box;
      WaitGroup group;
      group.go([box] {
        for (bool last = false; !last;) {
          std::lock_guard const lock(box->mutex);
          last = box->done;
        }
        box->mutex.lock();
        box->mutex.unlock();
        delete box;
      });
      box->mutex.lock();
      yield();
      box->done = true;
      box->mutex.unlock();
      group.wait();
    }
  });
}

// Callbacks of the standard library's, which go on the thread that has just run them.
void order_by_stop_callback() {
  for (int const procs : {1, 2}) {
    max_procs(procs);
    run([] {
      for (int i = 0; i < 100; ++i) {
        std::stop_source source;
        std::atomic<int> called{0};
        auto const ready = make_chan<Unit>(1);
        WaitGroup group;
        group.go([&] {
          std::stop_callback const callback(source.get_token(), [&] { ++called; });
          ready.send({});
          while (called == 0) {
            yield();
          }
        });
        group.go([&, i] {
          (void)ready.recv();
          if (i % 2 == 0) {
            source.request_stop();
          } else {
            blocking([&] { source.request_stop(); });
          }
        });
        group.wait();
      }
    });
  }
}

// Everything that can be stopped, by a thread and by goroutines.
void order_by_stop() {
  auto const wait_all = [](const std::stop_token& token) {
    Semaphore none(0);
    if (none.acquire(token) || sleep(1h, token)) {
      std::abort();
    }
    auto ch = make_chan<int>();
    (void)ch.recv(token);
    select(on_recv(ch), on_stop(token));
    touch();  // after what was before the request
  };
  for (int i = 0; i < 50; ++i) {
    std::stop_source source;
    WaitGroup started;
    started.add();
    std::thread thread([&, token = source.get_token()] {
      started.done();
      wait_all(token);
    });
    started.wait();
    touch();
    source.request_stop();
    thread.join();
  }
  run([&] {
    for (int i = 0; i < 50; ++i) {
      std::stop_source source;
      WaitGroup group;
      Mutex mutex;
      for (int k = 0; k < 3; ++k) {
        group.go([&, token = source.get_token()] {
          Semaphore none(0);
          (void)none.acquire(token);
          std::lock_guard const lock(mutex);
          touch();
        });
      }
      yield();
      {
        std::lock_guard const lock(mutex);
        touch();
      }
      source.request_stop();
      group.wait();
    }
  });
}

// Each of the waits that can be stopped, alone; on_stop too.
void order_by_stop_of_each() {
  Mutex mutex;
  RWMutex rw;
  Semaphore none(0);
  WaitGroup busy;
  Cond cond;
  Mutex of_cond;
  auto empty = make_chan<int>();
  RateLimiter limiter(1e-6, 1);
  limiter.wait();
  ResourcePool<int> pool([] { return 1; }, {.max_open = 1});
  run([&] {
    mutex.lock();
    rw.lock();
    busy.add();
    auto const taken = pool.acquire();
    auto task = spawn([&] { empty.recv(); });
    std::vector<std::function<bool(const std::stop_token&)>> const waits{
        [&](auto& token) { return mutex.try_lock(token); },
        [&](auto& token) { return rw.try_lock(token); },
        [&](auto& token) { return rw.try_lock_shared(token); },
        [&](auto& token) { return none.acquire(token); },
        [&](auto& token) { return busy.wait(token); },
        [&](auto& token) {
          std::unique_lock lock(of_cond);
          return cond.wait(lock, token, [] { return false; });
        },
        [](auto& token) { return Barrier(2).arrive_and_wait(token); },
        [](auto& token) { return make_chan<int>().send(1, token); },
        [](auto& token) { return make_chan<int>().recv(token).value.has_value(); },
        [](auto& token) { return select(on_recv(make_chan<int>()), on_stop(token)) == 0; },
        [](auto& token) {
          SelectSet set;
          set.add(on_recv(make_chan<int>()));
          return set.wait(token).has_value();
        },
        [&](auto& token) { return task.wait(token); },
        [&](auto& token) { return pool.acquire(token).has_value(); },
        [&](auto& token) { return limiter.wait(token); },
        [](auto& token) { return sleep(1h, token); },
    };
    for (auto const& wait : waits) {
      for (int i = 0; i < 6; ++i) {
        std::stop_source source;
        WaitGroup group;
        group.go([&, token = source.get_token()] {
          if (wait(token)) {
            std::abort();
          }
          touch();
        });
        i % 2 == 0 ? sleep(100us) : void();  // it waits by then, mostly; or the request is first
        touch();
        source.request_stop();
        group.wait();
      }
    }
    empty.send(1);
    task.get();
    busy.done();
    rw.unlock();
    mutex.unlock();
  });
}

void order_by_context() {
  run([] {
    for (int i = 0; i < 50; ++i) {
      auto derived = with_cancel(Context::background());
      auto chan = make_chan<Unit>(4);
      WaitGroup group;
      auto text = std::make_unique<std::string>("captured");
      auto const after = after_func(derived.ctx, [chan, text = std::move(text)] {
        touch();
        *text += '.';
        chan.send({});
      });
      auto const deeper = with_cancel(derived.ctx);
      group.go([chan, ctx = deeper.ctx] {
        ctx.done().recv();
        chan.recv();
        touch();
        chan.send({});
      });
      group.go([chan, ctx = derived.ctx] {
        while (!ctx.err()) {
          yield();
        }
        (void)ctx.cause();
      });
      yield();
      touch();
      derived.cancel();
      group.wait();
      auto const timed = with_timeout(Context::background(), 200us);
      (void)sleep(1h, timed.ctx.stop_token());
      touch();
    }
  });
}

// Whoever asks first when it is over already.
void order_by_former_cancel(bool (*sees)(const Context& ctx)) {
  run([&] {
    auto derived = with_cancel(Context::background());
    Turns turns;
    WaitGroup group;
    group.go([&] {
      touch();
      derived.cancel();
      turns.next();
    });
    group.go([&] {
      turns.await(1);
      if (sees(derived.ctx)) {
        touch();
      }
    });
    group.wait();
  });
}

// The same for what runs then, and in an ErrGroup.
void order_by_former_cancel() {
  order_by_former_cancel([](const Context& ctx) { return ctx.done().recv() == std::nullopt; });
  order_by_former_cancel([](const Context& ctx) { return ctx.stop_token().stop_requested(); });
  order_by_former_cancel([](const Context& ctx) { return !sleep(1h, ctx.stop_token()); });
  order_by_former_cancel([](const Context& ctx) { return bool(with_cancel(ctx).ctx.err()); });
  order_by_former_cancel([](const Context& ctx) { return bool(with_timeout(ctx, 1h).ctx.err()); });
  order_by_former_cancel([](const Context& ctx) {
    std::stop_callback const now(ctx.stop_token(), touch);
    return false;
  });
  order_by_former_cancel([](const Context& ctx) {
    WaitGroup ran;
    ran.add(1);
    auto const after = after_func(ctx, [&ran] {
      touch();
      ran.done();
    });
    ran.wait();
    return false;
  });
  run([] {
    ErrGroup group;
    Turns turns;
    group.go([&] {
      touch();
      turns.next();
      throw std::runtime_error("thrown");
    });
    group.go([&] {
      turns.await(1);
      while (!group.context().err()) {
        yield();
      }
    });
    group.go([&] {
      turns.await(1);
      sleep(1ms);
      group.context().done().recv();
      touch();
    });
    try {
      group.wait();
    } catch (const std::runtime_error&) {
    }
  });
}

void order_by_after_func() {
  run([] {
    for (int i = 0; i < 20; ++i) {
      touch();
      auto done = make_chan<Unit>();
      auto number = std::make_unique<int>(i);
      Timer timer = after_func(100us, [done, number = std::move(number)] {
        touch();
        ++*number;
        done.send({});
      });
      done.recv();
      touch();
      timer.reset(50us);
      done.recv();
      (void)after(10us).recv();
    }
  });
}

// The reset of a timer is before the receive of its tick, whoever resets and whoever receives.
void order_by_timer() {
  auto const reset_while_received = [](auto timer, auto receive) {
    WaitGroup group;
    group.go([&] {
      receive(timer.chan());
      touch();
    });
    yield();
    touch();
    timer.reset(100us);
    group.wait();
  };
  run([&] {
    for (int i = 0; i < 20; ++i) {
      auto const waits = [](const auto& ticks) { ticks.recv(); };
      auto const selects = [](const auto& ticks) { select(on_recv(ticks), on_timeout(1h)); };
      auto const polls = [](const auto& ticks) {
        while (!ticks.try_recv().value) {
          yield();
        }
      };
      reset_while_received(Timer(1h), waits);
      reset_while_received(Timer(1h), selects);
      reset_while_received(Timer(1h), polls);
      reset_while_received(Ticker(1h), waits);
      reset_while_received(Ticker(1h), selects);
      reset_while_received(Ticker(1h), polls);
    }
  });
}

void order_by_cond() {
  Mutex mutex;
  Cond changed;
  int turn = 0;
  run([&] {
    WaitGroup group;
    for (int k = 0; k < 4; ++k) {
      group.go([&, k] {
        for (int i = 0; i < 50; ++i) {
          std::unique_lock lock(mutex);
          changed.wait(lock, [&] { return turn % 4 == k; });
          touch();
          ++turn;
          changed.notify_all();
        }
      });
    }
    group.wait();
  });
}

// More than there is room for at once, while destructors on the way let others run.
void order_by_nothing_thrown() {
  struct Slow {
    ~Slow() { sleep(1ms); }
  };
  run([] {
    for (int round = 0; round < 3; ++round) {
      ErrGroup group;
      for (int i = 0; i < 200; ++i) {
        group.go([] {
          Slow const slow;
          throw std::runtime_error("thrown");
        });
      }
      try {
        group.wait();
      } catch (const std::exception&) {
      }
    }
  });
}

// The goroutines of a worker share its thread_locals.
void order_by_nothing_thread_local() {
  max_procs(1);
  run([] {
    WaitGroup group;
    for (int i = 0; i < 50; ++i) {
      group.go([] {
        thread_local std::minstd_rand random(1);
        static_cast<void>(random());
        std::once_flag flag;
        std::call_once(flag, [] {});
        std::promise<int> promise;
        promise.set_value(1);
      });
    }
    group.wait();
  });
}

// By another goroutine of the worker that has called it: the destructor takes itself for inside it.
void order_by_destroyed_stop_callback() {
  max_procs(1);
  run([] {
    for (int i = 0; i < 100; ++i) {
      auto const timed = with_cancel(Context::background());
      std::stop_callback const callback(timed.ctx.stop_token(), [] {});
      go([cancel = timed.cancel] { cancel(); });
      (void)timed.ctx.done().recv();
      yield();
    }
  });
}

void order_by_task() {
  run([] {
    std::vector<Task<std::vector<int>>> tasks;
    for (int i = 0; i < 50; ++i) {
      tasks.push_back(spawn([i] {
        i % 7 == 0 ? throw std::runtime_error("seven") : void();
        return std::vector<int>(3, i);
      }));
    }
    for (auto& task : tasks) {
      try {
        task.get().push_back(1);
      } catch (const std::runtime_error&) {
      }
    }
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
  return run_program(
      {
          {"order_by_go", order_by_go},
          {"order_by_mutex_1", [] { order_by_mutex(1); }},
          {"order_by_mutex_4", [] { order_by_mutex(4); }},
          {"order_by_timed_lock", order_by_timed_lock},
          {"order_by_waitgroup", order_by_waitgroup},
          {"order_by_atomic", order_by_atomic},
          {"order_by_channel_0", [] { order_by_channel(0); }},
          {"order_by_channel_3", [] { order_by_channel(3); }},
          {"order_by_waiting_receiver", order_by_waiting_receiver<int>},
          {"order_by_waiting_receiver_wide", order_by_waiting_receiver<Wide>},
          {"order_by_waiting_sender", order_by_waiting_sender<int>},
          {"order_by_waiting_sender_wide", order_by_waiting_sender<Wide>},
          {"order_by_reused_buffers", order_by_reused_buffers<int>},
          {"order_by_reused_buffers_wide", order_by_reused_buffers<Wide>},
          {"order_by_select", order_by_select},
          {"order_by_run", order_by_run},
          {"order_by_rwmutex_1", [] { order_by_rwmutex(1); }},
          {"order_by_rwmutex_4", [] { order_by_rwmutex(4); }},
          {"order_by_destroyed_mutex", order_by_destroyed<Mutex>},
          {"order_by_destroyed_rwmutex", order_by_destroyed<RWMutex>},
          {"order_by_stop_callback", order_by_stop_callback},
          {"order_by_stop", order_by_stop},
          {"order_by_context", order_by_context},
          {"order_by_former_cancel", [] { order_by_former_cancel(); }},
          {"order_by_after_func", order_by_after_func},
          {"order_by_stop_of_each", order_by_stop_of_each},
          {"order_by_timer", order_by_timer},
          {"order_by_cond", order_by_cond},
          {"order_by_nothing_thrown", order_by_nothing_thrown},
          {"order_by_nothing_thread_local", order_by_nothing_thread_local},
          {"order_by_destroyed_stop_callback", order_by_destroyed_stop_callback},
          {"order_by_task", order_by_task},
      },
      argc, argv);
}
