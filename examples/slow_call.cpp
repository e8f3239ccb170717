// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// A time-out on a slow call, in two ways: select with on_timeout, where the call goes on unheard,
// and a Context, which tells the call to give up.
#include <hamgam/hamgam.h>

#include <chrono>
#include <iostream>
#include <string>
#include <system_error>

namespace {

using namespace std::chrono_literals;
using hamgam::Context;

// A call that takes that long, unless its context ends first.
std::string fetch(const Context& ctx, std::chrono::milliseconds takes) {
  if (!hamgam::sleep(takes, ctx.stop_token())) {
    throw std::system_error(ctx.err());
  }
  return "the answer";
}

void with_select(std::chrono::milliseconds takes, std::chrono::milliseconds patience) {
  // Room for one answer: a call that nobody waits for any more need not wait either.
  const auto answer = hamgam::make_chan<std::string>(1);
  auto [ctx, cancel] = hamgam::with_cancel(Context::background());
  hamgam::go([answer, takes, ctx = ctx] {
    try {
      answer.send(fetch(ctx, takes));
    } catch (const std::system_error&) {
      // cancelled below
    }
  });
  hamgam::select(
      hamgam::on_recv(answer, [](auto text) { std::cout << "select: " << *text << '\n'; }),
      hamgam::on_timeout(patience, [] { std::cout << "select: too slow\n"; }));
  cancel();
}

void with_context(std::chrono::milliseconds takes, std::chrono::milliseconds patience) {
  auto [ctx, cancel] = hamgam::with_timeout(Context::background(), patience);
  try {
    const std::string answer = fetch(ctx, takes);
    std::cout << "context: " << answer << '\n';
  } catch (const std::system_error& e) {
    std::cout << e.code().message() << '\n';
  }
  cancel();
}

}  // namespace

int main() {
  return hamgam::run([] {
    with_select(0ms, 1min);
    with_select(1min, 5ms);
    with_context(0ms, 1min);
    with_context(1min, 5ms);
  });
}
