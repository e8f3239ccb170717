// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "sched/trace.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <utility>

#include "hamgam/detail/light_barrier.h"
#include "os/membarrier.h"
#include "os/memory.h"
#include "os/spin_lock.h"
#include "os/thread.h"
#include "sched/death.h"
#include "sched/latency.h"
#include "sched/scheduler.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constexpr std::size_t kLeastChunks = 4;

// Thread safety: everything under lock_, but for what the ender has for itself once it has waited.
class TraceBuffer {
 public:
  bool begin(std::size_t bytes) noexcept {
    std::size_t const count = std::max(bytes / sizeof(TraceChunk), kLeastChunks);
    void* const memory = reserve_memory(count * sizeof(TraceChunk));
    if (memory == nullptr) {
      return false;
    }
    light_.store(heavy_barrier_available(), kRelaxed);  // relaxed: published by [trace.3]
    std::lock_guard const guard(lock_);
    chunks_ = static_cast<TraceChunk*>(memory);
    count_ = count;
    used_ = 0;
    oldest_ = newest_ = nullptr;
    lost_ = 0;
    order_ = 0;
    number_ = number_ == UINT32_MAX ? 1 : number_ + 1;
    // [trace.3] release, pairs with [trace.1]: what was set up
    g_coarse_clock.traced.store(number_, kRelease);
    // relaxed: who sees it looks at `traced`
    g_coarse_clock.watched.fetch_or(kWatchTrace, kRelaxed);
    return true;
  }

  void end() noexcept {
    {
      std::lock_guard const guard(lock_);
      g_coarse_clock.traced.store(0, kRelaxed);  // relaxed: fenced below
      // relaxed: as before
      g_coarse_clock.watched.fetch_and(~kWatchTrace, kRelaxed);
    }
    full_fence();  // [trace.2] seq_cst, pairs with [trace.1]
    // relaxed: ours. Who fences needs none; that it was there at the beginning does not say that it
    // still is.
    if (light_.load(kRelaxed)) {
      (void)heavy_barrier_or_nap();
    }
    // All that are in use: nobody takes another one.
    for (std::size_t i = 0; i < used_; ++i) {
      const TraceRing& ring = *chunks_[i].owner;
      // [trace.2] acquire, pairs with [trace.4]: the record
      while (ring.writing.load(kAcquire)) {
        yield_thread();
      }
    }
  }

  TraceEnd ended() {
    TraceEnd end;
    end.lost = lost_;
    for (std::size_t i = 0; i < used_; ++i) {
      end.chunks.push_back(&chunks_[i]);
    }
    std::sort(end.chunks.begin(), end.chunks.end(), is_older);
    return end;
  }

  TraceEnd copy(std::uint64_t until, std::size_t memory) {
    std::size_t const most = std::max(memory / sizeof(TraceChunk), kLeastChunks);
    Moment moment = begin_copy();
    std::sort(moment.current.begin(), moment.current.end());
    TraceEnd copy;
    copy.until = until;
    copy.lost = moment.lost;
    std::vector<Chosen> chosen = choose(moment, most, copy);
    // The newest first, so that of a ring only what is oldest is missing if it is taken away
    // meanwhile.
    std::sort(chosen.begin(), chosen.end(),
              [](const Chosen& a, const Chosen& b) { return a.order > b.order; });
    copy.copies.reserve(chosen.size());
    copy.chunks.reserve(chosen.size());
    for (const Chosen& one : chosen) {
      note_trace_progress();
      // Nothing is asked of the memory under the lock.
      copy.copies.push_back(std::make_unique_for_overwrite<TraceChunk>());
      std::lock_guard const guard(lock_);
      if (one.chunk->order == one.order) {
        copy_chunk(*one.chunk, *copy.copies.back());
        copy.chunks.push_back(copy.copies.back().get());
      } else {
        leave_out(one.count, copy);
      }
    }
    std::reverse(copy.chunks.begin(), copy.chunks.end());
    return copy;
  }

  void free() noexcept {
    if (chunks_ != nullptr) {
      release_memory(chunks_, count_ * sizeof(TraceChunk));
      chunks_ = nullptr;
      used_ = 0;
    }
  }

  // By the ring's owner.
  void write(TraceRing& ring, TraceKind kind, std::uint64_t who, std::uint64_t a,
             std::uint64_t b) noexcept {
    // relaxed: who does not see it yet fences in vain
    if (HAMGAM_LIKELY(light_.load(kRelaxed))) {
      ring.writing.store(true, kRelaxed);  // relaxed: [trace.1] pairs with [trace.2], fenced
      light_barrier();
    } else {
      ring.writing.exchange(true, kSeqCst);  // [trace.1] seq_cst, pairs with [trace.2]
    }
    // [trace.1] acquire, pairs with [trace.3]
    if (std::uint32_t const number = g_coarse_clock.traced.load(kAcquire); number != 0) {
      // relaxed: ours
      if (HAMGAM_LIKELY(ring.number == number && ring.chunk != nullptr &&
                        ring.chunk->count.load(kRelaxed) != TraceChunk::kRecords) ||
          take_chunk(ring)) {
        TraceChunk& chunk = *ring.chunk;
        std::size_t const count = chunk.count.load(kRelaxed);  // relaxed: ours
        chunk.records[count] = {ticks(), static_cast<std::uint64_t>(kind) << 56 | who, a, b};
        chunk.count.store(count + 1, kRelease);  // [trace.5] release, pairs with [trace.6]
      }
    }
    ring.writing.store(false, kRelease);  // [trace.4] release, pairs with [trace.2]
  }

 private:
  // What there was when a copy began.
  struct Moment {
    std::size_t count;
    std::uint64_t order;
    std::uint64_t lost;
    std::vector<std::uint64_t> current;  // orders of the chunks that rings wrote into
  };
  struct Chosen {
    const TraceChunk* chunk;
    std::uint64_t order;
    std::size_t count;  // of its records, or some less
  };

  static void leave_out(std::size_t records, TraceEnd& copy) noexcept {
    copy.lost += records;
    copy.cut = true;
  }

  Moment begin_copy() {
    Moment moment{};
    for (std::size_t rings = 0;;) {
      moment.current.reserve(rings);
      std::lock_guard const guard(lock_);
      rings = rings_;
      if (rings > moment.current.capacity()) {
        continue;
      }
      moment.count = used_;
      moment.order = order_;
      moment.lost = lost_;
      // relaxed: under the lock
      std::uint32_t const number = g_coarse_clock.traced.load(kRelaxed);
      for (const TraceRing* ring = first_ring_; ring != nullptr; ring = ring->next) {
        if (ring->number == number && ring->chunk != nullptr) {
          moment.current.push_back(ring->chunk->order);
        }
      }
      return moment;
    }
  }

  // The newest of that moment, and those that were written into.
  std::vector<Chosen> choose(const Moment& moment, std::size_t most, TraceEnd& copy) {
    std::vector<Chosen> chosen;
    chosen.reserve(std::min(moment.count, most + moment.current.size()));
    for (std::size_t i = 0; i < moment.count; ++i) {
      note_trace_progress();
      const TraceChunk& chunk = chunks_[i];
      std::lock_guard const guard(lock_);
      std::size_t const count = chunk.count.load(kRelaxed);  // relaxed: a number
      if (chunk.order >= moment.order) {
        leave_out(TraceChunk::kRecords, copy);  // it was taken away meanwhile, full
      } else if (chunk.order + most >= moment.order ||
                 std::binary_search(moment.current.begin(), moment.current.end(), chunk.order)) {
        chosen.push_back({&chunk, chunk.order, count});
      } else {
        leave_out(count, copy);
      }
    }
    return chosen;
  }

  static bool is_older(const TraceChunk* a, const TraceChunk* b) noexcept {
    return a->order < b->order;
  }

  static void copy_chunk(const TraceChunk& from, TraceChunk& to) noexcept {
    to.owner = from.owner;
    to.order = from.order;
    // [trace.6] acquire, pairs with [trace.5]: the records
    std::size_t const count = from.count.load(kAcquire);
    std::copy_n(from.records, count, to.records);
    to.count.store(count, kRelaxed);  // relaxed: ours
  }

  HAMGAM_NOINLINE bool take_chunk(TraceRing& ring) noexcept {
    std::lock_guard const guard(lock_);
    // relaxed: changed under the lock
    std::uint32_t const number = g_coarse_clock.traced.load(kRelaxed);
    if (number == 0) {
      return false;
    }
    if (ring.number == 0) {
      ring.next = std::exchange(first_ring_, &ring);
      ++rings_;
    }
    if (ring.number != number) {
      ring.number = number;
      ring.chunk = nullptr;
      ring.lost.store(false, kRelaxed);  // relaxed: under the lock
    }
    if (TraceChunk* const full = ring.chunk) {
      full->next = nullptr;
      (newest_ != nullptr ? newest_->next : oldest_) = full;
      newest_ = full;
    }
    if (used_ < count_) {
      ring.chunk = &chunks_[used_++];
    } else if ((ring.chunk = oldest_) != nullptr) {
      oldest_ = oldest_->next;
      newest_ = oldest_ != nullptr ? newest_ : nullptr;
      // relaxed throughout: under the lock, and nobody's
      lost_ += ring.chunk->count.load(kRelaxed);
      ring.chunk->owner->lost.store(true, kRelaxed);
    } else {  // there are more workers than chunks
      ++lost_;
      ring.lost.store(true, kRelaxed);  // relaxed: under the lock
      return false;
    }
    ring.chunk->owner = &ring;
    ring.chunk->order = order_++;
    ring.chunk->count.store(0, kRelaxed);  // relaxed: under the lock
    return true;
  }

  SpinLock lock_;
  atomic<bool> light_{false};  // no fences: there is a heavy barrier
  TraceChunk* chunks_ = nullptr;
  std::size_t count_ = 0;
  std::size_t used_ = 0;  // the others are untouched
  TraceChunk* oldest_ = nullptr;
  TraceChunk* newest_ = nullptr;
  std::uint64_t order_ = 0;
  std::uint64_t lost_ = 0;
  std::uint32_t number_ = 0;
  TraceRing* first_ring_ = nullptr;  // of all that ever wrote
  std::size_t rings_ = 0;
};

constinit TraceBuffer g_buffer;
constinit atomic<WriteFlight> g_write_flight{nullptr};
constinit atomic<std::uint32_t> g_progress{0};
constinit atomic<int> g_last_flight{0};  // the thread that writes it, of a process that dies
constinit SpinLock g_thread_lock;
constinit TraceRing g_thread_ring;  // under g_thread_lock

void record(TraceKind kind, std::uint64_t a, std::uint64_t b) noexcept {
  if (Worker* const w = this_worker()) {
    // relaxed throughout: ours
    const Goroutine* const g = w->current.load(kRelaxed);
    std::uint64_t const who = g != &w->base ? g->id.load(kRelaxed) : 0;
    g_buffer.write(w->trace, kind, who, a, b);
  } else {
    std::lock_guard const guard(g_thread_lock);
    auto const who = kTraceThread | static_cast<std::uint64_t>(thread_id());
    g_buffer.write(g_thread_ring, kind, who, a, b);
  }
}

void record_name(const Goroutine& g) noexcept {
  char name[128];
  copy_name(g, name, sizeof name);
  for (const char* part = name; *part != '\0';) {
    std::uint64_t word = 0;
    std::size_t const length = strnlen(part, sizeof word);
    std::memcpy(&word, part, length);
    record(TraceKind::kName, g.id.load(kRelaxed), word);  // relaxed: ours
    part += length;
  }
}

}  // namespace

void trace_switch(Worker& w, const Goroutine& from, const Goroutine& to, const char* why) noexcept {
  // relaxed throughout: both are ours; the id of the worker's own stack is 0
  g_buffer.write(w.trace, TraceKind::kSwitch, from.id.load(kRelaxed), to.id.load(kRelaxed),
                 reinterpret_cast<std::uintptr_t>(why));
}

void trace_wake(const Goroutine& g) noexcept {
  record(TraceKind::kWake, g.id.load(kRelaxed), 0);  // relaxed: ours until it is queued
}

void trace_spawn(const Goroutine& g) noexcept {
  TsanIgnore const ignore;
  if (g.extras != nullptr) {
    record_name(g);
  }
  record(TraceKind::kSpawn, g.id.load(kRelaxed), 0);  // relaxed: ours until it is queued
}

void trace_span(TraceKind kind, const char* name) noexcept {
  record(kind, 0, reinterpret_cast<std::uintptr_t>(name));
}

std::vector<TraceRunning> trace_running() {
  std::vector<TraceRunning> all;
  g_places.for_each([&all](const Worker& w) {
    // relaxed throughout: a glance
    const Goroutine* const g = w.current.load(kRelaxed);
    all.push_back(
        {w.thread_id, g != nullptr && g != &w.base ? g->id.load(kRelaxed) : std::uint64_t{0}});
  });
  return all;
}

bool begin_trace(std::size_t bytes) noexcept {
  ensure_started();
  return g_buffer.begin(bytes);
}

void end_trace() noexcept { g_buffer.end(); }

TraceEnd ended_trace() { return g_buffer.ended(); }

TraceEnd copy_trace(std::uint64_t until, std::size_t memory) {
  TsanIgnore const ignore;
  return g_buffer.copy(until, memory);
}

void set_write_flight(WriteFlight write) noexcept {
  g_write_flight.store(write, kRelease);  // [flight.1] release, pairs with [flight.2]
}

void write_flight(const char* kind) noexcept {
  // [flight.2] acquire, pairs with [flight.1]: what it looks at
  if (WriteFlight const write = g_write_flight.load(kAcquire)) {
    bool const last = kind == nullptr;
    if (last) {
      g_last_flight.store(thread_id(), kRelaxed);  // relaxed: a thread looks for its own
    }
    write(kind);
    if (last) {
      g_last_flight.store(0, kRelaxed);  // relaxed: a thread looks for its own
    }
  }
}

std::uint32_t trace_progress() noexcept {
  return g_progress.load(kRelaxed);  // relaxed: a number
}

void note_trace_progress() noexcept {
  g_progress.fetch_add(1, kRelaxed);  // relaxed: a number
  // Not what the program's own code writes while it dies. relaxed: a thread looks for its own
  if (int const writer = g_last_flight.load(kRelaxed); writer != 0 && writer == thread_id()) {
    note_telling();
  }
}

void free_trace() noexcept { g_buffer.free(); }

void forget_trace() noexcept {
  // relaxed throughout: there is one thread
  g_coarse_clock.traced.store(0, kRelaxed);
  g_coarse_clock.watched.fetch_and(~kWatchTrace, kRelaxed);
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
