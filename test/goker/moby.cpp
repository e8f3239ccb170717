// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>

#include "goker/kernel.h"
#include "hamgam/hamgam.h"

namespace hamgam::goker {
namespace {

using namespace std::chrono_literals;

// Like a coin, but the same in each run of the program.
bool is_heads() {
  static Atomic<std::uint32_t> tosses;
  return (tosses.add(1) * 2654435761U >> 31) != 0;
}

// 4395: the result is sent to who has not taken the channel.
void moby_4395(bool is_mended) {
  auto const start = [=](auto f) {
    auto const result = make_chan<bool>(is_mended ? 1 : 0);
    go([=] { result.send(f()); });
    return result;
  };
  start([] { return false; });
}

// 4951: the lock of all is given up while a device is removed, and taken again under the device's.
void moby_4951(bool is_mended) {
  struct Device {
    Mutex mutex;
  };
  struct Devices {
    Mutex mutex;
    std::shared_ptr<Device> first = std::make_shared<Device>();
  };
  auto const devices = std::make_shared<Devices>();
  auto const remove = [=] {
    std::unique_lock all(devices->mutex);
    auto const device = devices->first;
    if (is_mended) {
      all.unlock();
    }
    std::lock_guard const guard(device->mutex);
    if (is_mended) {
      all.lock();
    }
    all.unlock();
    auto const end = Clock::now() + 100us;  // no sleep: with one worker all of it runs through
    while (Clock::now() < end) {
    }
    all.lock();
  };
  go(remove);
  go(remove);
}

// 7559: who could not dial goes on without unlocking, and locks again.
void moby_7559(bool is_mended) {
  auto const connections = std::make_shared<Mutex>();
  auto const dial = [] { return false; };
  go([=] {
    for (int i = 0; i < 2; ++i) {
      connections->lock();
      if (!dial()) {
        if (is_mended) {
          connections->unlock();
        }
        continue;
      }
      connections->unlock();
    }
  });
}

// 17176: if nothing is to be deleted, it stays locked. Who left it so has ended, so that nobody
// waits for who waits: seen as a leak, not by the watch over locks.
void moby_17176(bool is_mended) {
  struct Devices {
    Mutex mutex;
    int deleted = 0;
  };
  auto const devices = std::make_shared<Devices>();
  auto const is_unlocked = make_chan<Unit>(1);
  auto const clean_up = [=] {
    devices->mutex.lock();
    if (devices->deleted == 0 && !is_mended) {
      return;
    }
    devices->mutex.unlock();
  };
  clean_up();
  go([=] {
    std::lock_guard const guard(devices->mutex);
    is_unlocked.send({});
  });
  select(on_timeout(1ms), on_recv(is_unlocked));
}

// 21233: a check that fails ends who receives progress, and so all who send it.
void moby_21233(bool is_mended) {
  struct Transfer {
    Mutex mutex;
    Chan<Unit> changed = make_chan<Unit>();
    Chan<Unit> released = make_chan<Unit>();
    Chan<Unit> ended = make_chan<Unit>();
  };
  auto const start = [](const Chan<Unit>& progress) {
    auto const transfer = std::make_shared<Transfer>();
    std::lock_guard const guard(transfer->mutex);
    go([=] {
      for (bool more = true, is_last = false; more;) {
        transfer->mutex.lock();
        transfer->mutex.unlock();
        if (is_heads()) {
          progress.send({});
        }
        more = !is_last;
        if (more) {
          select(on_recv(transfer->changed), on_recv(transfer->released, [&] { is_last = true; }));
        }
      }
      transfer->ended.close();
    });
    return transfer;
  };
  go([=] {
    auto const progress = make_chan<Unit>();
    auto const all_received = make_chan<Unit>();
    go([=] {
      for ([[maybe_unused]] Unit const one : progress) {
        bool const is_expected = is_heads();
        if (!is_expected && !is_mended) {
          return;
        }
      }
      all_received.close();
    });
    std::array const transfers{start(progress), start(progress), start(progress)};
    for (auto const& transfer : transfers) {
      transfer->released.close();
      transfer->ended.recv();
    }
    progress.close();
    all_received.recv();
  });
}

// 25384: all are waited for when only the first has been started.
void moby_25384(bool is_mended) {
  constexpr int kPlugins = 2;
  go([=] {
    auto const group = std::make_shared<WaitGroup>();
    group->add(kPlugins);
    for (int i = 0; i < kPlugins; ++i) {
      go([=] { group->done(); });
      if (!is_mended) {
        group->wait();
      }
    }
    group->wait();
  });
}

// 27782: who reads events waits until the watch is removed, which is told after the next event.
void moby_27782(bool is_mended) {
  struct Watcher {
    Chan<Unit> events = make_chan<Unit>();
    Chan<Unit> closed = make_chan<Unit>();
    Mutex mutex;
    Cond changed;
    bool is_unwanted = false;
    bool is_removed = false;

    void watch() {
      for (bool more = true; more;) {
        if (std::lock_guard const guard(mutex); is_unwanted) {
          is_removed = true;
          changed.notify_all();
          return;
        }
        sleep(300ns);
        select(on_send(events, Unit{}), on_recv(closed, [&] { more = false; }));
      }
    }
    void remove() {
      std::unique_lock lock(mutex);
      is_unwanted = true;
      changed.wait(lock, [this] { return is_removed; });
    }
  };
  auto const follow = [=](const Chan<Unit>& unwatched) {
    auto const watcher = std::make_shared<Watcher>();
    go([=] { watcher->watch(); });
    auto const [context, cancel] = with_cancel(Context::background());
    if (is_mended) {
      go([=, cancel = cancel] {
        unwatched.recv();
        watcher->remove();
        cancel();
      });
    }
    auto const end = is_mended ? context.done() : RecvChan<Unit>(unwatched);
    do {
      sleep(300ns);
    } while (select(on_recv(watcher->events), on_recv(end)) == 0);
    if (!is_mended) {
      watcher->remove();
    }
    watcher->closed.close();
  };
  go([=] {
    auto const unwatched = make_chan<Unit>();
    go([=] { follow(unwatched); });
    yield();
    unwatched.close();
  });
}

// 28462: a probe is told to stop under the lock that it takes.
void moby_28462(bool is_mended) {
  auto const container = std::make_shared<Mutex>();
  auto const stop = make_chan<Unit>();
  go([=] {
    while (select(on_recv(stop), otherwise()) != 0) {
      yield();
      std::lock_guard const guard(*container);
    }
  });
  go([=] {
    std::lock_guard const guard(*container);
    if (is_mended) {
      stop.close();
    } else {
      stop.send({});
    }
  });
}

// 29733: a new handler makes a plugin inactive that nobody activates any more.
void moby_29733(bool is_mended) {
  struct Plugin {
    Mutex mutex;
    Cond changed;
    bool is_active = true;
    bool has_run_handlers = true;
  };
  auto const plugin = std::make_shared<Plugin>();
  auto const wait_until_active = [=] {
    auto const done = make_chan<Unit>();
    go([=] {
      std::unique_lock lock(plugin->mutex);
      plugin->changed.wait(lock, [=] { return plugin->is_active; });
      done.close();
    });
    done.recv();
  };
  wait_until_active();
  {
    std::lock_guard const guard(plugin->mutex);
    (is_mended ? plugin->has_run_handlers : plugin->is_active) = false;
  }
  wait_until_active();
}

// 30408: who waits until a plugin is active does not look whether that has failed.
void moby_30408(bool is_mended) {
  struct Plugin {
    Mutex mutex;
    Cond changed;
    bool is_active = false;
    bool has_failed = false;
  };
  auto const plugin = std::make_shared<Plugin>();
  plugin->has_failed = true;
  auto const done = make_chan<Unit>();
  go([=] {
    std::unique_lock lock(plugin->mutex);
    plugin->changed.wait(lock,
                         [=] { return plugin->is_active || (is_mended && plugin->has_failed); });
    done.close();
  });
  done.recv();
}

// 33293: an error is sent before anybody has the channel from which to receive it.
void moby_33293(bool is_mended) {
  auto const wait_for_container = [=] {
    auto const error = make_chan<Unit>(is_mended ? 1 : 0);
    if (is_heads()) {
      error.send({});
    }
    return error;
  };
  go([=] { wait_for_container(); });
}

// 33781: who is stopped leaves the result of its last probe to nobody.
void moby_33781(bool is_mended) {
  auto const stop = make_chan<Unit>();
  go([=] {
    while (select(on_recv(stop), on_timeout(50ns)) != 0) {
      auto const result = make_chan<bool>();
      auto const [context, cancel] = with_timeout(Context::background(), 50ns);
      go([=] {
        result.send(true);
        result.close();
      });
      auto const way = select(on_recv(stop), on_recv(result), on_recv(context.done()));
      cancel();
      if (way == 2 || (way == 0 && is_mended)) {
        result.recv();
      }
      if (way == 0) {
        return;
      }
    }
  });
  go([=] {
    sleep(50ns);
    stop.send({});
  });
}

// 36114: what is done under the lock takes it, too.
void moby_36114(bool is_mended) {
  auto const machine = std::make_shared<Mutex>();
  auto const remove_disks = [=] {
    if (!is_mended) {
      std::lock_guard const guard(*machine);
    }
  };
  go([=] {
    std::lock_guard const guard(*machine);
    remove_disks();
  });
}

constexpr Kernel kKernels[] = {
    {"moby_4395", Kind::kChannel, &moby_4395},
    {"moby_4951", Kind::kLockOrder, &moby_4951},
    {"moby_7559", Kind::kLockedTwice, &moby_7559},
    {"moby_17176", Kind::kLeftLocked, &moby_17176},
    {"moby_21233", Kind::kChannel, &moby_21233},
    {"moby_25384", Kind::kWaitGroup, &moby_25384},
    {"moby_27782", Kind::kChannelAndCond, &moby_27782},
    {"moby_28462", Kind::kChannelAndLock, &moby_28462},
    {"moby_29733", Kind::kCond, &moby_29733},
    {"moby_30408", Kind::kCond, &moby_30408},
    {"moby_33293", Kind::kChannel, &moby_33293},
    {"moby_33781", Kind::kChannelAndContext, &moby_33781},
    {"moby_36114", Kind::kLockedTwice, &moby_36114},
};

}  // namespace

std::span<const Kernel> moby() { return kKernels; }

}  // namespace hamgam::goker
