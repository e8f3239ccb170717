// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// What Map is for all K and V: sixteen stripes, each a lock and a table of pointers to entries.
//
// A table is an array of lines, as many as a power of two; a line is one cache line: six slots, a
// byte of the hash for each that is taken (its tag), and a link to a further line for those that
// find no place. A key's first line is told by its hash; it may stand in any slot of that line or
// of those that follow it. So who looks for it touches one line and, where a tag fits, the entry.
//
//                      may change                          by whom
//   a line's tags      a byte: 0 (free) to a tag and back  who holds the stripe's mutex
//   a slot             to another entry, while it is free  the same
//                      or in exchange for its former one
//   a line's `more`    from null to a line, once           the same
//   a stripe's table   to one of twice as many lines, to   the same
//                      none by clear()
//   an entry           never; a value that is a word is    the same
//                      itself atomic and changes in place
//
// Readers take no lock; they have pinned the domain (read_domain.h). The tags of a line are read at
// once, so they are what they were at one moment; and a slot that had a tag then has had an entry
// ever since: that one, or one that came later. The key decides which. Therefore who finds the key
// has found what was its entry at some moment since the call began. Who does not: in each line the
// key was not there at some moment, and as it stands in one slot at a time and never moves, it was
// not there at all at one of these.
//
// Growing copies the pointers into a new table and changes nothing of the old one, which nobody
// changes after that. A reader that still has it sees what was true when the new one was published,
// and has begun before that. It is retired like an entry: who pins later does not find it, nor does
// he find there an entry that is removed from the new one.
//
// clear() takes all stripes' mutexes and raises the map's generation: this is the moment at which
// all keys go. Then it takes the tables away one by one, and last tells the stripe the generation.
// A reader reads the stripe's generation, its table, and then the map's: where the two generations
// differ the stripe has been empty at some moment since the reader's call began.
//
// The stripes are made by the first who writes and live as long as the map, so that a writer needs
// no pin: one locked instruction for the mutex is all. (They live longer where a value that is
// destroyed owns the map: its memory is given back after that.)
//
// Hashes: std::hash leaves integers as they are, so all bits are mixed, but the last four only
// change places: keys that are counted up come to stand in sixteen lines side by side, one in each.
// Where keys differ in other bits, such as multiples of 16, each line gets as many as at random all
// the same.
//
// Rejected: Go's trie of sixteen-way nodes: four dependent loads where this has two. Rejected:
// sorted lists with entry points, which grow without a copy: an insertion touched three lines
// instead of one, and a walk all entries of it. Rejected: keys and values in the table itself, with
// a version: entries would move when it grows, and only plain types can be read while they change.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "hamgam/detail/annotations.h"
#include "hamgam/detail/atomic.h"
#include "hamgam/detail/config.h"
#include "hamgam/detail/inner_mutex.h"
#include "hamgam/detail/map_memory.h"
#include "hamgam/detail/read_domain.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// An entry's order says where it stands: the mixed hash; its lowest bit is set. Its highest four
// bits tell the stripe, those from the second on the line, seven between them are its tag.
struct MapEntry : Retired {
  explicit MapEntry(std::uint64_t order) noexcept : Retired(order) {}
};

// What can be read and written at once, while others do.
template <class V>
inline constexpr bool kMapWord = false;
template <class V>
  requires(std::is_trivially_copyable_v<V> && std::is_copy_constructible_v<V> &&
           std::is_move_constructible_v<V> && std::is_copy_assignable_v<V> &&
           std::is_move_assignable_v<V> && (sizeof(V) == 1 || sizeof(V) == 4 || sizeof(V) == 8))
inline constexpr bool kMapWord<V> = true;

inline constexpr unsigned kMapStripes = 16;

HAMGAM_INLINE std::uint64_t map_order(std::uint64_t hash) noexcept {
  std::uint64_t mixed = hash >> 4;
  mixed = (mixed ^ mixed >> 32) * 0x9E3779B97F4A7C15U;
  return (mixed ^ mixed >> 32 ^ (hash & 15) << 1) | 1;
}

struct alignas(64) MapLine {
  static constexpr unsigned kSlots = 6;

  static HAMGAM_INLINE std::uint64_t tag_of(std::uint64_t order) noexcept {
    return 0x80 | static_cast<std::uint8_t>(order >> 52);
  }

  // For each slot whose tag is that one the highest bit of its byte. Perhaps for others, too, that
  // are taken.
  static HAMGAM_INLINE std::uint64_t matches(std::uint64_t tags, std::uint64_t tag) noexcept {
    constexpr std::uint64_t kEach = 0x0101010101010101U;
    std::uint64_t const other = tags ^ tag * kEach;
    return (other - kEach) & ~other & 0x80 * kEach;
  }
  // The same for those that are free.
  static std::uint64_t free_slots(std::uint64_t tags) noexcept { return ~tags & 0x808080808080U; }
  static unsigned slot_of(std::uint64_t match) noexcept {
    return static_cast<unsigned>(std::countr_zero(match)) / 8;
  }

  atomic<std::uint64_t> tags{0};  // a byte for each slot, the lowest for the first; 0: free
  atomic<MapEntry*> entries[kSlots] = {};
  atomic<MapLine*> more{nullptr};
};

// A table as a word: where its lines are, and (in the lowest bits) how many of them by their
// logarithm; so that who looks for a key needs not ask the table itself. 0: none.
using MapTableWord = std::uintptr_t;

HAMGAM_INLINE MapLine* map_line(MapTableWord table, std::uint64_t order) noexcept {
  std::uint64_t const mask = (sizeof(MapLine) << (table & 63)) - sizeof(MapLine);
  return reinterpret_cast<MapLine*>((table & ~MapTableWord{63}) +
                                    (order * (sizeof(MapLine) / 2) & mask));
}

struct alignas(128) MapStripe {
  InnerMutex mutex;
  atomic<MapTableWord> table{0};  // this and the two others change under the mutex
  atomic<std::size_t> size{0};
  atomic<std::uint64_t> generation{0};
  MapMemory memory;  // the second cache line is that of who destroys

  // For ThreadSanitizer: stands for the absence of keys of that order, and of few others.
  [[nodiscard]] const void* absence(std::uint64_t order) const noexcept {
    return reinterpret_cast<const char*>(this) + (order >> 54 & (sizeof(MapStripe) - 1));
  }
  void all_gone() const noexcept;
  void all_seen() const noexcept;
};

struct MapStripes {
  MapStripe all[kMapStripes];
  atomic<std::uint32_t> holders{1};  // the map, and who destroys its entries

  [[nodiscard]] MapStripe& of(std::uint64_t order) noexcept { return all[order >> 60]; }
  HAMGAM_API void let_go() noexcept;
};

// While it lives, so do the stripes.
class MapHold {
 public:
  explicit MapHold(MapStripes& stripes) noexcept : stripes_(stripes) {
    stripes_.holders.fetch_add(1, kRelaxed);  // relaxed: who adds is held up by another
  }
  ~MapHold() { stripes_.let_go(); }
  MapHold(const MapHold&) = delete;
  MapHold& operator=(const MapHold&) = delete;

 private:
  MapStripes& stripes_;
};

// Where a key stands; without an entry, where it may be put.
struct MapPlace {
  MapLine* line = nullptr;
  unsigned slot = 0;
  MapEntry* entry = nullptr;
};

class MapCore : private ReadDomain {
 public:
  using ReadDomain::Destroy;

  explicit MapCore(Destroy destroy) noexcept : ReadDomain(destroy) {}
  HAMGAM_API ~MapCore();  // nobody uses it any more
  MapCore(const MapCore&) = delete;
  MapCore& operator=(const MapCore&) = delete;

  // Readers pin it; that changes nothing of the map.
  [[nodiscard]] ReadDomain& domain() const noexcept { return const_cast<MapCore&>(*this); }
  // Something was in the map.
  [[nodiscard]] static MapStripes& stripes_of(ReadDomain& domain) noexcept {
    // [map.5] acquire, pairs with [map.6]
    return *static_cast<MapCore&>(domain).stripes_.load(kAcquire);
  }

  // With a pin: where a reader begins; null: the key is not there.
  [[nodiscard]] HAMGAM_INLINE const MapLine* line_for_reading(std::uint64_t order) const noexcept {
    MapStripes* const stripes = stripes_.load(kAcquire);  // [map.5] acquire, pairs with [map.6]
    if (HAMGAM_UNLIKELY(stripes == nullptr)) {
      return nullptr;
    }
    const MapStripe& stripe = stripes->of(order);
    // [map.13] acquire, pairs with [map.14]
    std::uint64_t const generation = stripe.generation.load(kAcquire);
    MapTableWord const table = stripe.table.load(kAcquire);  // [map.1] acquire, pairs with [map.2]
    // [map.13] acquire, pairs with [map.14]
    if (HAMGAM_UNLIKELY(table == 0 || generation != generation_.load(kAcquire))) {
      return nullptr;
    }
    return map_line(table, order);
  }

  // Gets the line on its way to the processor. The table may be gone, which does no harm.
  HAMGAM_INLINE void prefetch(std::uint64_t order) const noexcept {
    // [map.5] acquire, pairs with [map.6]
    if (MapStripes* const stripes = stripes_.load(kAcquire)) {
      // relaxed: only a hint
      __builtin_prefetch(map_line(stripes->of(order).table.load(kRelaxed), order), 1);
    }
  }

  // The order's stripe; null: nobody has written yet.
  [[nodiscard]] MapStripe* stripe(std::uint64_t order) const noexcept {
    MapStripes* const stripes = stripes_.load(kAcquire);  // [map.5] acquire, pairs with [map.6]
    return stripes != nullptr ? &stripes->of(order) : nullptr;
  }
  [[nodiscard]] MapStripe& made_stripe(std::uint64_t order) {
    MapStripes* stripes = stripes_.load(kAcquire);  // [map.5] acquire, pairs with [map.6]
    if (HAMGAM_UNLIKELY(stripes == nullptr)) {
      stripes = make_stripes();
    }
    return stripes->of(order);
  }

  [[nodiscard]] HAMGAM_API std::size_t size() const noexcept;
  HAMGAM_API void clear() noexcept;
  // When nobody uses it any more: all tables, linked by next().
  [[nodiscard]] HAMGAM_API Retired* take_tables() noexcept;

  // A call has seen that a key of that order was not there: who removed it is before that.
  void found_none([[maybe_unused]] std::uint64_t order) const noexcept {
#if defined(HAMGAM_TSAN)
    if (const MapStripe* const stripe = this->stripe(order)) {
      tsan_acquire(stripe->absence(order));
    }
#endif
  }

  // Destroys a table, and by `destroy` its entries if they are still its own: with the stripes
  // where their memory goes, or with null if it goes by itself. If entries are `plain` nothing is
  // lost then if they are not destroyed.
  HAMGAM_API static void destroy_table(MapStripes& stripes, Retired* table, bool plain,
                                       void (*destroy)(MapStripes*, MapEntry*) noexcept) noexcept;

 private:
  friend class MapWalk;

  HAMGAM_API MapStripes* make_stripes();

  atomic<MapStripes*> stripes_{nullptr};
  atomic<std::uint64_t> generation_{0};  // changes under all stripes' mutexes
};

// The mutex of a stripe, held.
class MapSection {
 public:
  MapSection(MapCore& core, MapStripe& stripe) noexcept : core_(core), stripe_(stripe) { lock(); }
  ~MapSection() HAMGAM_NO_THREAD_SAFETY_ANALYSIS {
    stripe_.mutex.unlock();
    if (HAMGAM_UNLIKELY(outgrown_ != nullptr)) {
      core_.domain().retire(outgrown_);
    }
  }
  MapSection(const MapSection&) = delete;
  MapSection& operator=(const MapSection&) = delete;

  // The key's first line; null: there is no table.
  [[nodiscard]] MapLine* line(std::uint64_t order) const noexcept {
    MapTableWord const table = stripe_.table.load(kRelaxed);  // relaxed: under the mutex
    return table != 0 ? map_line(table, order) : nullptr;
  }

  [[nodiscard]] MapStripe& stripe() const noexcept { return stripe_; }

  // Sees to it that the place has a free slot. If it throws there was no memory.
  void reserve(MapPlace& place, std::uint64_t order) {
    // relaxed: under the mutex
    if (HAMGAM_UNLIKELY(place.line == nullptr || stripe_.size.load(kRelaxed) >= limit())) {
      make_room(place, order);
    }
  }

  // The place has been reserved.
  void insert(const MapPlace& place, MapEntry& entry) noexcept {
    std::uint64_t const order = entry.word();
    place.line->entries[place.slot].store(&entry, kRelease);  // [map.8] release, pairs with [map.7]
    // relaxed: under the mutex
    std::uint64_t const tags = place.line->tags.load(kRelaxed);
    // [map.4] release, pairs with [map.3]: the entry
    place.line->tags.store(tags | MapLine::tag_of(order) << (8 * place.slot), kRelease);
    stripe_.size.store(stripe_.size.load(kRelaxed) + 1, kRelaxed);  // relaxed: readers only count
  }
  static void replace(const MapPlace& place, MapEntry& entry) noexcept {
    place.line->entries[place.slot].store(&entry, kRelease);  // [map.8] release, pairs with [map.7]
  }
  void erase(const MapPlace& place) noexcept {
    tsan_release(stripe_.absence(place.entry->word()));
    // relaxed: under the mutex
    std::uint64_t const tags = place.line->tags.load(kRelaxed);
    // [map.4] release, pairs with [map.3]
    place.line->tags.store(tags & ~(std::uint64_t{0xFF} << (8 * place.slot)), kRelease);
    stripe_.size.store(stripe_.size.load(kRelaxed) - 1, kRelaxed);  // relaxed: readers only count
  }

 private:
  // So many entries for each line; more of them, and too many lines need a further one.
  static constexpr std::size_t kEntriesPerLine = 4;

  // So many entries, then the table grows.
  [[nodiscard]] std::size_t limit() const noexcept {
    MapTableWord const table = stripe_.table.load(kRelaxed);  // relaxed: under the mutex
    return kEntriesPerLine << (table & 63);
  }
  void lock() noexcept HAMGAM_NO_THREAD_SAFETY_ANALYSIS { stripe_.mutex.lock(); }
  HAMGAM_API void make_room(MapPlace& place, std::uint64_t order);

  MapCore& core_;
  MapStripe& stripe_;
  Retired* outgrown_ = nullptr;  // a table; it is retired without the mutex, as destructors may run
};

// Goes through all entries, with a pin; none that is there all the time is left out. Those of a
// line and what follows it are read at once, under the mutex: a key that is removed and comes back
// elsewhere is not met twice. From table to table it goes on with the one that it began with.
class MapWalk {
 public:
  explicit MapWalk(const MapCore& core) noexcept : core_(core) {}

  // Reads the next ones and says how many; 0: that was all. It throws if more than kFew are of one
  // line and there is no memory.
  [[nodiscard]] HAMGAM_API std::size_t next();
  [[nodiscard]] MapEntry* const* entries() const noexcept {
    return many_.empty() ? few_ : many_.data();
  }

 private:
  static constexpr std::size_t kFew = 128;

  const MapCore& core_;
  unsigned stripe_ = 0;
  std::size_t line_ = 0;
  MapTableWord table_ = 0;
  MapEntry* few_[kFew];
  std::vector<MapEntry*> many_;
};

}  // namespace hamgam::inline HAMGAM_ABI::detail
