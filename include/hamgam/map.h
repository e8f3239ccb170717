// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Map: a hash map for many at once, best where reads prevail or each writes its own keys. A read
// takes no lock and writes nothing that others read; a write locks one sixteenth of the map.
//
//   Map<std::string, Session> sessions;
//   sessions.store(id, session);
//   if (std::optional<Session> found = sessions.load(id)) ...      // a copy
//
// Every operation on a key is atomic, and so is clear(). From goroutines and plain threads alike.
// Hash, Eq, the copying of V and, where one is asked for, its == may do anything but use this map;
// if they throw, the map is as it was. The destructor destroys all values; nobody may use the map
// any more by then.
//
// When and where a removed value (and its key) is destroyed: before the call that removes it
// returns, unless somebody reads the map at that moment. Then once no such reader is left, in a
// later call that removes something, or soon after the last of them on a thread of the library, the
// janitor, which all maps and pools share. A destructor runs under no lock of the map's and may
// use it; none runs in load, for_each, size or the loading half of load_or_store, so a reader may
// hold a lock that destructors take. A destructor that blocks the janitor holds up the others'.
//
// Expected O(1); equal hashes cost O(n) among themselves. What removes something looks at one word
// of each worker and of each thread that has read a map, and of each that is parked in this map's
// for_each. Erased buckets are not given back but by clear().
//
// Happens-before: a write is before each read that observes it, as in Go: load, for_each and those
// that return or compare a value read; store, erase and those that succeed in replacing write.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
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
    if (Table* table = table_.load(detail::kAcquire)) {  // [map.5] acquire, pairs with [map.6]
      destroy(table);
    }
  }
  Map(const Map&) = delete;
  Map& operator=(const Map&) = delete;

  // A copy of the key's value, if there is one.
  [[nodiscard]] std::optional<V> load(const K& key) const {
    std::uint64_t const order = order_of(key);
    detail::ReadDomain::Pin const pin(domain_);
    const Node* node = find(order, key);
    return node != nullptr ? std::optional<V>(copy_of(value_of(*node))) : std::nullopt;
  }

  // The key has this value from now on, whether it had one or not.
  void store(K key, V value) {
    std::uint64_t const order = order_of(key);
    put(std::make_unique<Node>(order, std::move(key), std::move(value)), [](const Node&) {});
  }

  // The key's value, if it has one (true: loaded); else the given one, which it has from now on.
  [[nodiscard]] std::pair<V, bool> load_or_store(K key, V value) {
    std::uint64_t const order = order_of(key);
    {
      detail::ReadDomain::Pin const pin(domain_);
      if (const Node* node = find(order, key)) {
        return {copy_of(value_of(*node)), true};
      }
    }
    auto node = std::make_unique<Node>(order, std::move(key), value);
    Section section(*this, order);
    std::unique_lock const lock(section.stripe().mutex, std::adopt_lock);
    Place const place = locate(section, order, node->key);
    if (place.node != nullptr) {
      return {copy_of(value_of(*place.node)), true};
    }
    Commit const commit(section, *place.before, node);  // once there is a result: a copy may throw
    return {std::move(value), false};
  }

  // Removes the key; the value it had.
  [[nodiscard]] std::optional<V> load_and_erase(const K& key) {
    std::optional<V> value;
    (void)remove(key, [&value](const Node& had) {
      value.emplace(copy_of(value_of(had)));
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
    std::uint64_t const order = order_of(key);
    std::optional<V> former;
    put(std::make_unique<Node>(order, std::move(key), std::move(value)),
        [&former](const Node& had) { former.emplace(copy_of(value_of(had))); });
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
    auto node = std::make_unique<Node>(order, K(key), std::move(next));
    Node* former = nullptr;
    {
      Section section(*this, order);
      std::unique_lock const lock(section.stripe().mutex, std::adopt_lock);
      Place const place = locate(section, order, key);
      if (place.node == nullptr || !(value_of(*place.node) == old)) {
        return false;
      }
      former = place.node;
      Table::replace(*place.before, *former, *node.release());
    }
    domain_.retire(former);
    return true;
  }

  // Removes the key only if it has a value and that is `old`.
  [[nodiscard]] bool compare_and_erase(const K& key, const V& old)
    requires std::equality_comparable<V>
  {
    return remove(key, [&old](const Node& had) { return value_of(had) == old; });
  }

  // Calls f(key, value) for each key, none twice, until f returns false (if it returns bool). Keys
  // and values that others add, change or remove meanwhile are seen or not; f may itself do so.
  // What f is given lives until it returns. As long as it runs, removed values of this map are not
  // destroyed.
  template <class F>
    requires std::invocable<F&, const K&, const V&>
  void for_each(F f) const {
    detail::ReadDomain::Pin const pin(domain_);
    Table* const table = table_.load(detail::kAcquire);  // [map.5] acquire, pairs with [map.6]
    if (table == nullptr) {
      return;
    }
    for (auto& stripe : table->stripes) {
      for (const detail::MapLink* link = next(stripe.head); link != &table->tail;
           link = next(*link)) {
        if ((link->order & 1) == 0) {
          continue;
        }
        const auto* node = static_cast<const Node*>(link);
        const V& value = value_of(*node);
        if constexpr (std::is_void_v<std::invoke_result_t<F&, const K&, const V&>>) {
          std::invoke(f, node->key, value);
        } else if (!std::invoke(f, node->key, value)) {
          return;
        }
      }
    }
  }

  // Removes all keys.
  void clear() HAMGAM_NO_THREAD_SAFETY_ANALYSIS {
    Table* table = nullptr;
    for (;;) {
      detail::ReadDomain::Pin const pin(domain_);
      table = table_.load(detail::kAcquire);  // [map.5] acquire, pairs with [map.6]
      if (table == nullptr) {
        return;
      }
      // Whoever writes holds one of these and checks then that the table is the map's.
      for (auto& stripe : table->stripes) {
        stripe.mutex.lock();
      }
      Table* expected = table;
      // relaxed: the mutexes and the retirement order it
      bool const ours =
          table_.compare_exchange_strong(expected, nullptr, detail::kRelaxed, detail::kRelaxed);
      for (auto& stripe : table->stripes) {
        stripe.mutex.unlock();
      }
      if (ours) {
        break;
      }
    }
    domain_.retire(table);
  }

  // How many keys; while others write, some number in between.
  [[nodiscard]] std::size_t size() const noexcept {
    detail::ReadDomain::Pin const pin(domain_);
    const Table* table = table_.load(detail::kAcquire);  // [map.5] acquire, pairs with [map.6]
    return table != nullptr ? table->size() : 0;
  }

 private:
  static V copy_of(const V& value) {
    static_assert(std::is_copy_constructible_v<V>,
                  "Map gives copies of its values: use a V that can be copied, such as "
                  "std::shared_ptr<T> where this one is std::unique_ptr<T>");
    return value;
  }

  using Table = detail::MapTable;
  using Stripe = Table::Stripe;

  struct Node : detail::MapEntry {
    template <class Value>
    Node(std::uint64_t o, K k, Value&& v)
        : MapEntry(o), key(std::move(k)), value(std::forward<Value>(v)) {
      detail::tsan_release(this);
    }

    const K key;
    const V value;
  };

  struct Place {
    detail::MapLink* before;  // where the key would be inserted, or the link before its node
    Node* node;               // null: the key is not there
  };

  // The map's table, pinned, and the key's stripe of it, locked; the caller unlocks it.
  class Section {
   public:
    Section(Map& map, std::uint64_t order) : pin_(map.domain_) {
      for (;;) {
        table_ = map.table();
        if (lock_stripe(map, order)) {
          return;
        }
      }
    }
    // If there is no table, neither is any key.
    Section(Map& map, std::uint64_t order, std::nullptr_t) : pin_(map.domain_) {
      do {
        table_ = map.table_.load(detail::kAcquire);  // [map.5] acquire, pairs with [map.6]
      } while (table_ != nullptr && !lock_stripe(map, order));
    }

    ~Section() {  // the stripe is unlocked by now
      if (HAMGAM_UNLIKELY(full_)) {
        table_->grow();
      }
    }
    Section(const Section&) = delete;
    Section& operator=(const Section&) = delete;

    [[nodiscard]] bool empty() const noexcept { return table_ == nullptr; }
    [[nodiscard]] Table& table() const noexcept { return *table_; }
    [[nodiscard]] Stripe& stripe() const noexcept { return *stripe_; }

    void insert(detail::MapLink& before, detail::MapLink& entry) noexcept {
      full_ = table_->insert(before, entry, *stripe_);
    }

   private:
    bool lock_stripe(Map& map, std::uint64_t order) HAMGAM_NO_THREAD_SAFETY_ANALYSIS {
      stripe_ = &table_->stripe_of(order);
      stripe_->mutex.lock();
      if (map.table_.load(detail::kRelaxed) == table_) {  // relaxed: clear() holds the mutex
        return true;
      }
      stripe_->mutex.unlock();
      return false;
    }

    detail::ReadDomain::Pin const pin_;
    Table* table_ = nullptr;
    Stripe* stripe_ = nullptr;
    bool full_ = false;
  };

  // Inserts the node at the end of the scope, but if that is left by an exception.
  class Commit {
   public:
    Commit(Section& section, detail::MapLink& before, std::unique_ptr<Node>& node) noexcept
        : section_(section), before_(before), node_(node) {}
    ~Commit() {
      if (std::uncaught_exceptions() == thrown_) {
        section_.insert(before_, *node_.release());
      }
    }
    Commit(const Commit&) = delete;
    Commit& operator=(const Commit&) = delete;

   private:
    Section& section_;
    detail::MapLink& before_;
    std::unique_ptr<Node>& node_;
    int const thrown_ = std::uncaught_exceptions();
  };

  [[nodiscard]] std::uint64_t order_of(const K& key) const {
    return Table::order_of(static_cast<std::uint64_t>(hash_(key)));
  }

  static const detail::MapLink* next(const detail::MapLink& link) noexcept {
    return link.next.load(detail::kAcquire);  // [map.3] acquire, pairs with [map.4]
  }

  // Whoever compares keys is not by that after whoever stored them, who reads a value is.
  [[nodiscard]] bool has_key(const Node& node, const K& key) const {
    detail::TsanHide const hide;
    return eq_(node.key, key);
  }
  static const V& value_of(const Node& node) noexcept {
    detail::tsan_acquire(&node);
    return node.value;
  }

  // With a pin.
  const Node* find(std::uint64_t order, const K& key) const {
    Table* const table = table_.load(detail::kAcquire);  // [map.5] acquire, pairs with [map.6]
    if (HAMGAM_UNLIKELY(table == nullptr)) {
      return nullptr;
    }
    const detail::MapLink* link = next(*table->bucket_for_reading(order));
    while (link->order < order) {
      link = next(*link);
    }
    for (; link->order == order; link = next(*link)) {
      const auto* node = static_cast<const Node*>(link);
      if (HAMGAM_LIKELY(has_key(*node, key))) {
        return node;
      }
    }
    return nullptr;
  }

  [[nodiscard]] bool is(std::uint64_t order, const K& key, const V& value) const {
    detail::ReadDomain::Pin const pin(domain_);
    const Node* node = find(order, key);
    return node != nullptr && value_of(*node) == value;
  }

  // Under the stripe's mutex.
  Place locate(const Section& section, std::uint64_t order, const K& key) const {
    detail::MapLink* before = section.table().bucket_for_writing(order);
    auto const after = [](const detail::MapLink* link) {
      return link->next.load(detail::kRelaxed);  // relaxed: under the mutex
    };
    detail::MapLink* link = after(before);
    for (; link->order < order; link = after(link)) {
      before = link;
    }
    detail::MapLink* const first = before;
    for (; link->order == order; link = after(link)) {
      auto* node = static_cast<Node*>(link);
      if (has_key(*node, key)) {
        return {before, node};
      }
      before = link;
    }
    return {first, nullptr};
  }

  // The node takes the key's place; look(former node) before that, if it had one.
  template <class Look>
  void put(std::unique_ptr<Node> node, Look look) {
    Node* former = nullptr;
    {
      std::uint64_t const order = node->order;
      Section section(*this, order);
      std::unique_lock const lock(section.stripe().mutex, std::adopt_lock);
      Place const place = locate(section, order, node->key);
      former = place.node;
      if (former != nullptr) {
        look(std::as_const(*former));
        Table::replace(*place.before, *former, *node.release());
      } else {
        section.insert(*place.before, *node.release());
      }
    }
    if (former != nullptr) {
      domain_.retire(former);
    }
  }

  // Removes the key if it is there and may(its node); whether it did.
  template <class May>
  bool remove(const K& key, May may) {
    std::uint64_t const order = order_of(key);
    Node* former = nullptr;
    {
      Section section(*this, order, nullptr);
      if (section.empty()) {
        return false;
      }
      std::unique_lock const lock(section.stripe().mutex, std::adopt_lock);
      Place const place = locate(section, order, key);
      if (place.node == nullptr || !may(std::as_const(*place.node))) {
        return false;
      }
      former = place.node;
      Table::erase(*place.before, *former, section.stripe());
    }
    domain_.retire(former);
    return true;
  }

  // The table, made if there is none; with a pin.
  Table* table() {
    Table* table = table_.load(detail::kAcquire);  // [map.5] acquire, pairs with [map.6]
    if (HAMGAM_UNLIKELY(table == nullptr)) {
      auto made = std::make_unique<Table>();
      // [map.6] acq_rel, pairs with [map.5]
      if (table_.compare_exchange_strong(table, made.get(), detail::kAcqRel, detail::kAcquire)) {
        table = made.release();
      }
    }
    return table;
  }

  static void destroy(detail::Retired* retired) noexcept {
    auto& entry = static_cast<detail::MapEntry&>(*retired);
    if ((entry.order & 1) != 0) {
      delete static_cast<Node*>(&entry);
      return;
    }
    auto* table = static_cast<Table*>(&entry);
    // All lists by turns: while one waits for memory the others go on.
    detail::MapLink* at[Table::kStripes];
    std::size_t lists = 0;
    // relaxed throughout: nobody else is here
    for (auto& stripe : table->stripes) {
      at[lists++] = stripe.head.next.load(detail::kRelaxed);
    }
    while (lists > 0) {
      for (std::size_t i = 0; i < lists;) {
        detail::MapLink* const link = at[i];
        if (link == &table->tail) {
          at[i] = at[--lists];
          continue;
        }
        detail::MapLink* const after = link->next.load(detail::kRelaxed);
        __builtin_prefetch(after, 1);
        at[i++] = after;
        if ((link->order & 1) != 0) {
          delete static_cast<Node*>(link);
        }
      }
    }
    delete table;
  }

  [[no_unique_address]] Hash hash_;
  [[no_unique_address]] Eq eq_;
  detail::atomic<Table*> table_{nullptr};
  mutable detail::ReadDomain domain_{&destroy};
};

}  // namespace hamgam::inline HAMGAM_ABI
