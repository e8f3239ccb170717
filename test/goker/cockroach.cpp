// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <shared_mutex>
#include <vector>

#include "goker/kernel.h"
#include "hamgam/hamgam.h"

namespace hamgam::goker {
namespace {

// 584: who finds the gossip closed leaves with its lock.
void cockroach_584(bool is_mended) {
  struct Gossip {
    Mutex mutex;
    bool is_closed = true;
  };
  auto const gossip = std::make_shared<Gossip>();
  auto const look = [=] {
    gossip->mutex.lock();
    if (gossip->is_closed && !is_mended) {
      return;
    }
    gossip->mutex.unlock();
  };
  go([=] {
    look();
    look();
  });
}

// 1055: who stops waits with the lock that tasks take to start, and of no task it is told that it
// is done.
void cockroach_1055(bool is_mended) {
  struct Stopper {
    Chan<Unit> stop = make_chan<Unit>();
    WaitGroup workers;
    Mutex mutex;
    Atomic<bool> drains = false;
    WaitGroup tasks;
  };
  std::vector<std::shared_ptr<Stopper>> stoppers;
  for (int i = 0; i < 3; ++i) {
    auto const stopper = std::make_shared<Stopper>();
    stoppers.push_back(stopper);
    stopper->workers.add();
    go([=] {
      if (!stopper->drains.load()) {
        std::unique_lock lock(stopper->mutex);
        if (!is_mended) {
          stopper->tasks.add();
        } else if (!stopper->drains.load()) {
          stopper->tasks.add();
          lock.unlock();
          stopper->tasks.done();
        }
      }
      stopper->stop.recv();
      stopper->workers.done();
    });
  }
  auto const drain = [=](Stopper& stopper, bool is_last) {
    std::unique_lock lock(stopper.mutex);
    stopper.drains.store(true);
    if (is_mended) {
      lock.unlock();
    }
    stopper.tasks.wait();
    if (is_last) {
      stopper.stop.close();
      stopper.workers.wait();
    } else {
      stopper.drains.store(false);
    }
  };
  auto const done = make_chan<Unit>();
  go([=] {
    for (auto const& stopper : stoppers) {
      drain(*stopper, false);
    }
    for (auto const& stopper : stoppers) {
      drain(*stopper, true);
    }
    done.close();
  });
  done.recv();
}

// 1462: between two looks whether it is to stop, it sends to who has stopped already.
void cockroach_1462(bool is_mended) {
  auto const stop = make_chan<Unit>();
  auto const events = make_chan<int>();
  WaitGroup workers;
  workers.go([=] {
    for (bool more = true; more;) {
      if (is_mended) {
        more = select(on_recv(stop), on_send(events, 0)) != 0;
      } else {
        select(on_recv(stop, [&] { more = false; }), otherwise([&] { events.send(0); }));
      }
    }
  });
  workers.go([=] {
    while (select(on_recv(stop), on_recv(events)) != 0) {
    }
  });
  yield();
  stop.close();
  workers.wait();
}

// 2448: one waits to send an event, to another who waits to send it a callback.
void cockroach_2448(bool is_mended) {
  auto const stop = make_chan<Unit>();
  auto const events = make_chan<Unit>();
  auto const callbacks = make_chan<Unit>();
  go([=] {
    while (select(on_recv(stop), on_recv(events, [&] {
                    select(on_send(callbacks, Unit{}), on_recv(stop));
                  })) != 0) {
    }
  });
  go([=] {
    int called = 0;
    auto const call = [&] {
      if (++called == 3 && is_mended) {
        stop.close();
      }
    };
    for (bool more = true; more;) {
      if (is_mended) {
        more = select(on_recv(stop), on_recv(callbacks, call), on_send(events, Unit{})) != 0;
      } else {
        more = select(on_recv(stop), on_recv(callbacks, call),
                      otherwise([&] { select(on_send(events, Unit{}), on_recv(stop)); })) != 0;
      }
    }
  });
}

// 3710: who goes through the replicas with the lock to read asks one for what needs it, too.
void cockroach_3710(bool is_mended) {
  struct Store {
    RWMutex mutex;
    std::vector<int> replicas{1, 2};
    Mutex queue_mutex;
  };
  auto const store = std::make_shared<Store>();
  go([=] {
    std::shared_lock lock(store->mutex);
    auto const replicas = store->replicas;
    if (is_mended) {
      lock.unlock();
    }
    for ([[maybe_unused]] int const replica : replicas) {
      std::lock_guard const queue_guard(store->queue_mutex);
      std::shared_lock const status_lock(store->mutex);
    }
  });
  go([=] {
    go([=] {
      std::lock_guard const guard(store->mutex);
      auto const replicas = store->replicas;
    });
  });
}

// 6181: what is printed under a lock to read takes it to print itself.
void cockroach_6181(bool is_mended) {
  go([=] {
    auto const cache = std::make_shared<RWMutex>();
    WaitGroup lookups;
    for (int i = 0; i < 3; ++i) {
      lookups.go([=] {
        {
          std::shared_lock const lock(*cache);
          if (!is_mended) {
            std::shared_lock const print_lock(*cache);
          }
        }
        std::lock_guard const guard(*cache);
      });
    }
    lookups.wait();
  });
}

// 7504: who gives a lease back locks it and then the names; who looks for it, the other way round.
void cockroach_7504(bool is_mended) {
  struct Lease {
    Mutex mutex;
  };
  struct Manager {
    Mutex table_mutex;
    std::vector<std::shared_ptr<Lease>> active;
    Mutex names_mutex;
    std::map<int, std::shared_ptr<Lease>> names;
  };
  auto const manager = std::make_shared<Manager>();
  for (int id = 0; id < 2; ++id) {
    manager->active.push_back(std::make_shared<Lease>());
    manager->names[id] = manager->active.back();
  }
  WaitGroup both;
  both.go([=] {
    std::lock_guard const guard(manager->names_mutex);
    if (auto const found = manager->names.find(0); found != manager->names.end()) {
      std::lock_guard const lease_guard(found->second->mutex);
    }
  });
  both.go([=] {
    std::lock_guard const guard(manager->table_mutex);
    auto const lease = manager->active.front();
    std::unique_lock lock(lease->mutex);
    if (is_mended) {
      lock.unlock();
    }
    manager->active.erase(manager->active.begin());
    std::lock_guard const names_guard(manager->names_mutex);
    manager->names.erase(0);
  });
  both.wait();
}

// 9935: the log fails under its lock, and takes it to say so.
void cockroach_9935(bool is_mended) {
  auto const mutex = std::make_shared<Mutex>();
  go([=] {
    thread_local std::minstd_rand engine;
    bool const fails = engine() % 8 % 4 > 0;
    std::unique_lock lock(*mutex);
    if (fails) {
      if (is_mended) {
        lock.unlock();
      }
      std::lock_guard const exit_guard(*mutex);
    }
  });
}

// 10214: heartbeats are sent under their lock, which takes those of replicas; a replica that ticks
// takes both the other way round.
void cockroach_10214(bool is_mended) {
  struct Replica {
    Mutex raft_mutex;
    Mutex mutex;
  };
  struct Store {
    Mutex coalesced_mutex;
    std::vector<int> heartbeats{1, 2};
    std::vector<Replica> replicas{2};
  };
  auto const store = std::make_shared<Store>();
  go([=] {
    std::unique_lock lock(store->coalesced_mutex);
    auto const heartbeats = store->heartbeats;
    if (is_mended) {
      lock.unlock();
    }
    for ([[maybe_unused]] int const heartbeat : heartbeats) {
      for (Replica& replica : store->replicas) {
        std::lock_guard const raft_guard(replica.raft_mutex);
      }
    }
  });
  go([=] {
    Replica& replica = store->replicas.front();
    std::lock_guard const raft_guard(replica.raft_mutex);
    std::lock_guard const guard(replica.mutex);
    for (int i = 0; i < 2; ++i) {
      std::lock_guard const coalesced_guard(store->coalesced_mutex);
    }
  });
}

// 10790: what is left of cancelled commands is waited for, also if nobody sends it any more.
void cockroach_10790(bool is_mended) {
  auto const quiesce = make_chan<Unit>();
  std::vector const commands{make_chan<bool>(), make_chan<bool>()};
  auto [context, cancel] = with_cancel(Context::background());
  go([=, context = context] {
    yield();
    for (auto const& command : commands) {
      if (select(on_send(command, true), on_recv(context.done())) == 1) {
        return;
      }
    }
  });
  go([=, context = context] {
    for (auto const& command : commands) {
      select(on_recv(command), on_recv(context.done(), [&] {
               go([=] {
                 for (auto const& left : commands) {
                   if (!is_mended) {
                     left.recv();
                   } else if (select(on_recv(left), on_recv(quiesce)) == 1) {
                     return;
                   }
                 }
               });
             }));
    }
  });
  go(cancel);
  quiesce.close();
}

// 13197: a transaction is begun, and never rolled back.
void cockroach_13197(bool is_mended) {
  auto [context, rollback] = with_cancel(Context::background());
  go([context = context] { context.done().recv(); });
  if (is_mended) {
    rollback();
  }
}

// 13755: the rows of a query are not closed.
void cockroach_13755(bool is_mended) {
  auto [context, close] = with_cancel(Context::background());
  go([context = context, close = close] {
    context.done().recv();
    close();
  });
  if (is_mended) {
    close();
  }
}

// 16167: a batch runs with the lock to read that its statements take.
void cockroach_16167(bool is_mended) {
  auto const config = std::make_shared<RWMutex>();
  go([=] { std::lock_guard const guard(*config); });
  std::shared_lock lock(*config);
  if (is_mended) {
    lock.unlock();
  }
  std::shared_lock const statement_lock(*config);
}

// 18101: who receives is told that all is cancelled, who sends is not.
void cockroach_18101(bool is_mended) {
  auto [context, cancel] = with_cancel(Context::background());
  go([context = context, is_mended] {
    constexpr int kSize = 6;
    auto const ready = make_chan<bool>(kSize);
    go([=] {
      for (int i = 0; i < kSize + 2; ++i) {
        if (!is_mended) {
          ready.send(i != 0);
        } else if (select(on_send(ready, i != 0), on_recv(context.done())) == 1) {
          break;
        }
      }
      ready.close();
    });
    if (ready.recv()) {
      context.done().recv();
    }
  });
  go(cancel);
}

// 24808: who starts reminds itself of work, and there is no room, as others have done so.
void cockroach_24808(bool is_mended) {
  auto const stop = make_chan<Unit>();
  auto const work = make_chan<Unit>(1);
  work.send({});
  if (is_mended) {
    (void)work.try_send(Unit{});
  } else {
    work.send({});
  }
  go([=] {
    while (select(on_recv(stop), on_recv(work)) != 0) {
    }
  });
  stop.close();
}

// 25456: it is to look whether the store quiesces, and waits until it does.
void cockroach_25456(bool is_mended) {
  auto const quiesce = make_chan<Unit>();
  for (int i = 0; i < 2; ++i) {
    if (is_mended) {
      quiesce.try_recv();
    } else {
      quiesce.recv();
    }
  }
}

// 35073: an outbox that fails as it starts does not close what others push into.
void cockroach_35073(bool is_mended) {
  constexpr int kSize = 16;
  struct Rows {
    Chan<int> data = make_chan<int>(kSize);
    Atomic<bool> is_closed = false;
  };
  auto const rows = std::make_shared<Rows>();
  auto const push = [=] {
    if (!rows->is_closed.load()) {
      rows->data.send(0);
    }
  };
  for (int i = 0; i < kSize; ++i) {
    push();
  }
  go(push);
  WaitGroup outbox;
  outbox.go([=] {
    if (is_mended) {
      rows->is_closed.store(true);
      rows->data.try_recv();  // room for who did not see it
    }
  });
  outbox.wait();
  push();
}

// 35931: a flow is cancelled input by input: at one that is full it waits for the processor, which
// waits for the other one.
void cockroach_35931(bool is_mended) {
  struct Registry {
    Mutex mutex;
    std::vector<Chan<Unit>> inputs{make_chan<Unit>(1), make_chan<Unit>(1)};
  };
  auto const registry = std::make_shared<Registry>();
  auto const left = registry->inputs[0];
  auto const right = registry->inputs[1];
  left.send({});
  go([=] {
    right.recv();
    left.recv();
    left.recv();
  });
  std::unique_lock lock(registry->mutex);
  auto const inputs = registry->inputs;
  lock.unlock();
  for (auto const& input : inputs) {
    if (is_mended) {
      go([=] { input.send({}); });
    } else {
      input.send({});
    }
  }
}

constexpr Kernel kKernels[] = {
    {"cockroach_584", Kind::kLockedTwice, &cockroach_584},
    {"cockroach_1055", Kind::kChannelAndWaitGroup, &cockroach_1055},
    {"cockroach_1462", Kind::kChannelAndWaitGroup, &cockroach_1462},
    {"cockroach_2448", Kind::kChannel, &cockroach_2448},
    {"cockroach_3710", Kind::kReadTwice, &cockroach_3710},
    {"cockroach_6181", Kind::kReadTwice, &cockroach_6181},
    {"cockroach_7504", Kind::kLockOrder, &cockroach_7504},
    {"cockroach_9935", Kind::kLockedTwice, &cockroach_9935},
    {"cockroach_10214", Kind::kLockOrder, &cockroach_10214},
    {"cockroach_10790", Kind::kChannelAndContext, &cockroach_10790},
    {"cockroach_13197", Kind::kChannelAndContext, &cockroach_13197},
    {"cockroach_13755", Kind::kChannelAndContext, &cockroach_13755},
    {"cockroach_16167", Kind::kReadTwice, &cockroach_16167},
    {"cockroach_18101", Kind::kChannelAndContext, &cockroach_18101},
    {"cockroach_24808", Kind::kChannel, &cockroach_24808},
    {"cockroach_25456", Kind::kChannel, &cockroach_25456},
    {"cockroach_35073", Kind::kChannel, &cockroach_35073},
    {"cockroach_35931", Kind::kChannel, &cockroach_35931},
};

}  // namespace

std::span<const Kernel> cockroach() { return kKernels; }

}  // namespace hamgam::goker
