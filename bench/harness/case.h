// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// What every benchmark program here is made of, ours and the rivals': cases that register
// themselves under the names that all languages share.
//
//   const bench::Case lock_alone("Mutex/uncontended", {1}, [](int workers, std::int64_t n) {
//     ... do the operation n times, using `workers` threads or workers ...
//   });
//
// A case is given the number of operations and the harness takes the wall time of the whole
// call, as Go's testing.B does with b.N. So the measured loop may run anywhere: on this thread,
// on others, in goroutines; and what starts them is paid once per call, not per operation.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string_view>

namespace bench {

// An operation, done n times by `workers` workers.
using Op = void (*)(int workers, std::int64_t n);
// A figure that is measured once per process, such as resident memory.
using Measure = double (*)(int workers);

// Says of a case that it takes too long or too much for a run of everything: only with --big.
struct Big {};
inline constexpr Big kBig;

// The programs that time operations have an Op in every case, those that measure a whole process
// a Measure.
class Case {
 public:
  using Workers = std::initializer_list<int>;  // the numbers of workers to try

  Case(const char* name, Workers workers, Op op) : Case(name, "ns", workers, op) {}
  Case(const char* name, Big, Workers workers, Op op) : Case(name, "ns", workers, op) {
    big_ = true;
  }
  Case(const char* name, const char* unit, Workers workers, Op op)
      : name_(name), unit_(unit), op_(op) {
    enlist(workers);
  }
  Case(const char* name, const char* unit, Workers workers, Measure measure)
      : name_(name), unit_(unit), measure_(measure) {
    enlist(workers);
  }
  Case(const char* name, const char* unit, Workers workers, Big, Measure measure)
      : Case(name, unit, workers, measure) {
    big_ = true;
  }
  Case(const Case&) = delete;
  Case& operator=(const Case&) = delete;

  const char* name() const { return name_; }
  const char* unit() const { return unit_; }
  Op op() const { return op_; }
  Measure measure() const { return measure_; }
  bool big() const { return big_; }
  const int* begin() const { return workers_.data(); }
  const int* end() const { return workers_.data() + count_; }
  const Case* next() const { return next_; }

  static const Case* first() { return head(); }

 private:
  static const Case*& head() {
    static const Case* first = nullptr;
    return first;
  }
  void enlist(Workers workers) {
    count_ = std::min(workers.size(), workers_.size());
    std::copy_n(workers.begin(), count_, workers_.begin());
    next_ = head();
    head() = this;
  }

  const char* name_;
  const char* unit_;
  Op op_ = nullptr;
  Measure measure_ = nullptr;
  bool big_ = false;
  std::array<int, 4> workers_{};
  std::size_t count_ = 0;
  const Case* next_ = nullptr;
};

// Whose figures a program prints; each program defines it once.
struct Library {
  const char* name;
  const char* version;
};
Library library();

// n operations shared out in grains among whoever takes part, so that all are busy to the end
// (Go's b.RunParallel does the same). The grain is small against n and large against its price.
class Share {
 public:
  explicit Share(std::int64_t n) : left_(n), grain_(std::clamp<std::int64_t>(n / 512, 1, 2048)) {}

  // How many operations to do now; 0: no more.
  std::int64_t take() {
    if (left_.load(std::memory_order_relaxed) <= 0) return 0;
    const std::int64_t before = left_.fetch_sub(grain_, std::memory_order_relaxed);
    return std::clamp<std::int64_t>(before, 0, grain_);
  }

 private:
  alignas(128) std::atomic<std::int64_t> left_;
  alignas(128) const std::int64_t grain_;
};

// Keeps the compiler from knowing a value, without touching memory.
template <class T>
inline void keep(T& value) {
  asm volatile("" : "+r"(value));
}

// The work outside a lock: 100 dependent steps of one cycle, the same in every language.
inline std::uint64_t local_work(std::uint64_t x) {
  for (int i = 0; i < 100; ++i) {
    x = (x << 1) | (x >> 63);
    keep(x);
  }
  return x;
}

}  // namespace bench
