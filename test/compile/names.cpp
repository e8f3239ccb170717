// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// A program's own functions, and POSIX's, that have names of ours are called where they are meant:
// with `using namespace hamgam`, and with arguments whose types are ours.
#include <hamgam/hamgam.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <string>

namespace {

int g_own = 0;  // calls of the program's own functions
int g_wanted = 0;

void expect(bool own) {
  ++g_wanted;
  g_own += own ? 1 : 0;
}

}  // namespace

namespace without_using {

struct Server {};

// Worse matches than a template that takes everything.
bool run(const hamgam::Context& /*ctx*/) { return true; }
bool run(const hamgam::CancelFunc& /*cancel*/) { return true; }
bool go(const std::function<hamgam::Context()>& /*f*/) { return true; }
bool spawn(const hamgam::Task<int>& /*task*/) { return true; }
bool blocking(const std::function<hamgam::Context()>& /*f*/) { return true; }
bool select(const hamgam::Chan<int>& /*chan*/) { return true; }
bool sleep(const hamgam::Context& /*ctx*/) { return true; }
bool recv(const hamgam::Chan<int>& /*chan*/) { return true; }
bool yield(const hamgam::Context& /*ctx*/) { return true; }
template <class F>
bool run(const F& /*f*/, Server /*server*/) {
  return true;
}

void test() {
  hamgam::Context ctx;
  hamgam::CancelFunc cancel;
  std::function<hamgam::Context()> make = [] { return hamgam::Context(); };
  hamgam::Chan<int> chan;
  hamgam::Task<int> task = hamgam::spawn([] { return 1; });
  expect(run(ctx));
  expect(run(cancel));
  expect(run(make, Server()));
  expect(go(make));
  expect(spawn(task));
  expect(blocking(make));
  expect(select(chan));
  expect(sleep(ctx));
  expect(recv(chan));
  expect(yield(ctx));
}

}  // namespace without_using

// At the top level, where the names of the directive are found side by side with these.
using namespace hamgam;  // NOLINT(google-build-using-namespace)

enum class Direction { kNorth };

static bool go(Direction /*to*/) { return true; }
static bool go(double /*speed*/) { return true; }
static bool run(const Context& /*ctx*/) { return true; }
static bool run(const std::string& /*command*/) { return true; }
static bool spawn(Direction /*what*/, int /*count*/) { return true; }
static bool blocking(bool /*on*/) { return true; }
static bool otherwise(double /*x*/) { return true; }
static bool after(int /*n*/) { return true; }
static bool yield(int /*n*/) { return true; }

static void test_with_using() {
  Context ctx;
  expect(go(Direction::kNorth));
  expect(go(1));
  expect(run(ctx));
  expect(run("ls"));
  expect(spawn(Direction::kNorth, 2));
  expect(blocking(true));
  expect(otherwise(1));
  expect(after(1));
  expect(yield(1));

  fd_set none;
  FD_ZERO(&none);
  timeval now{};
  expect(select(0, &none, nullptr, nullptr, &now) == 0);
  char byte = 0;
  expect(recv(-1, &byte, 1, 0) == -1);
  expect(::sleep(0) == 0);

  // And ours are found where they are meant.
  WaitGroup group;
  group.add(2);
  go([&group] { group.done(); });
  go(&WaitGroup::done, &group);
  group.wait();
  expect(spawn([] { return true; }).get());
  expect(blocking([] { return true; }));
  expect(select(on_timeout(std::chrono::nanoseconds(1))) == 0);
  sleep(std::chrono::nanoseconds(1));
}

int main() {
  return hamgam::run([] {
    without_using::test();
    test_with_using();
    return g_own == g_wanted ? 0 : 1;
  });
}
