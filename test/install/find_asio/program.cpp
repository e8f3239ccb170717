// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
//
// A program of somebody who installed the library and has Boost.
#include <hamgam/asio.h>
#include <hamgam/hamgam.h>

#include <boost/asio.hpp>
#include <cstdio>
#include <thread>

int main() {
  boost::asio::io_context context;
  auto const work = boost::asio::make_work_guard(context);
  std::thread runner([&] { context.run(); });
  hamgam::Atomic<int> sum{0};
  hamgam::WaitGroup group;
  for (int i = 0; i < 5; ++i) {
    group.go([&, i] {
      boost::asio::post(context, hamgam::asio::use_goroutine);
      sum.add(i);
    });
  }
  group.wait();
  context.stop();
  runner.join();
  std::printf("hamgam 0+1+2+3+4 = %d\n", sum.load());
}
