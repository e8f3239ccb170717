// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <chrono>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <vector>

#include "goker/kernel.h"
#include "hamgam/hamgam.h"

namespace hamgam::goker {
namespace {

using namespace std::chrono_literals;

// Closed once f, which is called in a goroutine, has returned.
template <class F>
RecvChan<Unit> end_of(F f) {
  auto const ended = make_chan<Unit>();
  go([=] {
    f();
    ended.close();
  });
  return ended;
}

// 10182: changes are sent under the lock that their receiver takes.
void kubernetes_10182(bool is_mended) {
  auto const statuses = std::make_shared<Mutex>();
  auto const changes = make_chan<bool>();
  go([=] {
    auto const forget = [=] { std::lock_guard const guard(*statuses); };
    for (int i = 0; i < 2; ++i) {
      changes.recv();
      yield();
      if (is_mended) {
        go(forget);
      } else {
        forget();
      }
    }
  });
  for (int i = 0; i < 2; ++i) {
    go([=] {
      std::lock_guard const guard(*statuses);
      changes.send(true);
    });
  }
}

// 11298: who is to wait for changes may not wait yet when the last of all is told.
void kubernetes_11298(bool is_mended) {
  struct Notifier {
    Mutex mutex;
    Cond cond;
    Chan<Unit> changed = make_chan<Unit>(1);
  };
  auto const notifier = std::make_shared<Notifier>();
  auto const stop = make_chan<Unit>();
  auto const served = end_of([=] {
    auto const no_more = end_of([=] {
      for (; !stop.try_recv().closed; yield()) {
        std::lock_guard const guard(notifier->mutex);
        if (is_mended) {
          (void)notifier->changed.try_send({});
        } else {
          notifier->cond.notify_one();
        }
      }
    });
    if (is_mended) {
      while (select(on_recv(no_more), on_recv(notifier->changed)) != 0) {
      }
      return;
    }
    // The lock is handed to who waits, and back.
    notifier->mutex.lock();
    for (bool more = true; more && !no_more.try_recv().closed;) {
      auto const changed = end_of([=] { notifier->cond.wait(notifier->mutex); });
      more = select(on_recv(no_more), on_recv(changed)) != 0;
      if (!more) {
        notifier->cond.notify_one();
        changed.recv();
      }
    }
    notifier->mutex.unlock();
  });
  go([=] {
    sleep(300ns);
    stop.close();
  });
  served.recv();
}

// 13135: a cacher is locked, and then its cache, to fill that; the cache, and then the cacher, for
// an event.
void kubernetes_13135(bool is_mended) {
  struct Cacher {
    Mutex mutex;
    Mutex usable;  // mended: locked instead until the cache is full
    RWMutex cache;
    Once initialize;
    WaitGroup initialized;
  };
  auto const cacher = std::make_shared<Cacher>();
  auto const stop = make_chan<Unit>();
  cacher->initialized.add();
  go([=] {
    for (; !stop.try_recv().closed; yield()) {
      Mutex& usable = is_mended ? cacher->usable : cacher->mutex;
      usable.lock();
      std::lock_guard const guard(cacher->cache);
      cacher->initialize.call([&] { cacher->initialized.done(); });
      usable.unlock();
    }
  });
  cacher->initialized.wait();
  go([=] {
    std::lock_guard const event(cacher->cache);
    std::lock_guard const guard(cacher->mutex);
  });
  go([=] { stop.close(); });
}

// 1321: events are sent under the lock that is needed to watch them no more.
void kubernetes_1321(bool is_mended) {
  struct Watcher {
    Chan<Unit> events = make_chan<Unit>();
    Chan<Unit> stopped = make_chan<Unit>();
  };
  struct Mux {
    Mutex mutex;
    Mutex adding;
    std::vector<Watcher> watchers;
  };
  go([=] {
    auto const mux = std::make_shared<Mux>();
    go([=] {
      for (int i = 0; i < 100; ++i) {
        std::lock_guard const guard(mux->mutex);
        std::lock_guard const none_added(mux->adding);
        for (Watcher const& watcher : mux->watchers) {
          if (is_mended) {
            select(on_send(watcher.events, Unit{}), on_recv(watcher.stopped));
          } else {
            watcher.events.send({});
          }
        }
      }
    });
    Watcher const watcher;
    {
      std::lock_guard const guard(mux->adding);
      mux->watchers.push_back(watcher);
    }
    yield();
    if (is_mended) {
      watcher.stopped.close();
    }
    std::lock_guard const guard(mux->mutex);
    mux->watchers.clear();
    watcher.events.close();
  });
}

// 25331: who has given up all results is sent what went wrong.
void kubernetes_25331(bool is_mended) {
  auto const [context, cancel] = with_cancel(Context::background());
  auto const errors = make_chan<int>();
  auto const results = make_chan<bool>();
  go([=, context = context, cancel = cancel] {
    bool const failed = select(on_recv(context.done()), on_recv(errors)) != 0;
    if (failed && is_mended) {
      select(on_send(results, true), on_recv(context.done()));
    } else if (failed) {
      cancel();
      results.send(true);
    }
  });
  go([=, cancel = cancel] {
    errors.send(1);
    cancel();
  });
}

// 26980: with the lock of all who would add to it, a listener waits until it is stopped.
void kubernetes_26980(bool is_mended) {
  struct Listener {
    RWMutex mutex;
    Cond cond;
    std::vector<int> pending;
  };
  auto const listener = std::make_shared<Listener>();
  auto const stop = make_chan<Unit>();
  {
    std::lock_guard const guard(listener->mutex);
    listener->pending.push_back(1);
    listener->cond.notify_all();
  }
  go([=] {
    std::unique_lock lock(listener->mutex);
    listener->cond.wait(lock, [&] { return !listener->pending.empty(); });
    if (is_mended) {
      lock.unlock();
    }
    stop.recv();
  });
  auto const locked = make_chan<Unit>();
  go([=] {
    listener->mutex.lock();
    locked.close();
  });
  locked.recv();
  listener->mutex.unlock();
  stop.close();
}

// 30872: an informer is locked, and then its queue, to ask whether it is empty; the queue, and then
// the informer, to take from it.
void kubernetes_30872(bool is_mended) {
  struct Informer {
    Mutex mutex;
    RWMutex queue;
    Chan<Unit> stop = make_chan<Unit>();
  };
  auto const informer = std::make_shared<Informer>();
  auto const stop = make_chan<Unit>();
  {
    std::lock_guard const guard(informer->mutex);
    go([=] {
      for (; !informer->stop.try_recv().closed; yield()) {
        std::lock_guard const taking(informer->queue);
        std::lock_guard const adding(informer->mutex);
      }
    });
  }
  go([=] {
    stop.recv();
    std::lock_guard const guard(informer->mutex);
    informer->stop.close();
  });
  go([=] {
    std::unique_lock lock(informer->mutex, std::defer_lock);
    if (!is_mended) {
      lock.lock();
    }
    std::lock_guard const asking(informer->queue);
  });
  stop.close();
}

// 38669: events are sent though nobody watches any more.
void kubernetes_38669(bool is_mended) {
  struct Watcher {
    Guarded<bool> is_stopped{false};
    Chan<int> input = make_chan<int>();
    Chan<int> result = make_chan<int>();
    Chan<Unit> done = make_chan<Unit>();
  };
  auto const watcher = std::make_shared<Watcher>();
  auto const stop = [=] {
    auto const is_stopped = watcher->is_stopped.lock();
    if (!*is_stopped) {
      *is_stopped = true;
      watcher->input.close();
      watcher->done.close();
    }
  };
  go([=] {
    for (int event = 1; event <= 2; ++event) {
      if (is_mended) {
        select(on_send(watcher->result, event), on_recv(watcher->done));
      } else {
        watcher->result.send(event);
      }
    }
    watcher->input.recv();
    stop();
    watcher->result.close();
  });
  stop();
}

// 5316: whoever is late answers to nobody.
void kubernetes_5316(bool is_mended) {
  go([=] {
    static Atomic<int> requests;
    bool const fails = requests.add(1) % 2 == 0;
    auto const answer = make_chan<bool>(is_mended ? 1 : 0);
    auto const error = make_chan<int>(is_mended ? 1 : 0);
    go([=] {
      sleep(2ms);
      if (fails) {
        error.send(1);
      } else {
        answer.send(true);
      }
    });
    select(on_recv(answer), on_recv(error), on_timeout(1ms));
  });
}

// 58107: a worker reads while it waits for work; for it a writer waits, and for the writer another
// worker, from whom the work would come.
void kubernetes_58107(bool is_mended) {
  constexpr int kRounds = 10;
  struct Queue {
    Mutex mutex;
    Cond cond;
    int items = 0;
  };
  struct Controller {
    RWMutex workers;
    Queue usual;
    Queue missing;
  };
  auto const controller = std::make_shared<Controller>();
  auto const put = [](Queue& queue) {
    std::lock_guard const guard(queue.mutex);
    ++queue.items;
    queue.cond.notify_one();
  };
  auto const work = [=](Queue& queue) {
    std::shared_lock reading(controller->workers, std::defer_lock);
    if (!is_mended) {
      reading.lock();
    }
    std::unique_lock lock(queue.mutex);
    queue.cond.wait(lock, [&] { return queue.items > 0; });
    --queue.items;
    lock.unlock();
    if (is_mended) {
      reading.lock();
    }
  };
  go([=] {
    for (int i = 0; i < kRounds; ++i) {
      work(controller->usual);
    }
  });
  go([=] {
    for (int i = 0; i < kRounds; ++i) {
      std::lock_guard const guard(controller->workers);
      sleep(1ns);
    }
  });
  go([=] {
    for (int i = 0; i < kRounds; ++i) {
      work(controller->missing);
      put(controller->usual);
    }
  });
  for (int i = 0; i < kRounds; ++i) {
    put(controller->missing);
  }
}

// 62464: a state is read by who reads it already.
void kubernetes_62464(bool is_mended) {
  auto const state = std::make_shared<RWMutex>();
  auto const read = [=] { std::shared_lock const guard(*state); };
  go([=] {
    std::shared_lock reading(*state, std::defer_lock);
    if (!is_mended) {
      reading.lock();
    }
    read();
  });
  go([=] {
    read();
    std::lock_guard const guard(*state);
  });
}

// 6632: a frame waits under the lock for who needs it to stop all frames.
void kubernetes_6632(bool is_mended) {
  struct Framer {
    Mutex mutex;
    Chan<bool> reset;
  };
  auto const framer = std::make_shared<Framer>();
  auto const reset = make_chan<bool>();
  framer->reset = reset;
  auto const closing = make_chan<bool>();
  go([=] { closing.send(true); });
  go([=] {
    closing.recv();
    yield();
    if (is_mended) {
      go([=] {
        for ([[maybe_unused]] bool const frame : reset) {
        }
      });
    }
    std::lock_guard const guard(framer->mutex);
    reset.close();
    framer->reset = {};
  });
  go([=] {
    std::lock_guard const guard(framer->mutex);
    if (framer->reset) {
      framer->reset.send(true);
    }
  });
}

// 70277: what it waited for came, and nobody is told that it waits no more.
void kubernetes_70277(bool is_mended) {
  auto const stop = make_chan<Unit>();
  auto const done = is_mended ? make_chan<Unit>() : stop;
  auto const polls = make_chan<Unit>();
  go([=] {
    Ticker const ticker(1ms);
    auto const over = after(10ms);
    while (select(on_recv(ticker.chan(), [&] { (void)polls.try_send({}); }), on_recv(over),
                  on_recv(done)) == 0) {
    }
    polls.close();
  });
  polls.recv();
  if (is_mended) {
    done.close();
  }
  done.recv();
  stop.close();
}

constexpr Kernel kKernels[] = {
    {"kubernetes_10182", Kind::kChannelAndLock, &kubernetes_10182},
    {"kubernetes_11298", Kind::kChannelAndCond, &kubernetes_11298},
    {"kubernetes_13135", Kind::kLockOrder, &kubernetes_13135},
    {"kubernetes_1321", Kind::kChannelAndLock, &kubernetes_1321},
    {"kubernetes_25331", Kind::kChannelAndContext, &kubernetes_25331},
    {"kubernetes_26980", Kind::kChannelAndLock, &kubernetes_26980},
    {"kubernetes_30872", Kind::kLockOrder, &kubernetes_30872},
    {"kubernetes_38669", Kind::kChannel, &kubernetes_38669},
    {"kubernetes_5316", Kind::kChannel, &kubernetes_5316},
    {"kubernetes_58107", Kind::kCond, &kubernetes_58107},
    {"kubernetes_62464", Kind::kReadTwice, &kubernetes_62464},
    {"kubernetes_6632", Kind::kChannelAndLock, &kubernetes_6632},
    {"kubernetes_70277", Kind::kChannel, &kubernetes_70277},
};

}  // namespace

std::span<const Kernel> kubernetes() { return kKernels; }

}  // namespace hamgam::goker
