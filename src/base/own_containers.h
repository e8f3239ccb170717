// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Containers that live in own memory (own_memory.h).

#include <cstddef>
#include <cstdlib>
#include <deque>
#include <functional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/own_memory.h"
#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

// For containers; of types that need no alignment beyond the usual.
template <class T>
struct OwnMemory {
  using value_type = T;
  OwnMemory() noexcept = default;
  template <class U>
  OwnMemory(const OwnMemory<U>& /*other*/) noexcept {}  // NOLINT(google-explicit-constructor)
  T* allocate(std::size_t n) {
    static_assert(alignof(T) <= alignof(std::max_align_t));
    // NOLINTNEXTLINE(bugprone-sizeof-expression): T may be a pointer
    return static_cast<T*>(take_own_memory(n * sizeof(T)));
  }
  void deallocate(T* memory, std::size_t /*n*/) noexcept { std::free(memory); }
  template <class U>
  bool operator==(const OwnMemory<U>& /*other*/) const noexcept {
    return true;
  }
};

template <class T>
using OwnVector = std::vector<T, OwnMemory<T>>;
using OwnString = std::basic_string<char, std::char_traits<char>, OwnMemory<char>>;
template <class T>
using OwnDeque = std::deque<T, OwnMemory<T>>;
template <class K>
using OwnSet = std::unordered_set<K, std::hash<K>, std::equal_to<K>, OwnMemory<K>>;
template <class K, class V>
using OwnMap =
    std::unordered_map<K, V, std::hash<K>, std::equal_to<K>, OwnMemory<std::pair<const K, V>>>;

}  // namespace hamgam::inline HAMGAM_ABI::detail
