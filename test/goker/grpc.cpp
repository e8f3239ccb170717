// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <random>

#include "goker/kernel.h"
#include "hamgam/hamgam.h"

namespace hamgam::goker {
namespace {

using namespace std::chrono_literals;

// 660: whoever is told to stop leaves the answer of its last call to nobody.
void grpc_660(bool is_mended) {
  auto const stop = make_chan<Unit>();
  go([=] {
    for (bool more = true; more;) {
      auto const done = make_chan<bool>(is_mended ? 1 : 0);
      go([=] {
        thread_local std::minstd_rand engine;
        done.send(engine() % 10 < 8);
      });
      select(on_recv(stop, [&] { more = false; }), on_recv(done, [] {}));
    }
  });
  go([=] { stop.send({}); });
}

// 795: stopped twice, it locks where it was to unlock.
void grpc_795(bool is_mended) {
  struct Server {
    Mutex mutex;
    bool drains = false;
  };
  auto const s = std::make_shared<Server>();
  go([=] { std::lock_guard const guard(s->mutex); });
  for (int i = 0; i < 3; ++i) {
    s->mutex.lock();
    if (s->drains) {
      if (is_mended) {
        s->mutex.unlock();
      } else {
        s->mutex.lock();
      }
      return;
    }
    s->drains = true;
    if (is_mended) {
      s->mutex.unlock();
    }
  }
}

// 862: what was dialled and is not wanted any more goes on to try.
void grpc_862(bool is_mended) {
  auto [context, cancel] = with_cancel(Context::background());
  go([context = context, is_mended] {
    auto [connection, close] = with_cancel(Context::background());
    go([connection = connection] {
      for (int tries = 1; !connection.err(); ++tries) {
        select(on_timeout(tries * 2ns, [] {}), on_recv(connection.done(), [] {}));
      }
    });
    if (is_mended) {
      close();
    }
  });
  go(cancel);
}

// 1275: a stream is closed, and its reader is told nothing.
void grpc_1275(bool is_mended) {
  auto const received = make_chan<Unit>();
  auto const done = make_chan<Unit>();
  go([=] {
    received.recv();
    done.close();
  });
  if (is_mended) {
    received.close();
  }
  select(on_recv(done, [] {}), on_timeout(300ns, [] {}));
}

// 1353: addresses are sent under the lock that their receiver takes.
void grpc_1353(bool is_mended) {
  struct Balancer {
    Mutex mutex;
    Chan<bool> addresses;
  };
  auto const balancer = std::make_shared<Balancer>();
  balancer->addresses = make_chan<bool>(is_mended ? 1 : 0);
  auto const all_sent = make_chan<Unit>();
  go([=] {
    for (int i = 0; i < 100; ++i) {
      std::lock_guard const guard(balancer->mutex);
      if (is_mended) {
        (void)balancer->addresses.try_recv();  // the older one is out of date
      }
      balancer->addresses.send(true);
    }
    all_sent.close();
  });
  go([=] {
    for ([[maybe_unused]] bool const up : balancer->addresses) {
      for (int connection = 0; connection < 2; ++connection) {
        std::lock_guard const guard(balancer->mutex);
      }
    }
  });
  go([=] {
    all_sent.recv();
    std::lock_guard const guard(balancer->mutex);
    balancer->addresses.close();
  });
}

// 1424: who watches addresses ends without a word to who waits for the first one.
void grpc_1424(bool is_mended) {
  auto const addresses = make_chan<bool>();
  go([=] {
    auto const ready = make_chan<Unit>();
    go([=] {
      for ([[maybe_unused]] bool const up : addresses) {
      }
      if (is_mended) {
        ready.close();
      }
    });
    ready.recv();
  });
  addresses.close();
}

// 1460: it sleeps with the lock of those who would wake it.
void grpc_1460(bool is_mended) {
  struct Client {
    Mutex mutex;
    Chan<Unit> awaken;
    int streams = 0;
  };
  auto const client = std::make_shared<Client>();
  client->awaken = make_chan<Unit>(is_mended ? 1 : 0);
  go([=] {
    std::unique_lock lock(client->mutex);
    if (client->streams < 1) {
      if (is_mended) {
        lock.unlock();
      }
      client->awaken.recv();
    }
  });
  go([=] {
    std::lock_guard const guard(client->mutex);
    if (++client->streams == 1) {
      (void)client->awaken.try_send({});
    }
  });
}

// 3017: a timer that comes too late to remove what is used again forgets to unlock.
void grpc_3017(bool is_mended) {
  struct Entry {
    Timer timer;
    bool is_kept = false;
  };
  struct Cache {
    Mutex mutex;
    std::map<int, std::shared_ptr<Entry>> entries;
    std::map<int, int> addresses;
  };
  auto const cache = std::make_shared<Cache>();
  cache->addresses[1] = 1;
  auto const remove = [=] {
    std::lock_guard const guard(cache->mutex);
    if (!cache->addresses.contains(1) || cache->entries.contains(1)) {
      return;
    }
    auto const entry = std::make_shared<Entry>();
    cache->entries[1] = entry;
    entry->timer = after_func(1ns, [=] {
      cache->mutex.lock();
      if (entry->is_kept) {
        if (is_mended) {
          cache->mutex.unlock();
        }
        return;
      }
      cache->addresses.erase(1);
      cache->entries.erase(1);
      cache->mutex.unlock();
    });
  };
  auto const use_again = [=] {
    std::lock_guard const guard(cache->mutex);
    if (auto const found = cache->entries.find(1); found != cache->entries.end()) {
      found->second->is_kept = !found->second->timer.stop();
      cache->entries.erase(found);
    } else {
      cache->addresses[1] = 1;
    }
  };
  auto const done = make_chan<Unit>();
  go([=] {
    for (int i = 0; i < 1000; ++i) {
      remove();
      use_again();
    }
    done.close();
  });
  done.recv();
}

constexpr Kernel kKernels[] = {
    {"grpc_660", Kind::kChannel, &grpc_660},           {"grpc_795", Kind::kLockedTwice, &grpc_795},
    {"grpc_862", Kind::kChannelAndContext, &grpc_862}, {"grpc_1275", Kind::kChannel, &grpc_1275},
    {"grpc_1353", Kind::kChannelAndLock, &grpc_1353},  {"grpc_1424", Kind::kChannel, &grpc_1424},
    {"grpc_1460", Kind::kChannelAndLock, &grpc_1460},  {"grpc_3017", Kind::kLeftLocked, &grpc_3017},
};

}  // namespace

std::span<const Kernel> grpc() { return kKernels; }

}  // namespace hamgam::goker
