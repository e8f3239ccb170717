// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// A table of routes that many look up and few change.
#include <hamgam/hamgam.h>

#include <algorithm>
#include <iostream>
#include <map>
#include <optional>
#include <string>

namespace {

// [ours]
class Routes {
 public:
  std::string find(const std::string& city) const {
    const auto table = table_.lock_shared();  // others may read, too
    const auto found = table->find(city);
    return found == table->end() ? "no road" : found->second;
  }
  void add(const std::string& city, const std::string& road) {
    table_.with([&](auto& table) { table[city] = road; });  // alone
  }

 private:
  hamgam::Guarded<std::map<std::string, std::string>, hamgam::RWMutex> table_;
};
// [/ours]

// How many of three readers are inside at once, at most.
template <class Lock, class Unlock>
int most_inside(Lock lock, Unlock unlock) {
  hamgam::Atomic<int> inside;
  hamgam::Guarded<int> most{0};
  hamgam::WaitGroup group;
  for (int i = 0; i < 3; ++i) {
    group.go([&] {
      lock();
      const int now = inside.add(1);
      most.with([now](int& m) { m = std::max(m, now); });
      hamgam::sleep(std::chrono::milliseconds(1));  // a long look
      inside.add(-1);
      unlock();
    });
  }
  group.wait();
  return *most.lock();
}

}  // namespace

int main() {
  return hamgam::run([] {
    Routes routes;
    routes.add("Yazd", "road 71");
    std::cout << "Yazd: " << routes.find("Yazd") << ", Atlantis: " << routes.find("Atlantis")
              << '\n';

    // [naive]
    hamgam::Mutex mutex;
    std::cout << "Mutex: readers inside at once: "
              << most_inside([&] { mutex.lock(); }, [&] { mutex.unlock(); }) << '\n';
    // [/naive]

    hamgam::RWMutex shared;
    hamgam::Barrier meeting(3);  // only readers that are inside together can meet
    (void)most_inside(
        [&] {
          shared.lock_shared();
          meeting.arrive_and_wait();
        },
        [&] { shared.unlock_shared(); });
    std::cout << "RWMutex: three readers have met inside\n";

    // [downgrade]
    shared.lock();
    // ... write, then let readers in without letting another writer in between:
    shared.downgrade();
    const bool reader_comes_in = shared.try_lock_shared();
    const bool writer_comes_in = shared.try_lock();
    // [/downgrade]
    std::cout << "after downgrade: reader " << (reader_comes_in ? "in" : "out") << ", writer "
              << (writer_comes_in ? "in" : "out") << '\n';
    shared.unlock_shared();
    shared.unlock_shared();

    // [map]
    hamgam::Map<std::string, int> visitors;  // each entry for itself
    visitors.store("Yazd", 3);
    const auto [count, was_there] = visitors.load_or_store("Shiraz", 5);
    const std::optional<int> yazd = visitors.load("Yazd");  // a copy, without a lock
    std::cout << "Map: Shiraz " << count << (was_there ? " (known)" : " (new)") << ", Yazd "
              << yazd.value_or(0) << ", " << visitors.size() << " keys\n";
    // [/map]
  });
}
