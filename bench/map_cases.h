// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// The cases of maps, for any library's type; rivals/go/mapcases and rivals/rust_harness/src/maps.rs
// do the same. Values are integers. Each library hashes as it does if nothing else is said:
// std::hash leaves integers as they are, Map and TBB mix them, dashmap and papaya take SipHash.
//
//   Map/grow_K_N        store of a new key; after N of them the map is destroyed and another begun
//   Map/mix_K_N_R       R % of the operations load a key, the others store one; all N are there
//   Map/erase_K_N_R     R % load, the others store or erase by turns; half of 2 N keys are there
//
// K: `seq` keys counted up (where std::hash is the identity its tables are walked in order), `int`
// scattered integers, `str` strings of 25 characters; `zipf` scattered integers, the n-th of which
// is asked for in proportion to 1/n. Those of 10M keys are behind --big.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "harness/case.h"

namespace bench {

inline std::uint64_t scatter(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
  return x ^ (x >> 31);
}

enum class Keys { kSeq, kInt, kStr, kZipf };

// The keys of a case: the same in every language.
template <Keys kKind>
class KeySet {
 public:
  using Key = std::conditional_t<kKind == Keys::kStr, std::string, std::int64_t>;

  explicit KeySet(std::int64_t count) {
    if constexpr (kKind == Keys::kStr) {
      keys_.reserve(static_cast<std::size_t>(count));
      for (std::int64_t i = 0; i < count; ++i) keys_.push_back(text(i));
    } else if constexpr (kKind == Keys::kZipf) {
      draw(count);
    }
  }

  decltype(auto) operator[](std::int64_t i) const {
    if constexpr (kKind == Keys::kStr) {
      return static_cast<const std::string&>(keys_[static_cast<std::size_t>(i)]);
    } else {
      return kKind == Keys::kSeq
                 ? i
                 : static_cast<std::int64_t>(scatter(static_cast<std::uint64_t>(i)) >> 1);
    }
  }
  // Which key is asked for, by a random number.
  std::int64_t choose(std::uint64_t random, std::int64_t count) const {
    if constexpr (kKind == Keys::kZipf) {
      return drawn_[random >> 48];
    } else {
      return static_cast<std::int64_t>((random >> 32) * static_cast<std::uint64_t>(count) >> 32);
    }
  }

 private:
  static std::string text(std::int64_t i) {
    std::string digits = std::to_string(scatter(static_cast<std::uint64_t>(i)) >> 1);
    return "user:" + std::string(20 - std::min<std::size_t>(20, digits.size()), '0') + digits;
  }
  void draw(std::int64_t count) {
    std::vector<double> upto(static_cast<std::size_t>(count));
    double sum = 0;
    for (std::size_t i = 0; i < upto.size(); ++i) upto[i] = sum += 1 / static_cast<double>(i + 1);
    drawn_.resize(1 << 16);
    for (std::size_t i = 0; i < drawn_.size(); ++i) {
      const double at = static_cast<double>(scatter(i) >> 11) * 0x1p-53 * sum;
      drawn_[i] = std::min<std::int64_t>(
          count - 1, std::upper_bound(upto.begin(), upto.end(), at) - upto.begin());
    }
  }

  std::vector<std::string> keys_;
  std::vector<std::int64_t> drawn_;
};

// M<Key> has load(key) -> bool, store(key, value), erase(key). W has in(workers, f), which calls f
// with `workers` goroutines or threads at once, and enter(workers, f), which surrounds all.
template <template <class> class M, class W, Keys kKind, int kCount>
void map_grow(int workers, std::int64_t n) {
  W::enter(workers, [=] {
    static const KeySet<kKind> keys(kCount);
    for (std::int64_t left = n; left > 0; left -= kCount) {
      M<typename KeySet<kKind>::Key> map;
      const std::int64_t count = std::min<std::int64_t>(left, kCount);
      Share share(count);
      std::atomic<std::int64_t> next{0};
      W::in(workers, [&] {
        while (const std::int64_t take = share.take()) {
          std::int64_t i = next.fetch_add(take);
          for (const std::int64_t end = i + take; i < end; ++i) map.store(keys[i], i);
        }
      });
    }
  });
}

template <template <class> class M, class W, Keys kKind, int kCount, int kReads, bool kErase>
void map_mix(int workers, std::int64_t n) {
  W::enter(workers, [=] {
    constexpr std::int64_t kKeys = kErase ? 2 * kCount : kCount;
    static const KeySet<kKind> keys(kKeys);
    // Filling a large one takes longer than the case: it is kept.
    static std::unique_ptr<M<typename KeySet<kKind>::Key>> kept;
    if (kept == nullptr) {
      kept = std::make_unique<M<typename KeySet<kKind>::Key>>();
      for (std::int64_t i = 0; i < kKeys; i += kErase ? 2 : 1) kept->store(keys[i], i);
    }
    auto& map = *kept;
    Share share(n);
    std::atomic<std::int64_t> found{0};
    std::atomic<std::uint64_t> seeds{0};
    W::in(workers, [&] {
      std::uint64_t x = scatter(++seeds) | 1;
      std::int64_t mine = 0;
      bool turn = false;
      while (const std::int64_t count = share.take()) {
        for (std::int64_t i = 0; i < count; ++i) {
          x ^= x << 13;
          x ^= x >> 7;
          x ^= x << 17;
          const auto& key = keys[keys.choose(x * 0x9E3779B97F4A7C15U, kKeys)];
          if (static_cast<std::int64_t>((x & 0xFFFF) * 100 >> 16) < kReads) {
            mine += map.load(key) ? 1 : 0;
          } else if (kErase && (turn = !turn)) {
            map.erase(key);
          } else {
            map.store(key, i);
          }
        }
      }
      found += mine;
    });
  });
}

template <template <class> class M, class W>
struct MapMatrix {
  template <Keys kKind, int kCount>
  static constexpr Op grow = map_grow<M, W, kKind, kCount>;
  template <Keys kKind, int kCount, int kReads>
  static constexpr Op mix = map_mix<M, W, kKind, kCount, kReads, false>;
  template <Keys kKind, int kCount, int kReads>
  static constexpr Op erase = map_mix<M, W, kKind, kCount, kReads, true>;
  static constexpr int kSmall = 1000;
  static constexpr int kMiddle = 1'000'000;
  static constexpr int kLarge = 10'000'000;

  Case cases[21]{
      {"Map/grow_seq_1k", {1, 2}, grow<Keys::kSeq, kSmall>},
      {"Map/grow_int_1k", {1, 2}, grow<Keys::kInt, kSmall>},
      {"Map/grow_seq_1M", {1, 2}, grow<Keys::kSeq, kMiddle>},
      {"Map/grow_int_1M", {1, 2}, grow<Keys::kInt, kMiddle>},
      {"Map/grow_str_1k", {1, 2}, grow<Keys::kStr, kSmall>},
      {"Map/mix_seq_1k_95", {1, 2}, mix<Keys::kSeq, kSmall, 95>},
      {"Map/mix_int_1k_100", {1, 2}, mix<Keys::kInt, kSmall, 100>},
      {"Map/mix_int_1k_95", {1, 2}, mix<Keys::kInt, kSmall, 95>},
      {"Map/mix_int_1k_50", {1, 2}, mix<Keys::kInt, kSmall, 50>},
      {"Map/mix_int_1k_0", {1, 2}, mix<Keys::kInt, kSmall, 0>},
      {"Map/mix_zipf_1k_95", {1, 2}, mix<Keys::kZipf, kSmall, 95>},
      {"Map/mix_zipf_1k_50", {1, 2}, mix<Keys::kZipf, kSmall, 50>},
      {"Map/mix_str_1k_95", {1, 2}, mix<Keys::kStr, kSmall, 95>},
      {"Map/mix_str_1k_50", {1, 2}, mix<Keys::kStr, kSmall, 50>},
      {"Map/erase_int_1k_95", {1, 2}, erase<Keys::kInt, kSmall, 95>},
      {"Map/erase_int_1k_50", {1, 2}, erase<Keys::kInt, kSmall, 50>},
      {"Map/erase_int_1k_0", {1, 2}, erase<Keys::kInt, kSmall, 0>},
      {"Map/grow_int_10M", kBig, {1, 2}, grow<Keys::kInt, kLarge>},
      {"Map/mix_int_10M_95", kBig, {1, 2}, mix<Keys::kInt, kLarge, 95>},
      {"Map/mix_int_10M_50", kBig, {1, 2}, mix<Keys::kInt, kLarge, 50>},
      {"Map/erase_int_10M_50", kBig, {1, 2}, erase<Keys::kInt, kLarge, 50>},
  };
};

}  // namespace bench
