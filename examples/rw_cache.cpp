// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// A cache that many read and one refreshes. The readers do not hinder each other; a refresh is seen
// by all of them or by none.
#include <hamgam/hamgam.h>

#include <atomic>
#include <iostream>
#include <map>
#include <string>

namespace {

constexpr int kReaders = 8;
constexpr int kReads = 20'000;
constexpr int kRefreshes = 20;

struct Prices {
  int version = 0;
  std::map<std::string, int> of;
};

// [refresh]
class PriceCache {
 public:
  // By many at once.
  int total() const {
    const auto prices = prices_.lock_shared();
    int sum = 0;
    for (const auto& [name, price] : prices->of) sum += price;
    return sum;
  }

  // Every price is the version, so a total is three times one number, or torn.
  void refresh() {
    prices_.with([](Prices& prices) {
      ++prices.version;
      for (const char* name : {"bread", "dates", "tea"}) prices.of[name] = prices.version;
    });
  }

 private:
  hamgam::Guarded<Prices, hamgam::RWMutex> prices_;
};
// [/refresh]

}  // namespace

int main() {
  return hamgam::run([] {
    PriceCache cache;
    cache.refresh();
    std::atomic<int> torn = 0;
    std::atomic<int> backwards = 0;

    hamgam::WaitGroup group;
    for (int i = 0; i < kReaders; ++i) {
      group.go([&] {
        int last = 0;
        for (int read = 0; read < kReads; ++read) {
          const int total = cache.total();
          if (total % 3 != 0) ++torn;
          if (total < last) ++backwards;
          last = total;
        }
      });
    }
    group.go([&] {
      for (int refresh = 1; refresh < kRefreshes; ++refresh) {
        hamgam::sleep(std::chrono::microseconds(100));
        cache.refresh();
      }
    });
    group.wait();

    std::cout << kReaders * kReads << " reads, " << kRefreshes << " refreshes: " << torn
              << " torn, " << backwards << " backwards, total now " << cache.total() << '\n';
  });
}
