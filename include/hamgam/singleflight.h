// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// SingleFlight: many ask for the same thing at once, one of them fetches it, all get it.
//
//   SingleFlight<std::string, Page> flights;
//   Page page = flights.call(url, [&] { return download(url); }).value;
//
// From goroutines and plain threads alike. It is no cache: a call that begins after the flight has
// landed starts a new one. An exception from f goes to every caller of the flight; if f calls
// goexit(), so does every caller (on a plain thread: Panic). f may do anything, also forget() and
// change the key that its caller gave; a call() for its own key would wait for itself, for ever. An
// f that was given as an rvalue is moved and destroyed before any of the callers gets the result.
// What the hash and the comparison throw comes out of call() and forget(), and nothing was done.
// They, and the copying and destruction of keys, run under a lock: they must not use this object.
//
// Happens-before: the end of f is before the return of each call() that it serves. (One lock orders
// all calls of an object beyond that, also those for other keys, so ThreadSanitizer may overlook a
// race between their callers, as it does with Go's.)

#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <type_traits>
#include <unordered_map>
#include <utility>

#include "hamgam/detail/config.h"
#include "hamgam/detail/failure.h"
#include "hamgam/go.h"
#include "hamgam/mutex.h"
#include "hamgam/waitgroup.h"

namespace hamgam::inline HAMGAM_ABI {

template <class K, class V, class Hash = std::hash<K>, class Eq = std::equal_to<K>>
class SingleFlight {
  static_assert(std::is_copy_constructible_v<V>,
                "SingleFlight gives V to every caller: it is copied");

 public:
  // What a flight brought.
  struct Result {
    V value;
    bool shared;  // others got it too
  };

  SingleFlight() = default;
  SingleFlight(const SingleFlight&) = delete;
  SingleFlight& operator=(const SingleFlight&) = delete;

  // Runs f() -> V, unless a flight for the key is under way: then waits for that one's result.
  template <class F>
    requires std::is_invocable_r_v<V, F&>
  [[nodiscard]] Result call(const K& key, F&& f) {
    std::shared_ptr<Flight> flight;
    {
      std::unique_lock lock(mutex_);
      auto [place, is_new] = flights_.try_emplace(key);
      if (!is_new) {
        flight = place->second;
        flight->shared = true;
        lock.unlock();
        flight->landed.wait();
        return flight->result();
      }
      try {
        place->second = std::make_shared<Flight>(std::addressof(place->first));
      } catch (...) {
        flights_.erase(place);
        throw;
      }
      flight = place->second;
      flight->landed.add(1);
    }
    fly(*flight, std::forward<F>(f));
    return flight->result();
  }

  // The next call() for the key starts a new flight, even if one is under way.
  void forget(const K& key) {
    std::lock_guard const lock(mutex_);
    if (auto const place = flights_.find(key); place != flights_.end()) {
      place->second->key = nullptr;
      flights_.erase(place);
    }
  }

 private:
  // Thread safety: `shared` and `key` under mutex_ until landed, the rest is the flyer's; then
  // nobody writes.
  struct Flight {
    explicit Flight(const K* k) : key(k) {}

    WaitGroup landed;
    std::optional<V> value;
    detail::Failure failure;
    bool shared = false;
    const K* key;  // the table's own, which no f can change; null: forgotten

    Result result() {
      if (failure.exception != nullptr) {
        detail::rethrow(failure);
      }
      if (!value.has_value()) {
        goexit();
      }
      return Result{*value, shared};
    }
  };

  // Of an rvalue the flight has its own, which dies before it lands.
  template <class F>
  using Own = std::conditional_t<std::is_lvalue_reference_v<F> ||
                                     !std::is_move_constructible_v<std::remove_reference_t<F>>,
                                 std::remove_reference_t<F>&, std::remove_cvref_t<F>>;

  template <class F>
  void fly(Flight& flight, F&& f) {
    struct Landing {
      SingleFlight* group;
      Flight* flight;
      ~Landing() {
        group->take_out(*flight);
        flight->landed.done();  // the group may be gone after it
      }
    } const landing{this, &flight};
    try {
      Own<F> own(static_cast<std::conditional_t<std::is_reference_v<Own<F>>, Own<F>, F&&>>(f));
      flight.value.emplace(std::invoke(own));
    } catch (const detail::GoexitSignal&) {
      throw;
    }
    HAMGAM_CATCH_TRACE
    catch (...) {
      flight.failure = detail::current_failure();
    }
  }

  // If it was forgotten, it is out already, and another may be under way.
  void take_out(const Flight& flight) noexcept {
    std::lock_guard const lock(mutex_);
    if (flight.key == nullptr) {
      return;
    }
    auto place = flights_.end();
    try {
      place = flights_.find(*flight.key);
    } catch (...) {  // NOLINT(bugprone-empty-catch): what hashes or compares may throw
    }
    if (place == flights_.end() || place->second.get() != &flight) {
      place = flights_.begin();
      while (place->second.get() != &flight) {
        ++place;
      }
    }
    flights_.erase(place);
  }

  Mutex mutex_;
  std::unordered_map<K, std::shared_ptr<Flight>, Hash, Eq> flights_;
};

}  // namespace hamgam::inline HAMGAM_ABI
