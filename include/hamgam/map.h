// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Map: a hash map for many at once. load takes no lock and writes nothing that others read; a write
// locks one sixteenth of the map.
//
//   Map<std::string, Session> sessions;
//   sessions.store(id, session);
//   if (std::optional<Session> found = sessions.load(id)) ...      // a copy
//
// Every operation on a key is atomic, and so is clear(). From goroutines and plain threads alike.
// Hash, Eq, the copying and moving of K and V and, where one is asked for, V's == may do anything
// but use this map, as may operator new; if they throw, the map is as it was. Moves and some of the
// others are done under the lock of a part of the map. The destructor destroys all values; by then
// nobody may use the map any more, but what is destroyed.
//
// When and where a removed value (and its key) is destroyed: before the call that removes it
// returns, unless somebody reads the map at that moment. Then once no such reader is left, in a
// later call that removes something, or soon after the last of them on a thread of the library, the
// janitor, which all maps and pools share. A destructor runs under no lock of the map's and may
// use it; none runs in load, for_each, size or the loading half of load_or_store, so a reader may
// hold a lock that destructors take. A destructor that blocks the janitor holds up the others'.
//
// Expected O(1); equal hashes cost O(n) among themselves. A store by which a sixteenth of the map
// outgrows its table copies that one's pointers, while others who write there wait. What removes
// something looks at one word of each worker and of each thread that has read a map, and of each
// that is parked in this map's for_each. Tables do not shrink but by clear(). A V that can be
// copied as plain bytes and has 1, 4 or 8 of them is changed where it is; others, and all keys,
// have a piece of memory for each entry, and a store over one takes a new piece. Pieces of up to
// 256 bytes are cut from blocks; that of a removed entry is for later ones of the same sixteenth,
// and goes back to the system's allocator with the map, and with clear() if no removed one waits
// for its readers then, as it does until a moment after they are done.
//
// Happens-before: a write is before each read that observes it, as in Go: load, for_each and those
// that return or compare a value, or that there is none, read; store, erase, clear and those that
// succeed in replacing write. Who removed a value, and who read it, is before its destructor.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "hamgam/detail/annotations.h"
#include "hamgam/detail/atomic.h"
#include "hamgam/detail/config.h"
#include "hamgam/detail/map_table.h"
#include "hamgam/detail/read_domain.h"

namespace hamgam::inline HAMGAM_ABI {

template <class K, class V, class Hash = std::hash<K>, class Eq = std::equal_to<K>>
class Map {
  static_assert(std::is_invocable_r_v<std::size_t, const Hash&, const K&>,
                "Map<K, V>: K has no hash: specialise std::hash<K>, or say Map<K, V, Hash>");
  static_assert(
      !std::is_same_v<Eq, std::equal_to<K>> || requires(const K& k) { k == k; },
      "Map<K, V>: K has no ==: define it, or say Map<K, V, Hash, Eq>");

 public:
  // Empty; it takes no memory until something is stored.
  Map() = default;
  explicit Map(Hash hash, Eq eq = Eq()) : hash_(std::move(hash)), eq_(std::move(eq)) {}
  ~Map() {
    // Destructors may use the map, and the janitor may be inside one.
    detail::Retired* tables = nullptr;
    do {
      core_.domain().drain();
      tables = core_.take_tables();
      if (tables != nullptr) {
        destroy(core_.domain(), tables);
      }
    } while (tables != nullptr);
  }
  Map(const Map&) = delete;
  Map& operator=(const Map&) = delete;

  // A copy of the key's value, if there is one.
  [[nodiscard]] std::optional<V> load(const K& key) const {
    std::uint64_t const order = order_of(key);
    detail::ReadDomain::Pin const pin(core_.domain());
    const Node* node = find(order, key);
    if (node == nullptr) {
      core_.found_none(order);
      return std::nullopt;
    }
    return std::optional<V>(std::in_place, copied(Look(*node).value()));
  }

  // The key has this value from now on, whether it had one or not.
  void store(K key, V value) {
    std::uint64_t const order = order_of(key);
    (void)put(order, std::move(key), std::move(value), [](const Node&) {});
  }

  // The key's value, if it has one (true: loaded); else the given one, which it has from now on.
  [[nodiscard]] std::pair<V, bool> load_or_store(K key, V value) {
    std::uint64_t const order = order_of(key);
    {
      detail::ReadDomain::Pin const pin(core_.domain());
      if (const Node* node = find(order, key)) {
        return {copied(Look(*node).value()), true};
      }
    }
    V stored(copied(value));
    Made node;
    Section section(core_, core_.made_stripe(order));
    Place place = locate(section, order, key);
    if (place.entry != nullptr) {
      return {copied(Look(node_of(place)).value()), true};
    }
    core_.found_none(order);
    section.reserve(place, order);
    make(node, section, order, std::move(key), std::move(stored));
    Commit const commit(section, place, node);  // once there is a result: a copy may throw
    return {std::move(value), false};
  }

  // Removes the key; the value it had.
  [[nodiscard]] std::optional<V> load_and_erase(const K& key) {
    std::optional<V> value;
    (void)remove(key, [&value](const Node& had) {
      value.emplace(copied(Look(had).value()));
      return true;
    });
    return value;
  }

  // Removes the key; whether it was there.
  bool erase(const K& key) {
    return remove(key, [](const Node&) { return true; });
  }

  // The former value.
  std::optional<V> swap(K key, V value) {
    std::optional<V> former;
    std::uint64_t const order = order_of(key);
    bool const had_one = put(order, std::move(key), std::move(value), [&former](const Node& had) {
      former.emplace(copied(Look(had).value()));
    });
    if (!had_one) {
      core_.found_none(order);
    }
    return former;
  }

  // Only if the key has a value and it is `old`.
  [[nodiscard]] bool compare_and_swap(const K& key, const V& old, V next)
    requires std::equality_comparable<V>
  {
    std::uint64_t const order = order_of(key);
    if (!is(order, key, old)) {
      return false;
    }
    [[maybe_unused]] std::conditional_t<kInPlace, const K&, K> own(key);
    Made node;
    Node* former = nullptr;
    {
      Section section(core_, core_.made_stripe(order));
      Place const place = locate(section, order, key);
      if (place.entry == nullptr) {
        core_.found_none(order);
        return false;
      }
      if (!(Look(node_of(place)).value() == old)) {
        return false;
      }
      if constexpr (kInPlace) {
        node_of(place).set(next);
        return true;
      } else {
        make(node, section, order, std::move(own), std::move(next));
        former = &node_of(place);
        Section::replace(place, *node.release());
      }
    }
    retire(former);
    return true;
  }

  // Removes the key only if it has a value and that is `old`.
  [[nodiscard]] bool compare_and_erase(const K& key, const V& old)
    requires std::equality_comparable<V>
  {
    return remove(key, [&old](const Node& had) { return Look(had).value() == old; });
  }

  // Calls f(key, value) for each key, none twice, until f returns false (if it returns bool). Keys
  // and values that others add, change or remove meanwhile are seen or not; f may itself do so.
  // What f is given lives, unchanged, until it returns. As long as it runs, removed values of this
  // map are not destroyed. Between calls of f it takes the lock of a part of the map, as who
  // writes; where more than 128 keys have equal hashes it needs memory.
  template <class F>
    requires std::invocable<F&, const K&, const V&>
  void for_each(F f) const {
    detail::ReadDomain::Pin const pin(core_.domain());
    detail::MapWalk walk(core_);
    while (std::size_t const count = walk.next()) {
      for (std::size_t i = 0; i < count; ++i) {
        const auto* node = static_cast<const Node*>(walk.entries()[i]);
        Look const look(*node);
        const V& value = look.value();  // or a copy, which lives as long
        if constexpr (std::is_void_v<std::invoke_result_t<F&, const K&, const V&>>) {
          std::invoke(f, node->key, value);
        } else if (!std::invoke(f, node->key, value)) {
          return;
        }
      }
    }
  }

  // Removes all keys.
  void clear() { core_.clear(); }

  // How many keys; while others write, some number in between.
  [[nodiscard]] std::size_t size() const noexcept { return core_.size(); }

 private:
  // What is to be copied, once: a second copy would be destroyed under the lock.
  // (A deduced type: what is wrong with V is told first.)
  static const auto& copied(const V& value) noexcept {
    static_assert(std::is_copy_constructible_v<V>,
                  "Map gives copies of its values: use a V that can be copied, such as "
                  "std::shared_ptr<T> where this one is std::unique_ptr<T>");
    return value;
  }

  using Section = detail::MapSection;
  using Place = detail::MapPlace;

  // A value that is one word changes in its entry; for others there is a new entry.
  static constexpr bool kInPlace = detail::kMapWord<V>;

  struct Node : detail::MapEntry {
    template <class Value>
    Node(std::uint64_t order, K&& k, Value&& v)
        : MapEntry(order), key(std::move(k)), value(std::forward<Value>(v)) {
      detail::tsan_release(this);
    }

    // Who compares keys is not by that after who stored them, who reads a value is.
    [[nodiscard]] decltype(auto) get() const noexcept {
      if constexpr (kInPlace) {
        V const word = value.load(detail::kAcquire);  // [map.11] acquire, pairs with [map.12]
        detail::tsan_acquire(this);
        return V(word);
      } else {
        detail::tsan_acquire(this);
        return (value);
      }
    }
    // Under the stripe's mutex.
    void set(V v) noexcept {
      detail::tsan_release(this);
      value.store(v, detail::kRelease);  // [map.12] release, pairs with [map.11]
    }

    // What readers did, and who removed it, for who destroys it.
    [[nodiscard]] const void* looks() const noexcept { return std::addressof(key); }

    const K key;
    std::conditional_t<kInPlace, detail::atomic<V>, const V> value;
  };

  // While it lives, the value is read. That is before its destruction, and so before that of what
  // it is the last but one to lead to: a shared_ptr counts both, and ThreadSanitizer follows.
  class Look {
   public:
    explicit Look(const Node& node) noexcept : node_(node) {}
    ~Look() { detail::tsan_release(node_.looks()); }
    Look(const Look&) = delete;
    Look& operator=(const Look&) = delete;
    [[nodiscard]] decltype(auto) value() const noexcept { return node_.get(); }

   private:
    const Node& node_;
  };

  // Whether entries' memory comes from the stripe. Not where a sanitizer is to see it come and go.
#if defined(HAMGAM_ASAN) || defined(HAMGAM_TSAN) || HAMGAM_HWASAN
  static constexpr bool kPieces = false;
#else
  static constexpr bool kPieces =
      sizeof(Node) <= detail::MapMemory::kLargest && alignof(Node) <= detail::MapMemory::kAlignment;
#endif

  // An entry that is in no table yet. Made under the stripe's mutex, destroyed without.
  struct Drop {
    void operator()(Node* node) const noexcept {
      if constexpr (kPieces) {
        node->~Node();
        memory->give(node);
      } else {
        delete node;
      }
    }
    detail::MapMemory* memory = nullptr;
  };
  using Made = std::unique_ptr<Node, Drop>;

  // Under the stripe's mutex; `made` outlives that.
  static void make(Made& made, const Section& section, std::uint64_t order, K&& key, V&& value) {
    if constexpr (kPieces) {
      detail::MapMemory& memory = section.stripe().memory;
      struct Piece {
        ~Piece() {
          if (piece != nullptr) {
            memory.give(piece);
          }
        }
        detail::MapMemory& memory;
        void* piece;
      } piece{memory, memory.take(sizeof(Node))};
      Node* const node = new (piece.piece) Node(order, std::move(key), std::move(value));
      piece.piece = nullptr;
      made = Made(node, Drop{&memory});
    } else {
      made.reset(new Node(order, std::move(key), std::move(value)));
    }
  }

  // Inserts the node at the end of the scope, but if that is left by an exception.
  class Commit {
   public:
    Commit(Section& section, const Place& place, Made& node) noexcept
        : section_(section), place_(place), node_(node) {}
    ~Commit() {
      if (std::uncaught_exceptions() == thrown_) {
        section_.insert(place_, *node_.release());
      }
    }
    Commit(const Commit&) = delete;
    Commit& operator=(const Commit&) = delete;

   private:
    Section& section_;
    const Place& place_;
    Made& node_;
    int const thrown_ = std::uncaught_exceptions();
  };

  [[nodiscard]] std::uint64_t order_of(const K& key) const {
    return detail::map_order(static_cast<std::uint64_t>(hash_(key)));
  }

  [[nodiscard]] bool has_key(const Node& node, const K& key) const {
    detail::TsanHide const hide;
    return eq_(node.key, key);
  }

  static Node& node_of(const Place& place) noexcept { return *static_cast<Node*>(place.entry); }

  // With a pin.
  [[nodiscard]] const Node* find(std::uint64_t order, const K& key) const {
    std::uint64_t const tag = detail::MapLine::tag_of(order);
    const detail::MapLine* line = core_.line_for_reading(order);
    while (line != nullptr) {
      // [map.3] acquire, pairs with [map.4]
      std::uint64_t fits = detail::MapLine::matches(line->tags.load(detail::kAcquire), tag);
      for (; fits != 0; fits &= fits - 1) {
        auto& slot = line->entries[detail::MapLine::slot_of(fits)];
        // [map.7] acquire, pairs with [map.8]
        const auto* node = static_cast<const Node*>(slot.load(detail::kAcquire));
        if (HAMGAM_LIKELY(has_key(*node, key))) {
          return node;
        }
      }
      line = line->more.load(detail::kAcquire);  // [map.9] acquire, pairs with [map.10]
    }
    return nullptr;
  }

  [[nodiscard]] bool is(std::uint64_t order, const K& key, const V& value) const {
    detail::ReadDomain::Pin const pin(core_.domain());
    const Node* node = find(order, key);
    if (node == nullptr) {
      core_.found_none(order);
      return false;
    }
    return Look(*node).value() == value;
  }

  // Under the stripe's mutex.
  [[nodiscard]] Place locate(const Section& section, std::uint64_t order, const K& key) const {
    std::uint64_t const tag = detail::MapLine::tag_of(order);
    Place free;
    // relaxed throughout: under the mutex
    for (detail::MapLine* line = section.line(order); line != nullptr;
         line = line->more.load(detail::kRelaxed)) {
      std::uint64_t const tags = line->tags.load(detail::kRelaxed);
      std::uint64_t fits = detail::MapLine::matches(tags, tag);
      for (; fits != 0; fits &= fits - 1) {
        unsigned const slot = detail::MapLine::slot_of(fits);
        detail::MapEntry* const entry = line->entries[slot].load(detail::kRelaxed);
        if (has_key(*static_cast<Node*>(entry), key)) {
          return {line, slot, entry};
        }
      }
      std::uint64_t const room = detail::MapLine::free_slots(tags);
      if (free.line == nullptr && room != 0) {
        free = {line, detail::MapLine::slot_of(room), nullptr};
      }
    }
    return free;
  }

  // The key gets the value; look(its node) before that, if it had one, which it says.
  template <class F>
  [[nodiscard]] bool put(std::uint64_t order, K key, V value, F look) {
    core_.prefetch(order);
    Made node;
    Node* former = nullptr;
    {
      Section section(core_, core_.made_stripe(order));
      Place place = locate(section, order, key);
      if (place.entry == nullptr) {
        section.reserve(place, order);
        make(node, section, order, std::move(key), std::move(value));
        section.insert(place, *node.release());
        return false;
      }
      look(std::as_const(node_of(place)));
      if constexpr (kInPlace) {
        node_of(place).set(value);
        return true;
      } else {
        make(node, section, order, std::move(key), std::move(value));
        former = &node_of(place);
        Section::replace(place, *node.release());
      }
    }
    retire(former);
    return true;
  }

  void retire(Node* node) {
    detail::tsan_release(node->looks());
    node->set_next(nullptr);
    core_.domain().retire(node);
  }

  // Removes the key if it is there and may(its node); whether it did.
  template <class May>
  bool remove(const K& key, May may) {
    std::uint64_t const order = order_of(key);
    detail::MapStripe* const stripe = core_.stripe(order);
    if (stripe == nullptr) {
      return false;
    }
    Node* former = nullptr;
    {
      Section section(core_, *stripe);
      Place const place = locate(section, order, key);
      if (place.entry == nullptr) {
        core_.found_none(order);
        return false;
      }
      if (!may(std::as_const(node_of(place)))) {
        return false;
      }
      former = &node_of(place);
      section.erase(place);
      if constexpr (kPieces && std::is_trivially_destructible_v<Node>) {
        if (HAMGAM_LIKELY(core_.domain().is_unread())) {
          section.stripe().memory.take_back(former);
          return true;
        }
      }
    }
    retire(former);
    return true;
  }

  // Those of a list. One of the values may own the map.
  static void destroy(detail::ReadDomain& domain, detail::Retired* first) noexcept {
    constexpr bool kPlain = std::is_trivially_destructible_v<Node>;
    detail::MapStripes& stripes = detail::MapCore::stripes_of(domain);
    [[maybe_unused]] std::conditional_t<kPlain, const detail::MapStripes&, detail::MapHold> hold(
        stripes);
    while (first != nullptr) {
      detail::Retired* const retired = std::exchange(first, first->next());
      if (retired->is_odd()) {
        destroy_node(&stripes, static_cast<detail::MapEntry*>(retired));
      } else {
        detail::MapCore::destroy_table(stripes, retired, kPlain, &destroy_node);
      }
    }
  }
  // Where V has a destructor, it and what follows in this thread come after the readers. Where it
  // has none that is nothing to order anybody by. Without stripes the memory goes otherwise.
  static void destroy_node([[maybe_unused]] detail::MapStripes* stripes,
                           detail::MapEntry* entry) noexcept {
    auto* const node = static_cast<Node*>(entry);
    if constexpr (kPieces) {
      detail::MapMemory* const memory =
          stripes != nullptr ? &stripes->of(entry->word()).memory : nullptr;
      node->~Node();
      if (memory != nullptr) {
        memory->give(node);
      }
    } else if constexpr (std::is_trivially_destructible_v<V>) {
      detail::TsanHide const hide;
      delete node;
    } else {
      detail::tsan_acquire(node);
      detail::tsan_acquire(node->looks());
      delete node;
    }
  }

  [[no_unique_address]] Hash hash_;
  [[no_unique_address]] Eq eq_;
  detail::MapCore core_{&destroy};
};

}  // namespace hamgam::inline HAMGAM_ABI
