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
// goexit(), so does every caller (on a plain thread: Panic).
//
// Happens-before: the end of f is before the return of each call() that it serves.

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
        place->second = std::make_shared<Flight>();
      } catch (...) {
        flights_.erase(place);
        throw;
      }
      flight = place->second;
      flight->landed.add(1);
    }
    fly(key, *flight, f);
    return flight->result();
  }

  // The next call() for the key starts a new flight, even if one is under way.
  void forget(const K& key) {
    std::lock_guard const lock(mutex_);
    flights_.erase(key);
  }

 private:
  // Thread safety: `shared` under mutex_ until landed, the rest is the flyer's; then nobody writes.
  struct Flight {
    WaitGroup landed;
    std::optional<V> value;
    detail::Failure failure;
    bool shared = false;

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

  template <class F>
  void fly(const K& key, Flight& flight, F& f) {
    struct Landing {
      SingleFlight* group;
      const K* key;
      Flight* flight;
      ~Landing() {
        {
          std::lock_guard const lock(group->mutex_);
          // It may have been forgotten, and another be under way.
          auto const place = group->flights_.find(*key);
          if (place != group->flights_.end() && place->second.get() == flight) {
            group->flights_.erase(place);
          }
        }
        flight->landed.done();
      }
    } const landing{this, std::addressof(key), &flight};
    try {
      flight.value.emplace(std::invoke(f));
    } catch (const detail::GoexitSignal&) {
      throw;
    }
    HAMGAM_CATCH_TRACE
    catch (...) {
      flight.failure = detail::current_failure();
    }
  }

  Mutex mutex_;
  std::unordered_map<K, std::shared_ptr<Flight>, Hash, Eq> flights_;
};

}  // namespace hamgam::inline HAMGAM_ABI
