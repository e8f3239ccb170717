// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "sched/goroutine.h"

#include <mutex>
#include <new>
#include <utility>

#include "base/own_memory.h"
#include "os/spin_lock.h"
#include "sched/debug_layout.h"
#include "sched/places.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constexpr std::size_t kSlabRecords = 64;

struct Slab {
  Slab* next = nullptr;
  Goroutine records[kSlabRecords];
};

// Free records that belong to no cache: full chunks, linked through their first records, and loose
// ones. Thread safety: under lock_, but for slabs_. Slabs are never freed, so for_each_record may
// walk them without the lock.
class RecordDepot {
 public:
  // A chunk, or fewer if there is none, linked by next.
  Goroutine* take_chunk(std::size_t& taken) noexcept {
    std::lock_guard const guard(lock_);
    if (chunks_ == nullptr) {
      return take_loose(GoroutineCache::kChunk, taken);
    }
    Goroutine* first = chunks_;
    chunks_ = static_cast<Goroutine*>(first->argument);
    taken = GoroutineCache::kChunk;
    return first;
  }

  void give_chunk(Goroutine* first) noexcept {
    std::lock_guard const guard(lock_);
    first->argument = chunks_;
    chunks_ = first;
  }

  Goroutine* take() noexcept {
    std::lock_guard const guard(lock_);
    if (loose_ == nullptr && chunks_ != nullptr) {
      loose_ = chunks_;
      chunks_ = static_cast<Goroutine*>(loose_->argument);
    }
    std::size_t taken = 0;
    return take_loose(1, taken);
  }

  void give(Goroutine* g) noexcept {
    std::lock_guard const guard(lock_);
    g->next = loose_;
    loose_ = g;
  }

  template <class F>
  void for_each(F f) {
    // [record.1] acquire, pairs with [record.2]: the slab's records are constructed.
    for (Slab* slab = slabs_.load(kAcquire); slab != nullptr; slab = slab->next) {
      for (Goroutine& g : slab->records) {
        f(g);
      }
    }
  }

  // For debuggers.
  [[nodiscard]] constexpr const void* list() const noexcept { return &slabs_; }

 private:
  // Under lock_.
  Goroutine* take_loose(std::size_t count, std::size_t& taken) noexcept {
    if (loose_ == nullptr) {
      add_slab();
    }
    Goroutine* first = nullptr;
    for (taken = 0; taken < count && loose_ != nullptr; ++taken) {
      Goroutine* g = loose_;
      loose_ = g->next;
      g->next = first;
      first = g;
    }
    return first;
  }

  void add_slab() noexcept {
    auto* const slab = try_make_own<Slab>();
    if (slab == nullptr) {
      return;
    }
    for (Goroutine& g : slab->records) {
      g.next = loose_;
      loose_ = &g;
    }
    slab->next = slabs_.load(kRelaxed);  // relaxed: changed under lock_ only
    slabs_.store(slab, kRelease);        // [record.2] release, pairs with [record.1]
  }

  SpinLock lock_;
  Goroutine* chunks_ = nullptr;
  Goroutine* loose_ = nullptr;
  atomic<Slab*> slabs_{nullptr};
};

constinit RecordDepot g_records;
constinit SpinLock g_extras_lock;
thread_local constinit std::uint64_t t_scope = 0;

// libstdc++'s; the others of today begin with something else.
#if defined(_GLIBCXX_USE_CXX11_ABI) && _GLIBCXX_USE_CXX11_ABI
constexpr bool kNameIsText = true;
#else
constexpr bool kNameIsText = false;
#endif

constexpr Nanos kCoarse = 2 * kMillisecond;  // so often the line is written at most

}  // namespace

constinit CoarseClock g_coarse_clock;

void set_coarse_clock(Nanos time) noexcept {
  if (time - coarse_now() >= kCoarse) {
    g_coarse_clock.time.store(time, kRelaxed);  // relaxed: a number
  }
}

void give_extras(Goroutine& g, GoroutineExtras* extras) noexcept {
  std::lock_guard const guard(g_extras_lock);
  g.extras = extras;
}

void free_extras(Goroutine& g) noexcept {
  TsanIgnore const ignore;
  const GoroutineExtras* extras = nullptr;
  {
    std::lock_guard const guard(g_extras_lock);
    extras = std::exchange(g.extras, nullptr);
  }
  if (extras->end_held != nullptr) {
    extras->end_held(extras->held);
  }
  delete extras;
}

void copy_name(const Goroutine& g, char* buffer, std::size_t size) noexcept {
  TsanIgnore const ignore;
  std::size_t length = 0;
  if (g_extras_lock.try_lock_patiently()) {  // a fault may have struck its holder
    if (g.extras != nullptr) {
      length = g.extras->name.copy(buffer, size - 1);
    }
    g_extras_lock.unlock();
  }
  buffer[length] = '\0';
}

namespace {

bool ensure_extras(Goroutine& g) noexcept {
  if (g.extras == nullptr) {
    if (auto* const extras = new (std::nothrow) GoroutineExtras) {
      give_extras(g, extras);
    }
  }
  return g.extras != nullptr;
}

}  // namespace

void set_scope(Goroutine& g, std::uint64_t scope) noexcept {
  TsanIgnore const ignore;
  if (ensure_extras(g)) {
    std::lock_guard const guard(g_extras_lock);
    g.extras->scope = scope;
  }
}

bool set_held(Goroutine& g, void* held, void (*end)(void* held) noexcept) noexcept {
  TsanIgnore const ignore;
  if (!ensure_extras(g)) {
    return false;
  }
  g.extras->held = held;
  g.extras->end_held = end;
  return true;
}

std::uint64_t scope_of(const Goroutine& g) noexcept {
  TsanIgnore const ignore;
  if (g.extras == nullptr) {
    return 0;  // a glance, as most have none
  }
  std::lock_guard const guard(g_extras_lock);
  return g.extras != nullptr ? g.extras->scope : 0;
}

HAMGAM_NOINLINE void set_thread_scope(std::uint64_t scope) noexcept { t_scope = scope; }
HAMGAM_NOINLINE std::uint64_t thread_scope() noexcept { return t_scope; }

Goroutine* GoroutineCache::refill() noexcept {
  Goroutine* g = full_;
  if (g != nullptr) {
    full_ = nullptr;
    count_ = kChunk;
  } else if ((g = g_records.take_chunk(count_)) == nullptr) {
    return nullptr;
  }
  first_ = g->next;
  --count_;
  return g;
}

void GoroutineCache::spill() noexcept {
  if (full_ != nullptr) {
    g_records.give_chunk(full_);
  }
  full_ = std::exchange(first_, nullptr);
  count_ = 0;
}

void GoroutineCache::clear() noexcept {
  if (full_ != nullptr) {
    g_records.give_chunk(std::exchange(full_, nullptr));
  }
  while (Goroutine* g = first_) {
    first_ = g->next;
    g_records.give(g);
  }
  count_ = 0;
}

Goroutine* take_shared_record() noexcept { return g_records.take(); }

void give_shared_record(Goroutine* g) noexcept { g_records.give(g); }

void for_each_record(void (*f)(Goroutine& g, void* argument), void* argument) {
  g_records.for_each([f, argument](Goroutine& g) { f(g, argument); });
}

namespace {

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Winvalid-offsetof"  // these have no virtual bases
consteval DebugLayout debug_layout() noexcept {
  DebugLayout layout{
      .slabs = g_records.list(),
      .places = g_places.list(),
      .place_count = g_places.list_size(),
      .note_distance = kTellsWhenSaved ? &g_note_distance : nullptr,
      .coarse_clock = &g_coarse_clock.time,
      .slab_next = offsetof(Slab, next),
      .slab_records = offsetof(Slab, records),
      .records_in_slab = kSlabRecords,
      .record_size = sizeof(Goroutine),
      .id = offsetof(Goroutine, id),
      .invoke = offsetof(Goroutine, invoke),
      .stack = offsetof(Goroutine, stack),
      .extras = offsetof(Goroutine, extras),
      .created_at = offsetof(Goroutine, created_at),
      .created_by = offsetof(Goroutine, created_by),
      .wait_reason = offsetof(Goroutine, wait_reason),
      .saved = offsetof(Goroutine, fiber.context.saved),
      .tells_when_saved = kTellsWhenSaved,
      .stack_bottom = offsetof(Stack, bottom),
      .stack_size = offsetof(Stack, size),
      .note_object = offsetof(ParkNote, object),
      .note_since = offsetof(ParkNote, since),
      .name = offsetof(GoroutineExtras, name),
      .name_is_text = kNameIsText,
      .current = offsetof(Worker, current),
      .in_blocking = offsetof(Worker, in_blocking),
      .thread_id = offsetof(Worker, thread_id),
      .resume_bytes = kResumeBytes,
      .registers = {},
  };
  std::size_t i = 0;
  for (SavedRegister const& saved : kSavedRegisters) {
    for (std::size_t c = 0; saved.name[c] != '\0'; ++c) {
      layout.registers[i].name[c] = saved.name[c];
    }
    layout.registers[i++].offset = offsetof(Goroutine, fiber.context) + saved.offset;
  }
  return layout;
}
#pragma GCC diagnostic pop

}  // namespace

}  // namespace hamgam::inline HAMGAM_ABI::detail

// Nobody in the program names it.
#if __has_attribute(retain)
#define HAMGAM_RETAIN __attribute__((used, retain))
#else
#define HAMGAM_RETAIN __attribute__((used))
#endif
HAMGAM_RETAIN constinit const hamgam::detail::DebugLayout hamgam_debug_layout =
    hamgam::detail::debug_layout();
