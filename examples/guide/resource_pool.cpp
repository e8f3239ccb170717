// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// Connections to a database: dear to open, and the server allows three of them.
#include <hamgam/hamgam.h>

#include <chrono>
#include <iostream>
#include <system_error>

namespace {

using namespace std::chrono_literals;

hamgam::Atomic<int> opened;
hamgam::Atomic<int> open_now;
hamgam::Atomic<bool> too_many;

// Stands for a connection of any kind.
class Connection {
 public:
  Connection() {
    opened.add(1);
    open_now.add(1);
    if (open_now.load() > 3) {
      too_many.store(true);
    }
  }
  Connection(Connection&& other) noexcept : alive_(other.alive_) { open_now.add(1); }
  Connection& operator=(Connection&&) = delete;
  ~Connection() { open_now.add(-1); }

  int query(int n) {
    hamgam::sleep(100us);
    return n * n;
  }
  bool alive() const { return alive_; }
  void hang_up() { alive_ = false; }

 private:
  bool alive_ = true;
};

}  // namespace

int main() {
  return hamgam::run([] {
    hamgam::WaitGroup group;

    // [naive]
    for (int i = 0; i < 50; ++i) {
      group.go([i] { (void)Connection().query(i); });
    }
    group.wait();
    // [/naive]
    std::cout << "one for each query: " << opened.swap(0) << " opened\n";
    too_many.store(false);

    // [ours]
    hamgam::ResourcePool<Connection> pool([] { return Connection(); },
                                          {.max_open = 3, .max_idle = 3},
                                          [](Connection& c) { return c.alive(); });
    hamgam::Atomic<int> sum;
    for (int i = 0; i < 50; ++i) {
      group.go([&, i] { sum.add(pool.acquire()->query(i)); });
    }
    group.wait();
    // [/ours]
    std::cout << "from the pool: " << (opened.load() <= 3 ? "3 at most" : "more than 3") << ", sum "
              << sum.load() << ", too many at once: " << (too_many.load() ? "yes" : "no") << '\n';

    // [broken]
    {
      auto connection = pool.acquire();
      connection.discard();  // it broke while we used it: the next one gets another
    }
    {
      auto connection = pool.acquire();
      connection->hang_up();  // it will break while it lies in the pool
    }
    std::cout << "the next one is alive: " << (pool.acquire()->alive() ? "yes" : "no") << '\n';
    // [/broken]

    // [timeout]
    auto one = pool.acquire();
    auto two = pool.acquire();
    auto three = pool.acquire();
    const bool got_one = pool.acquire_for(1ms).has_value();
    std::cout << "a fourth within 1 ms: " << (got_one ? "yes" : "no") << '\n';
    // [/timeout]
  });
}
