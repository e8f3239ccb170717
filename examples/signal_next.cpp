// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// One goroutine finishes and signals the next, without its output going through the channel: the
// output is in memory that both can see, and the channel only says that it is there. close() is
// before the receive that returns because of it, so the reader needs no lock. Below it the same
// with the output in the channel.
#include <hamgam/hamgam.h>

#include <iostream>
#include <string>
#include <utility>

namespace {

using hamgam::make_chan;
using hamgam::Unit;

std::string by_signal() {
  std::string shared;
  auto written = make_chan<Unit>();
  auto doubled = make_chan<Unit>();
  hamgam::go([&shared, written] {
    shared = "signal";
    written.close();
  });
  hamgam::go([&shared, written, doubled] {
    written.recv();
    shared += shared;
    doubled.close();
  });
  doubled.recv();
  return shared;
}

std::string by_value() {
  auto written = make_chan<std::string>();
  auto doubled = make_chan<std::string>();
  hamgam::go([written] { written.send("value"); });
  hamgam::go([written, doubled] {
    std::string text = *written.recv();
    doubled.send(text + text);
  });
  return *doubled.recv();
}

}  // namespace

int main() {
  return hamgam::run([] { std::cout << by_signal() << '\n' << by_value() << '\n'; });
}
