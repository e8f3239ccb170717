// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "wait/wait_profile.h"

#include <pthread.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <string_view>
#include <utility>

#include "base/debug_words.h"
#include "fiber/unwind.h"
#include "os/spin_lock.h"
#include "sched/histogram.h"
#include "sched/latency.h"
#include "sched/park.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constexpr Nanos kShortestPeriod = 10'000;
constexpr Nanos kLongestPeriod = 3'600'000 * kMillisecond;
constexpr Nanos kWindow = 100 * kMillisecond;
constexpr std::uint32_t kMost = 50;
constexpr std::size_t kFrames = WaitSample::kFrames;

// Uniform in [0, bound).
Nanos draw(Nanos bound) noexcept {
  static constinit atomic<std::uint64_t> draws{0};
  // relaxed: only differs (Steele and others, "Fast splittable pseudorandom number generators")
  std::uint64_t x = draws.fetch_add(0x9E3779B97F4A7C15U, kRelaxed);
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9U;
  x = (x ^ x >> 27) * 0x94D049BB133111EBU;
  return static_cast<Nanos>((x ^ x >> 31) % static_cast<std::uint64_t>(bound));
}

// Thread safety: period() from anywhere, take() under the table's lock.
class Sampler {
 public:
  [[nodiscard]] Nanos period(Nanos time) const noexcept {
    // relaxed throughout: any period is right, if it is the same in the draw and in what it counts
    Nanos const windows = (time - since_.load(kRelaxed)) / kWindow;
    return std::max(kShortestPeriod, period_.load(kRelaxed) >> std::clamp<Nanos>(windows, 0, 62));
  }

  void take(Nanos time) noexcept {
    // relaxed throughout: under the table's lock
    Nanos const now = period(time);
    if (time - since_.load(kRelaxed) >= kWindow) {
      begin(now, time);
    }
    if (++taken_ == kMost) {
      begin(std::min(2 * now, kLongestPeriod), time);
    }
  }

 private:
  void begin(Nanos period, Nanos time) noexcept {
    period_.store(period, kRelaxed);  // relaxed: as in period()
    since_.store(time, kRelaxed);     // relaxed: as in period()
    taken_ = 0;
  }

  atomic<Nanos> period_{kShortestPeriod};
  atomic<Nanos> since_{0};
  std::uint32_t taken_ = 0;
};

// Stacks, by hash; nothing is ever taken out. All but the sums of one is written once, before
// `used` counts it.
class Table {
 public:
  static constexpr std::size_t kStacks = 2048;

  // False: there is no memory. By who has the lock for starting.
  bool prepare() noexcept {
    if (all_.load(kRelaxed) == nullptr) {  // relaxed: under that lock
      // [profile.3] release, pairs with [profile.4]: that they are empty
      all_.store(static_cast<Entry*>(std::calloc(kStacks, sizeof(Entry))), kRelease);
    }
    return all_.load(kRelaxed) != nullptr;  // relaxed: under that lock
  }

  // In the child of a fork: another thread may have had the lock.
  void forget() noexcept {
    ::new (this) Table;  // the memory is lost
  }

  HAMGAM_NOINLINE void note(const char* reason, Nanos delay, Nanos time) noexcept {
    Nanos const period = sampler_.period(time);
    if (delay < period && draw(period) >= delay) {
      return;
    }
    const void* frames[kFrames];
    std::size_t const depth = unwind_here(frames, kFrames);
    std::size_t const size = std::min(depth, kFrames);
    std::lock_guard const guard(lock_);
    sampler_.take(time);
    Entry& entry = find(reason, frames, size);
    entry.cut = entry.cut || depth > kFrames;
    entry.count += delay < period ? static_cast<double>(period) / static_cast<double>(delay) : 1;
    entry.delay += static_cast<double>(std::max(delay, period));
  }

  std::vector<WaitSample> copy() {
    std::vector<WaitSample> samples;
    samples.reserve(kStacks);
    // [profile.4] acquire, pairs with [profile.3]
    const Entry* const all = all_.load(kAcquire);
    for (std::size_t i = 0; all != nullptr && i < kStacks; ++i) {
      Entry entry{};
      {
        std::lock_guard const guard(lock_);
        entry = all[i];
      }
      if (entry.used) {
        samples.push_back({entry.reason,
                           std::vector<const void*>(entry.frames, entry.frames + entry.size),
                           entry.cut, entry.count, entry.delay});
      }
    }
    return samples;
  }

 private:
  struct Entry {
    std::uint64_t hash;
    const char* reason;
    std::size_t size;
    bool used;
    bool cut;
    double count;
    double delay;
    const void* frames[kFrames];
  };

  // If there is no place any more: the last one, without frames.
  Entry& find(const char* reason, const void* const* frames, std::size_t size) noexcept {
    std::uint64_t hash = reinterpret_cast<std::uintptr_t>(reason);
    for (std::size_t i = 0; i < size; ++i) {
      hash = (hash ^ reinterpret_cast<std::uintptr_t>(frames[i])) * 0x9E3779B97F4A7C15U;
      hash ^= hash >> 29;
    }
    constexpr std::size_t kProbes = 32;
    Entry* const all = all_.load(kRelaxed);  // relaxed: [profile.2]
    for (std::size_t i = 0; i < kProbes; ++i) {
      Entry& entry = all[(hash + i) % (kStacks - 1)];
      if (!entry.used) {
        entry = {hash, reason, size, true, false, 0, 0, {}};
        std::copy(frames, frames + size, entry.frames);
        return entry;
      }
      if (entry.hash == hash && entry.reason == reason && entry.size == size &&
          std::equal(frames, frames + size, entry.frames)) {
        return entry;
      }
    }
    Entry& rest = all[kStacks - 1];
    rest.used = true;
    rest.cut = true;
    return rest;
  }

  SpinLock lock_;
  Sampler sampler_;
  atomic<Entry*> all_{nullptr};
};

constinit Table g_block;
constinit Table g_mutex;

// Waits that are nobody's delay: Go leaves them out, too.
bool is_idle(std::string_view reason) noexcept {
  return reason == "sleep" || reason == "IO wait" || reason == "ResourcePool caretaker";
}

bool is_for_lock(std::string_view reason) noexcept {
  return reason.starts_with("sync.Mutex.") || reason.starts_with("sync.RWMutex.");
}

// In the child of a fork.
void forget_waits() noexcept {
  count_latency(false);
  g_scheduler_latency.clear();
  g_lock_waits.clear();
  waits_profiled.store(0, kRelaxed);  // relaxed: there is one thread
  g_block.forget();
  g_mutex.forget();
}

}  // namespace

constinit atomic<std::uint32_t> waits_profiled{0};

namespace {

bool begin_if_asked() noexcept {
  try {
    if (debug_asks_for("waits")) {
      profile_waits(true);
    }
  } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): then there is no profile
  }
  return true;
}
[[maybe_unused]] const bool kBegun = begin_if_asked();

}  // namespace

void profile_waits(bool on) {
  static constinit SpinLock lock;
  static constinit bool forks = false;
  std::lock_guard const guard(lock);
  if (on && (!g_block.prepare() || !g_mutex.prepare())) {
    throw std::bad_alloc();
  }
  if (!std::exchange(forks, true)) {
    (void)pthread_atfork(nullptr, nullptr, &forget_waits);
  }
  count_latency(on);
  waits_profiled.store(on ? 1 : 0, kRelease);  // [profile.1] release, pairs with [profile.2]
}

std::vector<WaitSample> wait_samples(WaitProfile profile) {
  TsanIgnore const ignore;  // what is under our own lock
  return (profile == WaitProfile::kBlock ? g_block : g_mutex).copy();
}

void ProfiledWait::end() const noexcept {
  Nanos const time = now();
  // [profile.2] acquire, pairs with [profile.1]: the table is there
  if (waits_profiled.load(kAcquire) == 0 || is_idle(reason_) || time <= start_) {
    return;
  }
  TsanIgnore const ignore;
  if (is_for_lock(reason_)) {
    g_lock_waits.note(time - start_, worker_index());
  }
  g_block.note(reason_, time - start_, time);
}

void note_delay(Nanos delay) noexcept {
  // [profile.2] acquire, pairs with [profile.1]: the table is there
  if (waits_profiled.load(kAcquire) == 0 || delay <= 0) {
    return;
  }
  TsanIgnore const ignore;
  g_mutex.note(nullptr, delay, now());
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
