// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// 2,000 goroutines each commit a transaction to a Redis server through a ResourcePool of eight
// connections. A transaction is five commands that travel as one: Redis is spoken to over a plain
// TcpConn, and whoever waits for an answer parks. The server may be killed and come back in
// between: what was reported as committed must be there, and nothing twice.
//
//   redis_pool [HOST:PORT]
#include <hamgam/hamgam.h>
#include <hamgam/net.h>

#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace std::chrono_literals;

constexpr int kGoroutines = 2000;
constexpr int kConnections = 8;
constexpr std::size_t kRead = 4096;

struct Reply {
  std::string text;  // also a number's
  std::vector<Reply> items;
};

// The server says no.
struct Refused : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A connection.
class Redis {
 public:
  explicit Redis(std::string_view address) : connection_(hamgam::net::TcpConn::dial(address)) {}

  // All commands in one write; their replies in the same order.
  std::vector<Reply> pipeline(const std::vector<std::vector<std::string>>& commands) {
    std::string out;
    for (const auto& command : commands) {
      out += "*" + std::to_string(command.size()) + "\r\n";
      for (const std::string& word : command) {
        out += "$" + std::to_string(word.size()) + "\r\n" + word + "\r\n";
      }
    }
    connection_.write_all(std::as_bytes(std::span(out)));
    std::vector<Reply> replies;
    std::string refusal;
    for (std::size_t i = 0; i < commands.size(); ++i) {
      try {
        replies.push_back(reply());
      } catch (const Refused& e) {  // the others' replies are still to be read
        refusal = refusal.empty() ? e.what() : refusal;
      }
    }
    if (!refusal.empty()) {
      throw Refused(refusal);
    }
    return replies;
  }

  std::string ask(const std::vector<std::string>& command) { return pipeline({command})[0].text; }

  // Fit to be used again?
  [[nodiscard]] bool idle() const { return connection_.idle() && at_ == buffer_.size(); }

 private:
  Reply reply() {
    std::string const head = line();
    std::string const rest = head.substr(1);
    switch (head[0]) {
      case '+':
      case ':':
        return {rest, {}};
      case '-':
        throw Refused(rest);
      case '$':
        return {number(rest) < 0 ? "" : bytes(static_cast<std::size_t>(number(rest))), {}};
      case '*': {
        Reply all;
        for (long i = 0; i < number(rest); ++i) {
          all.items.push_back(reply());
        }
        return all;
      }
      default:
        throw std::runtime_error("this is no Redis server");
    }
  }

  static long number(std::string_view text) {
    long value = 0;
    if (std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc()) {
      throw std::runtime_error("this is no Redis server");
    }
    return value;
  }

  std::string line() {
    std::size_t end = 0;
    while ((end = buffer_.find("\r\n", at_)) == std::string::npos || end == at_) {
      fill();
    }
    std::string found = buffer_.substr(at_, end - at_);
    at_ = end + 2;
    return found;
  }

  std::string bytes(std::size_t size) {
    while (buffer_.size() - at_ < size + 2) {
      fill();
    }
    std::string found = buffer_.substr(at_, size);
    at_ += size + 2;
    return found;
  }

  void fill() {
    buffer_.erase(0, at_);
    at_ = 0;
    std::size_t const had = buffer_.size();
    buffer_.resize(had + kRead);
    std::size_t const got =
        connection_.read_some(std::as_writable_bytes(std::span(buffer_)).subspan(had));
    buffer_.resize(had + got);
    if (got == 0) {
      throw std::runtime_error("the server hung up");
    }
  }

  hamgam::net::TcpConn connection_;
  std::string buffer_;
  std::size_t at_ = 0;  // where what has not been read begins
};

using Redises = hamgam::ResourcePool<Redis>;

// Once, whatever happens to the connection or the server.
void commit(Redises& pool, const std::string& id, hamgam::Atomic<int>& failures) {
  for (bool unsure = false;;) {
    Redises::Lease redis;
    try {
      redis = pool.acquire();
      if (unsure && redis->ask({"SISMEMBER", "done", id}) == "1") {
        return;
      }
      (void)redis->pipeline({{"MULTI"},
                             {"SADD", "done", id},
                             {"HINCRBY", "times", id, "1"},
                             {"INCR", "total"},
                             {"EXEC"}});
      return;
    } catch (const std::exception&) {
      unsure = true;  // the connection broke, perhaps after the commit
      redis.discard();
      failures.add(1);
      hamgam::sleep(10ms);
    }
  }
}

// Questions, which may be asked again until there is an answer.
std::vector<Reply> ask(Redises& pool, const std::vector<std::vector<std::string>>& questions) {
  for (;;) {
    Redises::Lease redis;
    try {
      redis = pool.acquire();
      return redis->pipeline(questions);
    } catch (const std::exception&) {
      redis.discard();
      hamgam::sleep(10ms);
    }
  }
}

int work(const std::string& address) {
  Redises pool([address] { return Redis(address); },
               {.max_open = kConnections, .max_idle = kConnections},
               [](Redis& redis) { return redis.idle(); });
  (void)pool.acquire()->ask({"FLUSHALL"});
  hamgam::Atomic<int> failures{0};
  hamgam::Atomic<int> committed{0};
  auto const begin = std::chrono::steady_clock::now();
  hamgam::WaitGroup group;
  for (int i = 0; i < kGoroutines; ++i) {
    group.go([&, i] {
      commit(pool, std::to_string(i), failures);
      if (committed.add(1) == kGoroutines / 2) {
        std::puts("half way");
        std::fflush(stdout);
      }
    });
  }
  group.wait();
  std::chrono::duration<double, std::milli> const took = std::chrono::steady_clock::now() - begin;

  auto const all = ask(pool, {{"SCARD", "done"}, {"GET", "total"}, {"HVALS", "times"}});
  int once = 0;
  for (const Reply& times : all[2].items) {
    once += times.text == "1" ? 1 : 0;
  }
  auto const stats = pool.stats();
  std::printf("%d committed, %s there, %s counted, %d of them once\n", committed.load(),
              all[0].text.c_str(), all[1].text.c_str(), once);
  std::printf("(%.0f ms, %d failures, %zu connections, %zu in use)\n", took.count(),
              failures.load(), stats.open, stats.in_use);
  return once == kGoroutines && stats.open <= kConnections && stats.in_use == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  std::string const address = argc > 1 ? argv[1] : "127.0.0.1:6379";
  return hamgam::run([&] { return work(address); });
}
