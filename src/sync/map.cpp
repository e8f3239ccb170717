// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/map.h"

#include <memory>
#include <mutex>
#include <new>
#include <utility>

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constexpr unsigned kFirstBits = 2;
constexpr unsigned kMostBits = 40;
constexpr unsigned kCachedBits = 6;  // smaller tables' entries are likely in the cache

// What stands before a table's lines.
struct alignas(64) MapTable : Retired {
  MapTable(unsigned b, void* m) noexcept : Retired(0), bits(b), memory(m) {}

  [[nodiscard]] MapLine* begin() noexcept { return reinterpret_cast<MapLine*>(this + 1); }
  [[nodiscard]] MapLine* end() noexcept { return begin() + (std::size_t{1} << bits); }
  [[nodiscard]] MapTableWord word() noexcept {
    return reinterpret_cast<MapTableWord>(begin()) | bits;
  }

  unsigned const bits;
  void* const memory;
  bool owner = false;                  // of its entries
  MapMemory::Block* blocks = nullptr;  // and of their memory
};

MapTable* table_of(MapTableWord word) noexcept {
  return reinterpret_cast<MapTable*>(word & ~MapTableWord{63}) - 1;
}

// Null: no memory. Aligned by hand: aligned memory takes malloc thrice as long.
MapTable* make_table(unsigned bits) noexcept {
  std::size_t const lines = std::size_t{1} << bits;
  std::size_t const size = sizeof(MapTable) + lines * sizeof(MapLine);
  std::size_t space = size + alignof(MapTable);
  void* const memory = ::operator new(space, std::nothrow);
  if (memory == nullptr) {
    return nullptr;
  }
  void* place = memory;
  auto* const table =
      new (std::align(alignof(MapTable), size, place, space)) MapTable(bits, memory);
  std::uninitialized_value_construct_n(table->begin(), lines);
  return table;
}

void free_table(MapTable* table) noexcept {
  for (MapLine& first : *table) {
    // relaxed: nobody else is here
    MapLine* line = first.more.load(kRelaxed);
    while (line != nullptr) {
      // relaxed: nobody else is here
      delete std::exchange(line, line->more.load(kRelaxed));
    }
  }
  MapMemory::free_blocks(table->blocks);
  ::operator delete(table->memory);
}

// The entries of a line and those that follow it. Under the mutex, or where nobody else is.
template <class F>
void for_each_in(const MapLine& first, F f) {
  // relaxed throughout: as said
  for (const MapLine* line = &first; line != nullptr; line = line->more.load(kRelaxed)) {
    std::uint64_t taken = line->tags.load(kRelaxed) & 0x808080808080U;
    for (; taken != 0; taken &= taken - 1) {
      f(line->entries[MapLine::slot_of(taken)].load(kRelaxed));
    }
  }
}

void prefetch_entries(const MapLine& first) noexcept {
  for_each_in(first, [](MapEntry* entry) { __builtin_prefetch(entry); });
}

// A free slot of that line or those that follow it, where need be of a new one; else no line. Under
// the mutex.
MapPlace free_place(MapLine* line) noexcept {
  for (;;) {
    // relaxed throughout: under the mutex
    if (std::uint64_t const free = MapLine::free_slots(line->tags.load(kRelaxed)); free != 0) {
      return {line, MapLine::slot_of(free), nullptr};
    }
    MapLine* more = line->more.load(kRelaxed);
    if (more == nullptr) {
      more = new (std::nothrow) MapLine;
      if (more == nullptr) {
        return {};
      }
      line->more.store(more, kRelease);  // [map.10] release, pairs with [map.9]: that it is empty
    }
    line = more;
  }
}

// Copies the pointers; false: no memory. Nobody else knows the new table.
bool copy(MapTable& from, MapTable& to) noexcept {
  bool done = true;
  for (const MapLine& line : from) {
    if (from.bits >= kCachedBits && &line + 1 != from.end()) {
      prefetch_entries(*(&line + 1));
    }
    for_each_in(line, [&to, &done](MapEntry* entry) {
      std::uint64_t const order = entry->word();
      MapPlace const place = free_place(map_line(to.word(), order));
      if (place.line == nullptr) {
        done = false;
        return;
      }
      // relaxed throughout: published with the table
      std::uint64_t const tags = place.line->tags.load(kRelaxed);
      place.line->tags.store(tags | MapLine::tag_of(order) << (8 * place.slot), kRelaxed);
      place.line->entries[place.slot].store(entry, kRelaxed);
    });
  }
  return done;
}

}  // namespace

// As if each key had been looked for.
void MapStripe::all_seen() const noexcept {
#if defined(HAMGAM_TSAN)
  for (std::size_t i = 0; i < sizeof(MapStripe); ++i) {
    tsan_acquire(reinterpret_cast<const char*>(this) + i);
  }
#endif
}

// As if each key had been removed.
void MapStripe::all_gone() const noexcept {
#if defined(HAMGAM_TSAN)
  for (std::size_t i = 0; i < sizeof(MapStripe); ++i) {
    tsan_release(reinterpret_cast<const char*>(this) + i);
  }
#endif
}

void MapStripes::let_go() noexcept {
  // [map.19] acq_rel, pairs with itself: what the others did is over
  if (holders.fetch_sub(1, kAcqRel) == 1) {
    TsanHide const hide;
    delete this;
  }
}

MapCore::~MapCore() {
  // relaxed: nobody else is here
  if (MapStripes* const stripes = stripes_.load(kRelaxed)) {
    stripes->let_go();
  }
}

MapStripes* MapCore::make_stripes() {
  auto made = std::make_unique<MapStripes>();
  MapStripes* stripes = nullptr;
  // [map.6] acq_rel, pairs with [map.5]
  if (stripes_.compare_exchange_strong(stripes, made.get(), kAcqRel, kAcquire)) {
    stripes = made.release();
  }
  return stripes;
}

std::size_t MapCore::size() const noexcept {
  std::size_t sum = 0;
  // [map.5] acquire, pairs with [map.6]
  if (MapStripes* const stripes = stripes_.load(kAcquire)) {
    for (const MapStripe& stripe : stripes->all) {
      sum += stripe.size.load(kRelaxed);  // relaxed: a snapshot
    }
  }
  return sum;
}

void MapCore::clear() noexcept HAMGAM_NO_THREAD_SAFETY_ANALYSIS {
  MapStripes* const stripes = stripes_.load(kAcquire);  // [map.5] acquire, pairs with [map.6]
  if (stripes == nullptr) {
    return;
  }
  for (MapStripe& stripe : stripes->all) {
    stripe.mutex.lock();
    stripe.all_gone();
  }
  Retired* tables = take_tables();
  for (MapStripe& stripe : stripes->all) {
    stripe.mutex.unlock();
  }
  if (tables != nullptr) {
    retire(tables);
  }
}

Retired* MapCore::take_tables() noexcept {
  MapStripes* const stripes = stripes_.load(kAcquire);  // [map.5] acquire, pairs with [map.6]
  if (stripes == nullptr) {
    return nullptr;
  }
  // relaxed: under all mutexes
  std::uint64_t const generation = generation_.load(kRelaxed) + 1;
  // [map.14] release, pairs with [map.13]; from here on all keys are gone
  generation_.store(generation, kRelease);
  Retired* tables = nullptr;
  for (MapStripe& stripe : stripes->all) {
    if (MapTableWord const word = stripe.table.load(kRelaxed)) {  // relaxed: under the mutex
      MapTable* const table = table_of(word);
      table->owner = true;
      table->blocks = stripe.memory.take_blocks(stripe.size.load(kRelaxed));  // relaxed: likewise
      tsan_release(table);                                                    // for the destructors
      table->set_next(tables);
      tables = table;
    }
    stripe.table.store(0, kRelease);                // [map.2] release, pairs with [map.1]
    stripe.generation.store(generation, kRelease);  // [map.14] release, pairs with [map.13]
    stripe.size.store(0, kRelaxed);                 // relaxed: readers only count
  }
  return tables;
}

void MapCore::destroy_table(MapStripes& stripes, Retired* retired, bool plain,
                            void (*destroy)(MapStripes*, MapEntry*) noexcept) noexcept {
  auto* const table = static_cast<MapTable*>(retired);
  bool const owns_memory = table->blocks != nullptr;
  if (table->owner && !(owns_memory && plain)) {
    tsan_acquire(table);
    MapStripes* const memory = owns_memory ? nullptr : &stripes;
    for (MapLine& line : *table) {
      if (table->bits >= kCachedBits && &line + 1 != table->end()) {
        prefetch_entries(*(&line + 1));
      }
      for_each_in(line, [=](MapEntry* entry) { destroy(memory, entry); });
    }
  }
  TsanHide const hide;
  free_table(table);
}

// Out of line: a larger table, the first one, or a further line.
void MapSection::make_room(MapPlace& place, std::uint64_t order) {
  MapTableWord word = stripe_.table.load(kRelaxed);  // relaxed: under the mutex
  MapTable* const former = word != 0 ? table_of(word) : nullptr;
  // Small ones grow by steps of two: making them costs more than what they hold.
  unsigned const bits = former == nullptr ? kFirstBits : former->bits + (former->bits < 4 ? 2 : 1);
  // relaxed: likewise
  if ((former == nullptr || stripe_.size.load(kRelaxed) >= limit()) && bits <= kMostBits) {
    MapTable* const table = make_table(bits);
    if (table != nullptr && former != nullptr && !copy(*former, *table)) {
      free_table(table);
    } else if (table != nullptr) {
      word = table->word();
      stripe_.table.store(word, kRelease);  // [map.2] release, pairs with [map.1]
      outgrown_ = former;
    }
  }
  if (word == 0) {
    throw std::bad_alloc();
  }
  place = free_place(map_line(word, order));
  if (place.line == nullptr) {
    throw std::bad_alloc();
  }
}

std::size_t MapWalk::next() {
  MapStripes* const stripes = core_.stripes_.load(kAcquire);  // [map.5] acquire, pairs with [map.6]
  many_.clear();
  std::size_t count = 0;
  for (; stripes != nullptr && stripe_ < kMapStripes; ++stripe_, table_ = 0, line_ = 0) {
    const MapStripe& stripe = stripes->all[stripe_];
    std::lock_guard const lock(stripes->all[stripe_].mutex);
    stripe.all_seen();
    if (table_ == 0) {
      table_ = stripe.table.load(kRelaxed);  // relaxed: under the mutex
    }
    if (table_ == 0) {
      continue;
    }
    MapTable& table = *table_of(table_);
    for (; table.begin() + line_ != table.end(); ++line_) {
      const MapLine& line = table.begin()[line_];
      std::size_t size = 0;
      for_each_in(line, [&size](MapEntry* /*entry*/) { ++size; });
      if (count + size <= kFew) {
        for_each_in(line, [this, &count](MapEntry* entry) { few_[count++] = entry; });
        continue;
      }
      if (count == 0) {
        many_.reserve(size);
        for_each_in(line, [this](MapEntry* entry) { many_.push_back(entry); });
        ++line_;
        return size;
      }
      return count;
    }
  }
  return count;
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
