// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <array>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <shared_mutex>
#include <string>

#include "goker/kernel.h"
#include "hamgam/hamgam.h"

namespace hamgam::goker {
namespace {

using namespace std::chrono_literals;

// hugo 3251: an address is locked under the lock of the list, which is read to unlock it.
void hugo_3251(bool is_mended) {
  struct Addresses {
    RWMutex mutex;
    std::map<std::string, std::shared_ptr<Mutex>> locks;

    void lock(const std::string& address, bool gives_list_back) {
      std::unique_lock list(mutex);
      auto& entry = locks[address];
      if (entry == nullptr) {
        entry = std::make_shared<Mutex>();
      }
      auto const one = entry;
      if (gives_list_back) {
        list.unlock();
      }
      one->lock();
    }
    void unlock(const std::string& address) {
      std::shared_lock const list(mutex);
      locks.at(address)->unlock();
    }
  };
  auto const addresses = std::make_shared<Addresses>();
  for (int round = 0; round < 2; ++round) {
    auto const group = std::make_shared<WaitGroup>();
    for (int i = 0; i < 50; ++i) {
      group->go([=] {
        for (int get = 0; get < 10; ++get) {
          addresses->lock("http://foo.bar/foo", is_mended);
          addresses->unlock("http://foo.bar/foo");
          sleep(300ns);
        }
      });
    }
    group->wait();
  }
}

// hugo 5379: a page's content is made under its lock, with what asks for the content of the page.
void hugo_5379(bool is_mended) {
  struct Page {
    Once content_made;
    Once words_counted;
    Mutex content;
  };
  auto const page = std::make_shared<Page>();
  auto const count_words = [=] {
    page->words_counted.call([=] { std::lock_guard const guard(page->content); });
  };
  auto const make_content = [=](auto inserted) {
    page->content_made.call([=] {
      auto const [context, cancel] = with_timeout(Context::background(), 1ms);
      CancelGuard const guard(cancel);
      auto const done = make_chan<Unit>(1);
      go([=] {
        std::lock_guard const lock(page->content);
        inserted();
        done.send({});
      });
      select(on_recv(context.done()), on_recv(done));
    });
  };
  auto const insert = [=] {
    if (!is_mended) {  // else it has a page without content, and so without words
      make_content([] {});
      count_words();
    }
  };
  auto const group = std::make_shared<WaitGroup>();
  for (int i = 0; i < 2; ++i) {
    group->go([=] {
      make_content(insert);
      sleep(5ms);  // who was late comes first
      count_words();
    });
  }
  group->wait();
}

// istio 16224: an event is told of under the lock that is taken before one listens.
void istio_16224(bool is_mended) {
  auto const events = make_chan<Unit>();
  auto const stop = make_chan<Unit>();
  auto const done = make_chan<Unit>();
  auto const mutex = std::make_shared<Mutex>();
  auto const handle = [=] {
    std::unique_lock lock(*mutex);
    if (is_mended) {
      lock.unlock();
    }
    done.send({});
  };
  go([=] {
    while (select(on_recv(stop), on_recv(events, handle)) != 0) {
    }
  });
  events.send({});
  mutex->lock();
  mutex->unlock();
  done.recv();
  stop.close();
}

// istio 17860: who collects the states of processes ends before the last process.
void istio_17860(bool is_mended) {
  struct Agent {
    Chan<int> ended = make_chan<int>();
    Mutex mutex;
    int last = 0;
    std::set<int> active;
  };
  auto const agent = std::make_shared<Agent>();
  auto const [context, cancel] = with_cancel(Context::background());
  CancelGuard const guard(cancel);
  go([=, context = context] {
    for (bool more = true; more;) {
      select(on_recv(context.done(), [&] { more = false; }),
             on_recv(agent->ended, [&](std::optional<int> epoch) {
               std::lock_guard const lock(agent->mutex);
               agent->active.erase(*epoch);
               more = !agent->active.empty();
             }));
    }
  });
  auto const restart = [=, context = context] {
    std::lock_guard const lock(agent->mutex);
    if (!agent->active.empty()) {  // and never live
      Ticker const ticker(30ns);
      Timer limit(100ns);
      while (select(on_recv(limit.chan()), on_recv(ticker.chan())) != 0) {
      }
    }
    int const epoch = ++agent->last;
    agent->active.insert(epoch);
    go([=] {
      if (is_mended) {
        select(on_send(agent->ended, epoch), on_recv(context.done()));
      } else {
        agent->ended.send(epoch);
      }
    });
  };
  restart();
  go(restart);
  sleep(200ns);
}

// istio 18454: a timer whose tick was received already is waited for.
void istio_18454(bool is_mended) {
  struct Strategy {
    Chan<Unit> changed = make_chan<Unit>(1);
    CancelContext work = with_cancel(Context::background());
    Mutex mutex;
    bool has_timer = false;
  };
  auto const strategy = std::make_shared<Strategy>();
  auto const wait_for_quiet = [=] {
    Timer timer(1ns);
    auto const restart = [&] {
      if (!timer.stop()) {
        if (is_mended) {
          timer.chan().try_recv();
        } else {
          timer.chan().recv();
        }
      }
      timer.reset(1ns);
    };
    while (select(on_recv(strategy->work.ctx.done()), on_recv(timer.chan()),
                  on_recv(strategy->changed, restart)) != 0) {
    }
    timer.stop();
  };
  auto const change = [=] {
    std::unique_lock lock(strategy->mutex);
    if (strategy->has_timer) {
      lock.unlock();
      strategy->changed.send({});
      return;
    }
    strategy->has_timer = true;
    go(wait_for_quiet);
  };
  auto const events = make_chan<Unit>(1024);
  for (int i = 0; i < 1024; ++i) {
    events.send({});
  }
  auto const [context, stop] = with_cancel(Context::background());
  CancelGuard const guard(stop);
  go([=, context = context] {
    while (select(on_recv(context.done()), on_recv(events, change)) != 0) {
    }
    strategy->work.cancel();
  });
}

// serving 2137: requests are let go one after the other, each when the one before is done, though
// a later one may have been let in first.
void serving_2137(bool is_mended) {
  struct Request {
    Mutex mutex;
    Chan<bool> accepted = make_chan<bool>(1);
    WaitGroup started;
  };
  auto const pending = make_chan<Unit>(2);
  auto const active = make_chan<Unit>(1);
  auto const engine = std::make_shared<Guarded<std::minstd_rand>>(std::random_device()());
  auto const request = [=] {
    yield();
    auto const one = std::make_shared<Request>();
    one->mutex.lock();
    one->started.add();
    go([=] {
      one->started.done();
      auto const nap = (*engine->lock())() % 64;
      sleep(std::chrono::microseconds(nap));  // so that either may be the first
      bool const is_pending = pending.try_send({});
      if (is_pending) {
        active.send({});
        one->mutex.lock();
        one->mutex.unlock();
        active.recv();
        pending.recv();
      }
      one->accepted.send(is_pending);
    });
    one->started.wait();
    return one;
  };
  std::array const requests{request(), request()};
  for (auto const& one : requests) {
    one->mutex.unlock();
    if (!is_mended) {
      one->accepted.recv();
    }
  }
  if (is_mended) {
    for (auto const& one : requests) {
      one->accepted.recv();
    }
  }
}

// syncthing 4829: who is told of a change reads under the lock of who makes it.
void syncthing_4829(bool is_mended) {
  struct Mapping {
    RWMutex mutex;
    std::map<std::string, int> addresses{{"test", 0}};
  };
  struct Service {
    RWMutex mutex;
    std::shared_ptr<Mapping> mapping = std::make_shared<Mapping>();
  };
  auto const service = std::make_shared<Service>();
  auto const notify = [](Mapping& mapping) { std::shared_lock const lock(mapping.mutex); };
  std::lock_guard const guard(service->mutex);
  auto const mapping = service->mapping;
  std::unique_lock lock(mapping->mutex);
  mapping->addresses.clear();
  if (is_mended) {
    lock.unlock();
  }
  notify(*mapping);
}

// syncthing 5795: who hands messages on is closed by the receiver of one, which waits for its end.
void syncthing_5795(bool is_mended) {
  struct Connection {
    Chan<Unit> inbox = make_chan<Unit>();
    Chan<Unit> closed = make_chan<Unit>();
    Chan<Unit> stopped = make_chan<Unit>();
    Once once;
  };
  auto const connection = std::make_shared<Connection>();
  auto const close = [=] {
    connection->once.call([=] {
      connection->closed.close();
      connection->stopped.recv();
    });
  };
  auto const receive = [=] {
    if (is_mended) {
      go(close);
    } else {
      close();
    }
  };
  go([=] {
    while (select(on_recv(connection->closed), otherwise()) != 0) {
      yield();
    }
  });
  go([=] {
    while (select(on_recv(connection->closed), on_recv(connection->inbox, receive)) != 0) {
    }
    connection->stopped.close();
  });
  connection->inbox.send({});
  connection->stopped.recv();
}

constexpr Kernel kKernels[] = {
    {"hugo_3251", Kind::kLockOrder, &hugo_3251},
    {"hugo_5379", Kind::kLockedTwice, &hugo_5379},
    {"istio_16224", Kind::kChannelAndLock, &istio_16224},
    {"istio_17860", Kind::kChannel, &istio_17860},
    {"istio_18454", Kind::kChannelAndContext, &istio_18454},
    {"serving_2137", Kind::kChannelAndLock, &serving_2137},
    {"syncthing_4829", Kind::kLockedTwice, &syncthing_4829},
    {"syncthing_5795", Kind::kChannel, &syncthing_5795},
};

}  // namespace

std::span<const Kernel> others() { return kKernels; }

}  // namespace hamgam::goker
