// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// select: of two, and with partners that select as well.
#include <hamgam/select.h>

#include "goroutines.h"

namespace {

using hamgam::Chan;
using hamgam::make_chan;
using hamgam::on_recv;
using hamgam::on_send;
using hamgam::Unit;

// Of two channels one is ready; a select and a send.
const bench::Case two_ready("Select/two_ready", {1}, [](int workers, std::int64_t n) {
  bench::on_workers(workers, [n] {
    const auto a = make_chan<int>(1);
    const auto b = make_chan<int>(1);
    a.send(0);
    for (std::int64_t i = 0; i < n; ++i) {
      hamgam::select(on_recv(a, [&] { b.send(0); }), on_recv(b, [&] { a.send(0); }));
    }
  });
});

// As many receivers as workers and as many senders, each selecting over three channels.
const bench::Case sync_contended("Select/sync_contended", {1, 2}, [](int workers, std::int64_t n) {
  bench::on_workers(workers, [=] {
    const auto a = make_chan<int>();
    const auto b = make_chan<int>();
    const auto c = make_chan<int>();
    const auto done = make_chan<Unit>();
    bench::Share share(n);
    hamgam::WaitGroup senders;
    for (int i = 0; i < workers; ++i) {
      senders.go([&] {
        bool over = false;
        while (!over) {
          hamgam::select(on_send(a, 0), on_send(b, 0), on_send(c, 0),
                         on_recv(done, [&] { over = true; }));
        }
      });
    }
    bench::in_goroutines(workers, [&] {
      while (const std::int64_t count = share.take()) {
        for (std::int64_t i = 0; i < count; ++i) {
          hamgam::select(on_recv(a), on_recv(b), on_recv(c));
        }
      }
    });
    done.close();
    senders.wait();
  });
});

// Values from a sender to a receiver of its own, a thousand such pairs for each worker; all
// receivers select on one more channel, which says that all is over.
const bench::Case shared_done("Select/shared_done", {1, 2}, [](int workers, std::int64_t n) {
  bench::on_workers(workers, [=] {
    constexpr int kPairs = 1000;
    const auto done = make_chan<Unit>();
    bench::Share share(n);
    hamgam::WaitGroup receivers;
    bench::in_goroutines(kPairs * workers, [&] {
      const auto ch = make_chan<int>();
      receivers.go([ch, &done] {
        for (bool over = false; !over;) {
          hamgam::select(on_recv(ch), on_recv(done, [&] { over = true; }));
        }
      });
      while (const std::int64_t count = share.take()) {
        for (std::int64_t i = 0; i < count; ++i) ch.send(0);
      }
    });
    done.close();
    receivers.wait();
  });
});

}  // namespace
