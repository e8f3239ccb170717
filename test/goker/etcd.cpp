// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <utility>
#include <vector>

#include "goker/kernel.h"
#include "hamgam/hamgam.h"

namespace hamgam::goker {
namespace {

using namespace std::chrono_literals;

// 10492: a lease is renewed under the lock that its checkpoint takes.
void etcd_10492(bool is_mended) {
  auto const leases = std::make_shared<RWMutex>();
  auto const checkpoint = [=] { std::lock_guard const guard(*leases); };
  std::unique_lock renewal(*leases);
  if (is_mended) {
    renewal.unlock();
  }
  checkpoint();
}

// 5509: whoever finds the client closed goes away and reads on.
void etcd_5509(bool is_mended) {
  struct Client {
    RWMutex mutex;
    bool is_closed = false;
    Mutex remote;
  };
  auto const client = std::make_shared<Client>();
  auto const [context, cancel] = with_cancel(Context::background());
  auto const done = make_chan<Unit>();
  go([=] {
    for (bool is_closed = false; !is_closed;) {
      client->mutex.lock_shared();
      is_closed = client->is_closed;
      client->remote.lock();
      client->remote.unlock();
      if (!is_closed || is_mended) {
        client->mutex.unlock_shared();
      }
    }
    done.close();
  });
  client->mutex.lock();
  cancel();
  yield();
  client->is_closed = true;
  client->mutex.unlock();
  client->mutex.lock();
  client->mutex.unlock();
  done.recv();
}

// 6708: endpoints are set alone, and the leader, who is one, is asked by who reads them.
void etcd_6708(bool is_mended) {
  auto const endpoints = std::make_shared<RWMutex>();
  auto const find_leader = [=] { std::shared_lock const guard(*endpoints); };
  if (is_mended) {
    find_leader();
  }
  std::lock_guard const guard(*endpoints);
  if (!is_mended) {
    find_leader();
  }
}

// 6857: the node is asked how it is when it runs no more.
void etcd_6857(bool is_mended) {
  auto const status = make_chan<Chan<Unit>>();
  auto const stop = make_chan<Unit>();
  auto const done = make_chan<Unit>();
  go([=] {
    while (select(on_recv(stop), on_recv(status, [](auto answer) { answer->send({}); })) != 0) {
    }
    done.close();
  });
  go([=] {
    auto const answer = make_chan<Unit>();
    yield();
    if (is_mended) {
      select(on_send(status, answer, [&] { answer.recv(); }), on_recv(done));
    } else {
      status.send(answer);
      answer.recv();
    }
  });
  go([=] {
    select(on_send(stop, Unit{}), on_recv(done));
    done.recv();
  });
}

// 6873: with the lock it waits for the end of a loop that takes the lock.
void etcd_6873(bool is_mended) {
  auto const mutex = std::make_shared<Mutex>();
  auto const updates = make_chan<int>(1);
  auto const done = make_chan<Unit>();
  go([=] {
    for ([[maybe_unused]] int const update : updates) {
      yield();
      std::lock_guard const guard(*mutex);
    }
    done.close();
  });
  (void)updates.try_send(1);
  go([=] {
    std::unique_lock lock(*mutex);
    updates.close();
    if (is_mended) {
      lock.unlock();
    }
    done.recv();
  });
}

// 7443: under the locks of a connection and the balancer, addresses are sent to who tears down
// connections before he receives again, with the same locks, and then sends, too.
void etcd_7443(bool is_mended) {
  using Addresses = std::vector<int>;
  struct Balancer {
    RWMutex mutex;
    Chan<Addresses> notify = make_chan<Addresses>(1);
    int pinned = 0;  // none, but the first address is 0, too: so more than one is told of
    bool is_closed = false;
    Chan<Unit> changed = make_chan<Unit>(1);  // mended: one goroutine alone sends, without locks
    Chan<Unit> stop = make_chan<Unit>();
  };
  struct Connection {
    Mutex mutex;
    bool is_up = false;
  };
  struct Client {
    RWMutex mutex;
    std::map<int, std::shared_ptr<Connection>> connections;
    bool is_closed = false;
  };
  auto const balancer = std::make_shared<Balancer>();
  auto const client = std::make_shared<Client>();
  Addresses const all = {0, 1, 2};
  balancer->notify.send(all);

  auto const pin = [=](int address, Addresses const& wanted) {
    balancer->pinned = address;
    if (is_mended) {
      (void)balancer->changed.try_send({});
    } else {
      balancer->notify.send(wanted);
    }
  };
  auto const close_balancer = [=] {
    std::lock_guard const guard(balancer->mutex);
    if (!std::exchange(balancer->is_closed, true)) {
      balancer->pinned = 0;
      if (is_mended) {
        balancer->stop.close();
      } else {
        balancer->notify.close();
      }
    }
  };
  auto const bring_up = [=](int address, Connection& connection) {
    std::lock_guard const guard(connection.mutex);
    std::lock_guard const balancing(balancer->mutex);
    connection.is_up = !balancer->is_closed;
    if (connection.is_up && balancer->pinned == 0) {
      pin(address, {address});
    }
  };
  auto const tear_down = [=](int address, Connection& connection) {
    std::lock_guard const guard(connection.mutex);
    if (std::exchange(connection.is_up, false)) {
      std::lock_guard const balancing(balancer->mutex);
      if (!balancer->is_closed && balancer->pinned == address) {
        pin(0, all);
      }
    }
  };

  if (is_mended) {
    go([=] {
      while (select(on_recv(balancer->stop), on_recv(balancer->changed)) != 0) {
        Addresses wanted = all;
        {
          std::shared_lock const guard(balancer->mutex);
          if (balancer->pinned != 0) {
            wanted = {balancer->pinned};
          }
        }
        select(on_recv(balancer->stop), on_send(balancer->notify, std::move(wanted)));
      }
      balancer->notify.close();
    });
  }
  go([=] {
    for (Addresses const wanted : balancer->notify) {
      std::map<int, std::shared_ptr<Connection>> added;
      std::map<int, std::shared_ptr<Connection>> removed;
      {
        std::lock_guard const guard(client->mutex);
        if (client->is_closed) {
          continue;
        }
        removed.swap(client->connections);
        for (int const address : wanted) {
          auto known = removed.extract(address);
          if (known.empty()) {
            added[address] = client->connections[address] = std::make_shared<Connection>();
          } else {
            client->connections.insert(std::move(known));
          }
        }
      }
      yield();
      for (auto const& [address, connection] : added) {
        go([=, address = address, connection = connection] { bring_up(address, *connection); });
      }
      for (auto const& [address, connection] : removed) {
        tear_down(address, *connection);
      }
    }
  });
  sleep(100us);
  go([=] {
    client->mutex.lock();
    client->is_closed = true;
    auto const connections = std::move(client->connections);
    client->mutex.unlock();
    close_balancer();
    for (auto const& [address, connection] : connections) {
      tear_down(address, *connection);
    }
  });
  auto const closed = make_chan<Unit>();
  go([=] {
    close_balancer();
    closed.close();
  });
  closed.recv();
}

// 7492: a token is handed over under the lock that its keeper takes to delete others.
void etcd_7492(bool is_mended) {
  struct Tokens {
    Mutex mutex;
    int kept = 0;  // mended: under the lock, too
    Chan<Unit> add = make_chan<Unit>(1);
    Chan<Unit> stop = make_chan<Unit>();
    Chan<Unit> done = make_chan<Unit>();
    WaitGroup users;
  };
  auto const tokens = std::make_shared<Tokens>();
  go([=] {
    Ticker const ticker(1ns);
    auto const tidy = [&] {
      std::unique_lock lock(tokens->mutex, std::defer_lock);
      if (is_mended || tokens->kept > 0) {
        lock.lock();
      }
      tokens->kept = 0;
    };
    while (select(on_recv(tokens->stop), on_recv(ticker.chan(), tidy),
                  on_recv(tokens->add, [&] { tokens->kept = 1; })) != 0) {
    }
    tokens->done.close();
  });
  for (int i = 0; i < 3; ++i) {
    tokens->users.go([=] {
      std::lock_guard const guard(tokens->mutex);
      if (is_mended) {
        tokens->kept = 1;
      } else {
        tokens->add.send({});
      }
    });
  }
  tokens->users.wait();
  tokens->stop.close();
  tokens->done.recv();
}

// 7902: those that follow wait with the lock that the leader takes to end the round.
void etcd_7902(bool is_mended) {
  struct Election {
    Mutex mutex;
    Chan<Unit> next = make_chan<Unit>();
    WaitGroup clients;
  };
  go([=] {
    auto const election = std::make_shared<Election>();
    for (int client = 0; client < 3; ++client) {
      election->clients.go([=] {
        bool const is_leader = client == 2;
        constexpr int kRounds = 100;
        for (int round = 1; round <= kRounds; ++round) {
          std::unique_lock lock(election->mutex);
          auto const next = election->next;
          lock.unlock();
          yield();
          lock.lock();
          if (is_leader) {
            election->next.close();
            if (round < kRounds) {  // else nobody ends one any more, and nobody needs to wait
              election->next = make_chan<Unit>();
            }
          }
          if (is_mended) {
            lock.unlock();
          }
          next.recv();
        }
      });
    }
    election->clients.wait();
  });
}

constexpr Kernel kKernels[] = {
    {"etcd_10492", Kind::kLockedTwice, &etcd_10492},
    {"etcd_5509", Kind::kLeftLocked, &etcd_5509},
    {"etcd_6708", Kind::kLockedTwice, &etcd_6708},
    {"etcd_6857", Kind::kChannel, &etcd_6857},
    {"etcd_6873", Kind::kChannelAndLock, &etcd_6873},
    {"etcd_7443", Kind::kChannelAndLock, &etcd_7443},
    {"etcd_7492", Kind::kChannelAndLock, &etcd_7492},
    {"etcd_7902", Kind::kChannelAndLock, &etcd_7902},
};

}  // namespace

std::span<const Kernel> etcd() { return kKernels; }

}  // namespace hamgam::goker
