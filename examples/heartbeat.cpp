// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Heartbeats: a worker tells at regular intervals that it is alive, while it works. Who supervises
// it gives up on it when no beat has come for some time.
#include <hamgam/hamgam.h>

#include <chrono>
#include <iostream>

namespace {

using namespace std::chrono_literals;
using hamgam::Chan;
using hamgam::Unit;

// Beats until it is told to hang, or to end.
void work(const Chan<Unit>& beats, const hamgam::RecvChan<Unit>& hang, const hamgam::Context& ctx) {
  const hamgam::Ticker pulse(1ms);
  bool on = true;
  while (on) {
    hamgam::select(hamgam::on_recv(pulse.chan(), [&] { (void)beats.try_send({}); }),
                   hamgam::on_recv(hang, [&] { on = false; }),
                   hamgam::on_recv(ctx.done(), [&] { on = false; }));
  }
  ctx.done().recv();
}

}  // namespace

int main() {
  return hamgam::run([] {
    const auto beats = hamgam::make_chan<Unit>(1);
    const auto hang = hamgam::make_chan<Unit>();
    auto [ctx, cancel] = hamgam::with_cancel(hamgam::Context::background());
    hamgam::WaitGroup worker;
    worker.go([&, ctx = ctx] { work(beats, hang, ctx); });

    int heard = 0;
    bool alive = true;
    while (alive) {
      hamgam::select(hamgam::on_recv(beats,
                                     [&] {
                                       if (++heard == 5) {
                                         std::cout << "5 beats heard\n";
                                         hang.close();
                                       }
                                     }),
                     hamgam::on_timeout(1s, [&] {
                       alive = false;
                       std::cout << "the worker hangs: cancelled\n";
                     }));
    }
    cancel();
    worker.wait();
  });
}
