// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// A goroutine's record, and where records come from.

#include <cstddef>
#include <cstdint>

#include "base/cache_line.h"
#include "base/own_containers.h"
#include "base/own_memory.h"
#include "fiber/fiber.h"
#include "hamgam/detail/atomic.h"
#include "hamgam/detail/goroutine.h"
#include "os/clock.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// What few goroutines have.
struct GoroutineExtras {
  OwnString name;  // one that ends is on another's stack when this goes
  std::size_t stack_size = 0;
  std::uint64_t scope = 0;  // see set_scope()
  // See set_held().
  void* held = nullptr;
  void (*end_held)(void* held) noexcept = nullptr;
  // They may be made under the very lock of the program's own operator new.
  static void* operator new(std::size_t size) { return InOwnMemory::operator new(size); }
  static void* operator new(std::size_t size, const std::nothrow_t& tag) noexcept {
    return InOwnMemory::operator new(size, tag);
  }
  static void operator delete(void* memory) noexcept { InOwnMemory::operator delete(memory); }
};

// What a goroutine that is parked says of that, for those who hold it (hold.h). It stands in the
// frame of park(), the innermost: so it costs no room in the record and no line of the cache.
struct ParkNote {
  const void* object;  // where it waits, as the parking lot has it; or null
  Nanos since;         // by coarse_now(); 0: not known
};

// What one waits for that keeps its thread; since when, its worker says.
inline constexpr char kOnItsThread[] = "waits on its thread";

// That of a goroutine that is held and has a wait_reason. Null: it is not known.
const ParkNote* note_of(const Goroutine& g) noexcept;

// Of the note, below the frame address of park(); 0: not known.
extern constinit atomic<std::ptrdiff_t> g_note_distance;

// Life: free -> (new_goroutine) filled in -> runnable -> running <-> waiting -> free.
// Thread safety: whoever holds the goroutine (the queue it is in, the worker that runs it, the
// waker that took it off its wait queue) is the only one to touch it; id, wait_reason and the like
// may be read by a dump at any time and are therefore atomic.
struct Goroutine : GoroutineHead {
  [[no_unique_address]] Fiber fiber;
  atomic<std::uint32_t> ready_at{0};         // see latency.h
  atomic<const char*> wait_reason{nullptr};  // null: running or runnable
  unsigned pinned = 0;    // how many Pins it has, and calls of blocking(); its own
  unsigned blocking = 0;  // how many calls of blocking() it is in; its own
#if defined(HAMGAM_ASAN)
  const ParkNote* note = nullptr;  // its place in a frame is AddressSanitizer's to choose
#endif
};
#if !defined(HAMGAM_ASAN) && !defined(HAMGAM_TSAN)
static_assert(sizeof(Goroutine) <= 192 || sizeof(Context) > 32, "three cache lines");
#endif

// A worker's free records, in two chunks as Bonwick's magazines (2001): one in use, and a full one
// or none. A full chunk moves to and from the others' depot as a whole, its records unseen. Not
// thread-safe: its owner's.
class GoroutineCache {
 public:
  static constexpr std::size_t kChunk = 256;

  GoroutineCache() = default;
  GoroutineCache(const GoroutineCache&) = delete;
  GoroutineCache& operator=(const GoroutineCache&) = delete;

  // Null if there is no memory.
  Goroutine* take() noexcept {
    Goroutine* g = first_;
    if (HAMGAM_UNLIKELY(g == nullptr)) {
      return refill();
    }
    first_ = g->next;
    --count_;
    return g;
  }

  void give(Goroutine* g) noexcept {
    g->next = first_;
    first_ = g;
    if (HAMGAM_UNLIKELY(++count_ == kChunk)) {
      spill();
    }
  }

  // Gives all to the others' depot.
  void clear() noexcept;

 private:
  HAMGAM_NOINLINE Goroutine* refill() noexcept;
  HAMGAM_NOINLINE void spill() noexcept;

  Goroutine* first_ = nullptr;
  std::size_t count_ = 0;
  Goroutine* full_ = nullptr;
};

// The name and stack size of a goroutine are rare, and a dump may look at the name at any time: so
// they are made, freed and looked at under a lock.
void give_extras(Goroutine& g, GoroutineExtras* extras) noexcept;
void free_extras(Goroutine& g) noexcept;
void copy_name(const Goroutine& g, char* buffer, std::size_t size) noexcept;

// A mark that is handed down: a goroutine that has one, not 0, gives it to those that it starts.
// The second is for a plain thread's own. set_scope() leaves a goroutine as it is if there is no
// memory.
void set_scope(Goroutine& g, std::uint64_t scope) noexcept;
[[nodiscard]] std::uint64_t scope_of(const Goroutine& g) noexcept;  // from any thread
void set_thread_scope(std::uint64_t scope) noexcept;
[[nodiscard]] std::uint64_t thread_scope() noexcept;

// Something of another layer's that belongs to the running goroutine, in its extras: `end` is
// called with it when the goroutine ends. False: there is no memory.
bool set_held(Goroutine& g, void* held, void (*end)(void* held) noexcept) noexcept;

// The time as of some 10 milliseconds ago, or less, without asking the clock: for what is told in
// seconds. On a line of its own that is written rarely. 0: nobody has said yet.
extern constinit struct alignas(kCacheLine) CoarseClock {
  atomic<Nanos> time{0};
  // Who asks for these has asked for the time, mostly.
  atomic<std::uint32_t> traced{0};   // see trace.h
  atomic<std::uint32_t> watched{0};  // see latency.h
} g_coarse_clock;
HAMGAM_INLINE Nanos coarse_now() noexcept {
  return g_coarse_clock.time.load(kRelaxed);  // relaxed: a number
}
void set_coarse_clock(Nanos time) noexcept;

// For threads that are no worker.
Goroutine* take_shared_record() noexcept;
void give_shared_record(Goroutine* g) noexcept;

// Calls f for every record there is, free ones too (their id is 0). Throws what f throws.
void for_each_record(void (*f)(Goroutine& g, void* argument), void* argument);

}  // namespace hamgam::inline HAMGAM_ABI::detail
