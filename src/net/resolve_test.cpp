// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
//
// Names: who asks the same shares a lookup, and gives it up alone. The resolver is the test's own.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <new>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "hamgam/hamgam.h"
#include "net/resolve.h"
#include "support/crew.h"
#include "support/resolver.h"
#include "support/scale.h"
#include "support/until.h"

namespace hamgam {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace): literals
using net::Address;
using net::count_lookups;
using net::kMostLookups;
using test::resolver;

template <class F>
std::error_code error_of(F f) {
  try {
    f();
  } catch (const net::Error& e) {
    return e.code();
  }
  return {};
}

class Resolve : public testing::Test {
 protected:
  void SetUp() override { resolver().reset(); }
  void TearDown() override {
    resolver().let_go();
    test::until([] { return count_lookups().running == 0; });
    EXPECT_EQ(count_lookups().queued, 0U);
    EXPECT_EQ(count_lookups().waiting, 0U);
  }

  static void await_waiting(unsigned n) {
    test::until([n] { return count_lookups().waiting == n; });
  }
};

// N60
TEST_F(Resolve, equal_questions_share_one_lookup) {
  constexpr unsigned kAskers = 200;
  for (auto who : {test::Who::kGoroutines, test::Who::kBoth}) {
    resolver().reset();
    std::vector<std::vector<Address>> answers(kAskers);
    test::Crew crew(who);
    for (unsigned i = 0; i < kAskers; ++i) {
      crew.start([&, i] { answers[i] = net::resolve("host:80"); });
    }
    await_waiting(kAskers);
    test::until([] { return resolver().inside() == 1; });
    EXPECT_EQ(resolver().asked().size(), 1U);
    resolver().let_go();
    crew.join();
    for (const auto& answer : answers) {
      EXPECT_EQ(answer, std::vector{Address::parse("10.0.0.1:80")});
    }
    // It is no cache.
    EXPECT_EQ(net::resolve("host:80"), std::vector{Address::parse("10.0.0.2:80")});
  }
}

TEST_F(Resolve, other_questions_do_not) {
  WaitGroup group;
  std::vector<std::string> const questions = {"a:80", "b:80", "a:81", "a:82"};
  for (const auto& question : questions) {
    group.go([&] { (void)net::resolve(question); });
    group.go([&] { (void)net::resolve(question); });
  }
  group.go([] { (void)net::UdpSocket::connect("a:80"); });
  await_waiting(9);
  test::until([] { return resolver().inside() == 5; });
  resolver().let_go();
  group.wait();
  EXPECT_EQ(resolver().asked().size(), 5U);
}

TEST_F(Resolve, what_fails_fails_for_all) {
  std::atomic<int> told{0};
  std::atomic<int> without_memory{0};
  WaitGroup group;
  for (int i = 0; i < 20; ++i) {
    group.go([&] {
      try {
        (void)net::resolve("none:80");
      } catch (const net::Error& e) {
        told += e.code() == net::Errc::host_not_found &&
                std::string(e.what()) == "address none:80: no such host";
      }
    });
    group.go([&] {
      try {
        (void)net::resolve("no-memory:80");
      } catch (const std::bad_alloc&) {
        ++without_memory;
      }
    });
  }
  await_waiting(40);
  resolver().let_go();
  group.wait();
  EXPECT_EQ(told, 20);
  EXPECT_EQ(without_memory, 20);
}

// One that may be asked again is told from one that does not exist.
TEST_F(Resolve, failures_are_told_apart) {
  resolver().let_go();
  auto const code = [](const char* host_port) {
    return error_of([=] { (void)net::resolve(host_port); });
  };
  EXPECT_EQ(code("none:80"), net::Errc::host_not_found);
  EXPECT_EQ(code("no-data:80"), net::Errc::host_not_found);
  EXPECT_EQ(code("again:80"), net::Errc::host_not_found_try_again);
  EXPECT_EQ(code("again:80"), std::errc::resource_unavailable_try_again);
  EXPECT_EQ(code("broken:80"), net::Errc::lookup_failed);
  EXPECT_EQ(code("system:80"), std::errc::too_many_files_open);
  EXPECT_EQ(code("no-descriptor:80"), std::errc::too_many_files_open);
  std::error_code error;
  EXPECT_FALSE(net::TcpConn::dial("again:80", error));
  EXPECT_EQ(error, net::Errc::host_not_found_try_again);
  EXPECT_EQ(error.message(), "temporary failure in name resolution");
}

// A name may have addresses that are another machine's.
TEST_F(Resolve, binds_the_first_address_that_is_here) {
  resolver().let_go();
  (void)run([] {
    auto const listener = net::TcpListener::bind("second-is-here:0");
    EXPECT_EQ(listener.address().host(), "127.0.0.1");
    auto const socket = net::UdpSocket::bind("second-is-here:0");
    EXPECT_EQ(socket.local_address().host(), "127.0.0.1");
    EXPECT_EQ(error_of([] { (void)net::TcpListener::bind("elsewhere:0"); }),
              std::errc::address_not_available);
  });
}

// N60: each alone, at once, and the others get their answer.
TEST_F(Resolve, is_given_up_alone) {
  (void)run([] {
    WaitGroup patient;
    for (int i = 0; i < 3; ++i) {
      patient.go([] { EXPECT_EQ(net::resolve("host:80").size(), 1U); });
    }
    await_waiting(3);
    test::until([] { return resolver().inside() == 1; });
    std::stop_source source;
    auto stopped = spawn([&] { return net::resolve("host:80", source.get_token()); });
    await_waiting(4);
    source.request_stop();
    EXPECT_FALSE(stopped.get());
    EXPECT_FALSE(net::resolve_for("host:80", 1ms));
    EXPECT_FALSE(net::resolve_until("host:80", Clock::now() + 1ms));
    EXPECT_FALSE(net::TcpConn::dial_for("host:80", 1ms));
    EXPECT_FALSE(net::TcpConn::dial("host:80", source.get_token()));
    std::thread([] { EXPECT_FALSE(net::resolve_for("host:80", 1ms)); }).join();
    EXPECT_EQ(resolver().asked().size(), 1U);
    resolver().let_go();
    patient.wait();
  });
}

// Nobody waits any more, and then somebody does: the answer is his.
TEST_F(Resolve, the_answer_outlives_who_asked) {
  (void)run([] {
    std::stop_source source;
    auto first = spawn([&] { return net::resolve("host:80", source.get_token()); });
    test::until([] { return resolver().inside() == 1; });
    source.request_stop();
    EXPECT_FALSE(first.get());
    auto late = spawn([] { return net::resolve("host:80"); });
    await_waiting(1);
    resolver().let_go();
    EXPECT_EQ(late.get(), std::vector{Address::parse("10.0.0.1:80")});
    EXPECT_EQ(resolver().asked().size(), 1U);
  });
}

TEST_F(Resolve, no_more_at_once_than_the_limit) {
  constexpr unsigned kQuestions = 3 * kMostLookups;
  (void)run([&] {
    WaitGroup group;
    std::atomic<int> others{0};
    for (unsigned i = 0; i < kQuestions; ++i) {
      group.go([i] { (void)net::resolve("host" + std::to_string(i) + ":80"); });
    }
    await_waiting(kQuestions);
    test::until([] { return resolver().inside() == kMostLookups; });
    EXPECT_EQ(count_lookups().running, kMostLookups);
    EXPECT_EQ(count_lookups().queued, kQuestions - kMostLookups);
    for (int i = 0; i < 100; ++i) {  // whatever else blocks has its places
      group.go([&] { blocking([&] { ++others; }); });
    }
    test::until([&] { return others == 100; });
    EXPECT_EQ(net::resolve("127.0.0.1:80").size(), 1U);  // a number need not wait
    resolver().let_go();
    group.wait();
    EXPECT_EQ(resolver().most_inside(), static_cast<int>(kMostLookups));
    EXPECT_EQ(resolver().asked().size(), kQuestions);
  });
}

TEST_F(Resolve, at_most_half_of_the_calls_that_block) {
  int const former = max_blocking(6);
  WaitGroup group;
  for (int i = 0; i < 10; ++i) {
    group.go([i] { (void)net::resolve("host" + std::to_string(i) + ":80"); });
  }
  await_waiting(10);
  test::until([] { return resolver().inside() == 3; });
  EXPECT_EQ(count_lookups().running, 3U);
  resolver().let_go();
  group.wait();
  EXPECT_EQ(resolver().most_inside(), 3);
  max_blocking(former);
}

// Whoever has the last place among the calls that block may ask for a name there.
TEST_F(Resolve, needs_no_place_that_who_waits_for_it_has) {
  int const former = max_blocking(1);
  resolver().let_go();
  (void)run([] { EXPECT_EQ(blocking([] { return net::resolve("host:80").size(); }), 1U); });
  max_blocking(former);
}

// What nobody waits for any more is not asked when its turn comes.
TEST_F(Resolve, what_is_given_up_in_the_queue_is_dropped) {
  int const former = max_blocking(2);
  (void)run([] {
    auto first = spawn([] { return net::resolve("first:80"); });
    test::until([] { return resolver().inside() == 1; });
    for (int i = 0; i < 50; ++i) {
      EXPECT_FALSE(net::resolve_for("gone" + std::to_string(i) + ":80", 1ms));
    }
    auto last = spawn([] { return net::resolve("last:80"); });
    await_waiting(2);
    EXPECT_GT(count_lookups().queued, 1U);
    resolver().let_go();
    (void)first.get();
    (void)last.get();
    EXPECT_EQ(resolver().asked(), (std::vector<std::string>{"first", "last"}));
  });
  max_blocking(former);
}

// A limit that has passed starts no lookup.
TEST_F(Resolve, no_time_no_question) {
  std::stop_source source;
  source.request_stop();
  EXPECT_FALSE(net::resolve_for("host:80", 0s));
  EXPECT_FALSE(net::resolve("host:80", source.get_token()));
  EXPECT_TRUE(resolver().asked().empty());
  EXPECT_TRUE(net::resolve_for("127.0.0.1:80", 0s));  // it need not wait
  EXPECT_TRUE(net::resolve("[::1]:80", source.get_token()));
  EXPECT_EQ(error_of([] { (void)net::resolve_for("host", 0s); }), net::Errc::no_suitable_address);
}

// The services' names of UDP are not TCP's.
TEST_F(Resolve, asks_for_the_right_kind_of_service) {
  resolver().let_go();
  (void)net::resolve("a:53");
  (void)error_of([] { (void)net::TcpListener::bind("b:53"); });
  (void)error_of([] { (void)net::UdpSocket::bind("c:53"); });
  (void)error_of([] { (void)net::UdpSocket::connect("d:53"); });
  EXPECT_EQ(resolver().asked(), (std::vector<std::string>{"a", "b", "c", "d"}));
  EXPECT_EQ(resolver().kinds(),
            (std::vector<int>{SOCK_STREAM, SOCK_STREAM, SOCK_DGRAM, SOCK_DGRAM}));
}

TEST_F(Resolve, stress) {
  resolver().let_go();
  int const rounds = test::scaled(500);
  for (int procs : {1, 2, 4}) {
    test::Procs const width(procs);
    std::atomic<int> answered{0};
    WaitGroup group;
    for (int i = 0; i < 16; ++i) {
      group.go([&, i] {
        for (int k = 0; k < rounds; ++k) {
          std::string const name = "host" + std::to_string((k / 8 + i / 4) % 5) + ":80";
          if ((k + i) % 3 == 0) {
            (void)net::resolve_for(name, std::chrono::microseconds(k % 50));
          } else {
            answered += static_cast<int>(net::resolve(name).size());
          }
        }
      });
    }
    group.wait();
    EXPECT_GT(answered, 0);
  }
}

}  // namespace
}  // namespace hamgam
