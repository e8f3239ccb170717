// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// How long those wait who share one thing, and whether each gets his part: many tasks for some
// time, and of each single operation the time that it waited. rivals/go/fairness is the same line
// by line.
//
//   fairness --list                      {"name": "Mutex"}
//   fairness NAME WORKERS TASKS SECONDS  {"p50": ns, "p99": ns, "p99.9": ns, "fairness": 1.2,
//                                         "rate": operations per second}
//
// Fairness is the number of operations of the task that had most, divided by that of who had least.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "case.h"

namespace bench {

inline std::int64_t now() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

// How often which time was seen, to 3 %.
class Histogram {
 public:
  void add(std::int64_t nanos) { ++counts_[index(static_cast<std::uint64_t>(nanos))]; }

  Histogram& operator+=(const Histogram& other) {
    for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
    return *this;
  }

  double quantile(double part) const {
    std::int64_t all = 0;
    for (const std::int64_t count : counts_) all += count;
    auto left = static_cast<std::int64_t>(static_cast<double>(all) * part);
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      left -= counts_[i];
      if (left < 0) return lower_end(i);
    }
    return 0;
  }

 private:
  static constexpr std::uint64_t kParts = 32;  // of each power of two

  static std::size_t index(std::uint64_t nanos) {
    if (nanos < kParts) return nanos;
    const int shift = std::bit_width(nanos) - std::bit_width(kParts);
    return static_cast<std::size_t>(shift) * kParts + (nanos >> shift);
  }
  static double lower_end(std::size_t i) {
    if (i < 2 * kParts) return static_cast<double>(i);
    const std::size_t shift = i / kParts - 1;
    return static_cast<double>((i - shift * kParts) << shift);
  }

  std::array<std::int64_t, 60 * kParts> counts_{};
};

struct alignas(128) Task {
  Histogram waits;
  std::int64_t operations = 0;
};

// What a library gives: Mutex, RWMutex, Semaphore, perhaps Chan; in_tasks(workers, tasks, f) calls
// f(i) in each; yield().
template <class Library>
class Fairness {
 public:
  Fairness(int workers, int tasks, double seconds)
      : workers_(workers), tasks_(static_cast<std::size_t>(tasks)), nanos_(seconds * 1e9) {}

  bool run(std::string_view name) {
    if (name == "Mutex") {
      typename Library::Mutex mutex;
      share([&](int) { mutex.lock(); }, [&](int) { mutex.unlock(); });
    } else if (name == "RWMutex") {  // every tenth writes
      typename Library::RWMutex mutex;
      share([&](int turn) { turn % 10 == 0 ? mutex.lock() : mutex.lock_shared(); },
            [&](int turn) { turn % 10 == 0 ? mutex.unlock() : mutex.unlock_shared(); });
    } else if (name == "Semaphore") {  // one for each worker
      typename Library::Semaphore semaphore(workers_);
      share([&](int) { semaphore.acquire(); }, [&](int) { semaphore.release(); });
    } else if (name == "Chan") {
      return channel();
    } else {
      return false;
    }
    report();
    return true;
  }

 private:
  // As long with it as without; and now and then it is held for a turn of others, who come to wait.
  template <class Enter, class Leave>
  void share(const Enter& enter, const Leave& leave) {
    in_tasks([&](Task& task, int i) {
      std::uint64_t x = 1;
      for (int turn = i; now() < end_; ++turn) {
        const std::int64_t start = now();
        enter(turn);
        task.waits.add(now() - start);
        x = local_work(x);
        if (turn % 16 == 0) Library::yield();
        leave(turn);
        x = local_work(x);
        ++task.operations;
      }
      keep(x);
    });
  }

  // Half of the tasks send, half receive; no buffer. The last one that sends closes.
  bool channel() {
    if constexpr (requires { typename Library::Chan; }) {
      typename Library::Chan chan;
      std::atomic<int> senders{(static_cast<int>(tasks_.size()) + 1) / 2};
      in_tasks([&](Task& task, int i) {
        std::uint64_t x = 1;
        for (bool open = true; open;) {
          const std::int64_t start = now();
          if (i % 2 != 0) {
            open = chan.recv();
          } else if (start < end_) {
            chan.send();
          } else {
            open = false;
          }
          if (open) {
            task.waits.add(now() - start);
            ++task.operations;
          }
          x = local_work(x);
        }
        if (i % 2 == 0 && senders.fetch_sub(1) == 1) chan.close();
        keep(x);
      });
      report();
      return true;
    }
    return false;
  }

  template <class F>
  void in_tasks(const F& f) {
    end_ = now() + static_cast<std::int64_t>(nanos_);
    Library::in_tasks(workers_, static_cast<int>(tasks_.size()),
                      [&](int i) { f(tasks_[static_cast<std::size_t>(i)], i); });
  }

  void report() {
    Histogram all;
    std::int64_t most = 0;
    std::int64_t least = INT64_MAX;
    std::int64_t sum = 0;
    for (const Task& task : tasks_) {
      all += task.waits;
      most = std::max(most, task.operations);
      least = std::min(least, task.operations);
      sum += task.operations;
    }
    std::printf(R"({"p50": %.0f, "p99": %.0f, "p99.9": %.0f, "fairness": %.3g, "rate": %.4g})"
                "\n",
                all.quantile(0.5), all.quantile(0.99), all.quantile(0.999),
                static_cast<double>(most) / static_cast<double>(std::max<std::int64_t>(least, 1)),
                static_cast<double>(sum) / nanos_ * 1e9);
  }

  int workers_;
  std::vector<Task> tasks_;
  double nanos_;
  std::int64_t end_ = 0;
};

template <class Library>
int fairness_main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--list") {
    for (const char* name : {"Mutex", "RWMutex", "Semaphore"})
      std::printf("{\"name\": \"%s\"}\n", name);
    if (requires { typename Library::Chan; }) std::puts("{\"name\": \"Chan\"}");
    return 0;
  }
  if (argc == 5 &&
      Fairness<Library>(std::atoi(argv[2]), std::atoi(argv[3]), std::atof(argv[4])).run(argv[1])) {
    return 0;
  }
  std::fprintf(stderr, "usage: %s --list | NAME WORKERS TASKS SECONDS\n", argv[0]);
  return 2;
}

}  // namespace bench
