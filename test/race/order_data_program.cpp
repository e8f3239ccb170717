// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include "race/program.h"

#include <hamgam/file.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

namespace {

using namespace hamgam;
using namespace hamgam::test;
using namespace std::chrono_literals;

void order_by_guarded_map() {
  Guarded<std::map<std::string, int>> words;
  run([&] {
    WaitGroup group;
    for (int i = 0; i < 50; ++i) {
      group.go(GoOptions{"worker " + std::to_string(i)},
               [&, i] { words.with([&](auto& map) { ++map[std::to_string(i % 7)]; }); });
    }
    group.wait();
  });
}

void order_by_atomic_value() {
  AtomicValue<std::vector<int>> value(std::vector<int>{1});
  run([&] {
    WaitGroup group;
    for (int i = 0; i < 4; ++i) {
      group.go([&, i] {
        for (int k = 0; k < 100; ++k) {
          value.store(std::vector<int>(static_cast<std::size_t>(k % 5 + 1), i));
          shared_number == static_cast<int>(value.load()->size()) ? yield() : void();
        }
      });
    }
    group.wait();
  });
}

void order_by_once() {
  run([] {
    for (int i = 0; i < 50; ++i) {
      Once once;
      auto value = once_value([] { return std::string(40, 'x'); });
      WaitGroup group;
      for (int k = 0; k < 4; ++k) {
        group.go([&, value]() mutable {
          once.call(touch);
          static_cast<void>(shared_number + static_cast<int>(value().size()));
        });
      }
      group.go([&] {
        while (!once.done()) {
          yield();
        }
        static_cast<void>(shared_number + 1);
      });
      group.wait();
    }
  });
}

void order_by_pool() {
  Pool<std::vector<int>> pool;
  run([&] {
    WaitGroup group;
    for (int k = 0; k < 8; ++k) {
      group.go([&] {
        for (int i = 0; i < 200; ++i) {
          auto numbers = pool.get();
          numbers->push_back(i);
          if (numbers->size() > 20) {
            numbers->clear();
            numbers->shrink_to_fit();
          }
          i % 10 == 0 ? yield() : void();
        }
      });
    }
    group.go([&] {
      for (int i = 0; i < 20; ++i) {
        pool.trim();
        yield();
      }
    });
    group.wait();
  });
}

void order_by_map() {
  Map<std::string, std::shared_ptr<int>> map;
  Map<int, std::string> texts;
  run([&] {
    WaitGroup group;
    for (int k = 0; k < 4; ++k) {
      group.go([&, k] {
        for (int i = 0; i < 200; ++i) {
          map.store("key " + std::to_string(k), std::make_shared<int>(i));
          texts.store(i % 40, std::string(30, static_cast<char>('a' + k)));
          if (auto const found = map.load("key " + std::to_string((k + 1) % 4))) {
            static_cast<void>(**found + 1);
          }
          (void)texts.load((i * 7) % 40);
          i % 5 == 0 ? (void)texts.erase((i * 3) % 40) : (void)texts.swap(i % 40, "swapped");
          i % 16 == 0 ? yield() : void();
          if (i % 50 == 0) {
            texts.for_each([](int, const std::string& text) { static_cast<void>(text.size()); });
          }
          if (i % 90 == 0) {
            texts.clear();
          }
        }
      });
    }
    group.wait();
  });
}

// One reads without a copy, then one removes, then one drops the last copy.
void order_by_map_walk() {
  Map<int, std::shared_ptr<int>> map;
  map.store(1, std::make_shared<int>(1));
  Turns turns;
  run([&] {
    WaitGroup group;
    group.go([&, last = map.load(1)]() mutable {
      turns.await(2);
      last.reset();
    });
    group.go([&] {
      map.for_each([](int, const std::shared_ptr<int>& value) { shared_number = *value; });
      turns.next();
    });
    group.go([&] {
      turns.await(1);
      map.erase(1);
      turns.next();
    });
    group.wait();
  });
}

// Who finds a key gone comes after who removed it.
void order_by_map_miss() {
  using Texts = Map<int, std::string>;
  std::vector<std::function<void(Texts&)>> const removals = {
      [](Texts& map) { map.erase(1); },
      [](Texts& map) { (void)map.load_and_erase(1); },
      [](Texts& map) { (void)map.compare_and_erase(1, "one"); },
      [](Texts& map) { map.clear(); },
  };
  std::vector<std::function<bool(Texts&)>> const looks = {
      [](Texts& map) { return !map.load(1); },
      [](Texts& map) { return !map.load_or_store(1, "again").second; },
      [](Texts& map) { return !map.swap(1, "again"); },
      [](Texts& map) { return !map.erase(1); },
      [](Texts& map) { return !map.load_and_erase(1); },
      [](Texts& map) { return !map.compare_and_swap(1, "one", "two"); },
      [](Texts& map) {
        bool there = false;
        map.for_each([&there](int, const std::string&) { there = true; });
        return !there;
      },
  };
  run([&] {
    for (auto const& remove : removals) {
      for (auto const& gone : looks) {
        Texts map;
        map.store(1, "one");
        Turns turns;
        WaitGroup group;
        group.go([&] {
          touch();
          remove(map);
          turns.next();
        });
        group.go([&] {
          turns.await(1);
          if (gone(map)) {
            touch();
          }
        });
        group.wait();
      }
    }
  });
}

// The last of two to have what was read destroys it.
void order_by_reading() {
  run([] {
    auto const path =
        std::filesystem::temp_directory_path() / ("hamgam_order_" + std::to_string(getpid()));
    file::write_all(path, "text");
    for (int i = 0; i < 500; ++i) {
      if (file::read_all_for(path, 1min) == "text") {
        touch();
      }
    }
    std::filesystem::remove(path);
  });
}

// One after another.
void order_by_limit() {
  run([] {
    for (bool const wait : {true, false}) {
      ErrGroup group;
      group.set_limit(1);
      for (int i = 0; i < 20; ++i) {
        if (wait) {
          group.go(touch);
        } else {
          while (!group.try_go(touch)) {
            yield();
          }
        }
      }
      group.wait();
    }
  });
}

void order_by_flight() {
  SingleFlight<int, std::string> flights;
  run([&] {
    for (int round = 0; round < 20; ++round) {
      WaitGroup group;
      for (int i = 0; i < 4; ++i) {
        group.go([&] {
          try {
            (void)flights.call(round, [&]() -> std::string {
              touch();
              yield();
              if (round % 2 == 0) {
                throw std::runtime_error("no");
              }
              return "yes";
            });
          } catch (const std::runtime_error&) {
          }
        });
        i == 2 ? group.wait() : void();
      }
      group.wait();
    }
  });
}

// Each resource is one goroutine's at a time.
void order_by_resource_pool() {
  run([] {
    ResourcePool<std::string> pool([] { return std::string("new"); }, {.max_open = 2});
    WaitGroup group;
    for (int k = 0; k < 6; ++k) {
      group.go([&] {
        for (int i = 0; i < 30; ++i) {
          auto resource = pool.acquire();
          *resource += '.';
          yield();
        }
      });
    }
    group.wait();
  });
}

// Stacks, records and closures are used again by goroutines that nothing orders.
void order_by_nothing_shared() {
  run([] {
    WaitGroup group;
    for (int i = 0; i < 5000; ++i) {
      group.go(
          [](std::vector<int> mine, std::string text) {
            for (int& n : mine) {
              n += static_cast<int>(text.size());
            }
            if (mine.size() % 3 == 0) {
              yield();
            }
            try {
              throw std::runtime_error(text);
            } catch (const std::exception&) {
              yield();
            }
          },
          std::vector<int>(static_cast<std::size_t>(i % 100), i), std::string(40, 'x'));
      if (i % 500 == 0) {
        group.wait();
      }
    }
    group.wait();
  });
}

void order_by_semaphore() {
  Semaphore one(1);
  run([&] {
    WaitGroup group;
    for (int k = 0; k < 4; ++k) {
      group.go([&] {
        for (int i = 0; i < 50; ++i) {
          one.acquire();
          touch();
          yield();
          one.release();
        }
      });
    }
    group.wait();
  });
}

// Whoever gives back what he has not is refused, and the semaphore is as before.
void order_beside_refused_releases() {
  Semaphore one(1);
  run([&] {
    WaitGroup group;
    for (int k = 0; k < 3; ++k) {
      group.go([&] {
        for (int i = 0; i < 10'000; ++i) {
          SemaphoreGuard const guard(one);
          touch();
        }
      });
    }
    for (int const count : {2, -1}) {
      group.go([&one, count] {
        for (int i = 0; i < 10'000; ++i) {
          try {
            one.release(count);
          } catch (const Panic&) {  // as it should
          }
        }
      });
    }
    group.wait();
  });
}

// Readers take a unit each, a writer takes all.
void order_by_all_units_of_a_semaphore() {
  static constexpr int kUnits = 70;
  Semaphore units(kUnits);
  run([&] {
    WaitGroup group;
    for (int k = 0; k < 8; ++k) {
      group.go([&] {
        for (int i = 0; i < 100; ++i) {
          if (i % 10 == 0) {
            SemaphoreGuard const all(units, kUnits);
            touch();
          } else if (units.try_acquire_for(1h)) {
            SemaphoreGuard const one(units, std::adopt_lock);
            volatile int const seen = shared_number;
            static_cast<void>(seen);
            yield();
          }
        }
      });
    }
    group.wait();
  });
}

// The name is too long to be asked of anybody, and to stand in a string itself.
void order_by_lookup() {
  run([] {
    WaitGroup group;
    for (int i = 0; i < 4; ++i) {
      group.go([] {
        try {
          (void)net::resolve(std::string(70, 'a') + ":80");
          std::abort();
        } catch (const net::Error&) {
          yield();
        }
      });
    }
    group.wait();
  });
}

// Who is given the number closes it after every call that was on it.
void order_by_release() {
  run([] {
    WaitGroup group;
    for (int i = 0; i < 20; ++i) {
      auto [mine, peer] = net::pipe();
      group.go([mine = mine] {
        std::array<std::byte, 1> byte{};
        std::error_code error;
        (void)mine.read_some(byte, error);
        (void)mine.write_some(byte, error);
      });
      peer.write_all(std::array{std::byte{1}});
      sleep(1ms);  // most often it has read by then
      int fd = -1;
      while ((fd = mine.release()) < 0) {
        yield();
      }
      ::close(fd);
    }
    group.wait();
  });
}

}  // namespace

int main(int argc, char** argv) {
  return run_program(
      {
          {"order_by_guarded_map", order_by_guarded_map},
          {"order_by_atomic_value", order_by_atomic_value},
          {"order_by_nothing_shared", order_by_nothing_shared},
          {"order_by_once", order_by_once},
          {"order_by_pool", order_by_pool},
          {"order_by_map", order_by_map},
          {"order_by_map_walk", order_by_map_walk},
          {"order_by_map_miss", order_by_map_miss},
          {"order_by_limit", order_by_limit},
          {"order_by_reading", order_by_reading},
          {"order_by_flight", order_by_flight},
          {"order_by_lookup", order_by_lookup},
          {"order_by_release", order_by_release},
          {"order_by_resource_pool", order_by_resource_pool},
          {"order_by_semaphore", order_by_semaphore},
          {"order_by_all_units_of_a_semaphore", order_by_all_units_of_a_semaphore},
          {"order_beside_refused_releases", order_beside_refused_releases},
      },
      argc, argv);
}
