// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Reads profiles in the form of github.com/google/pprof/proto/profile.proto, not compressed.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "support/wire.h"

namespace hamgam::test {

struct PprofSample {
  std::vector<std::string> functions;  // innermost first
  std::vector<std::int64_t> values;
  std::map<std::string, std::string> labels;

  [[nodiscard]] bool has(std::string_view function) const {
    return std::any_of(functions.begin(), functions.end(), [function](const auto& one) {
      return one.find(function) != std::string::npos;
    });
  }
};

struct Pprof {
  std::vector<std::string> types;  // "delay/nanoseconds"
  std::vector<PprofSample> samples;
  std::size_t mappings = 0;

  // The sum of a value over the samples in whose stack that is; by label, if one is given.
  [[nodiscard]] std::int64_t sum(std::size_t value, std::string_view function,
                                 std::string_view label = {}) const {
    std::int64_t all = 0;
    for (const PprofSample& sample : samples) {
      auto const found = sample.labels.find("wait");
      if (sample.has(function) &&
          (label.empty() || (found != sample.labels.end() && found->second == label))) {
        all += sample.values.at(value);
      }
    }
    return all;
  }
};

namespace internal {

inline std::vector<std::uint64_t> packed(std::string_view rest) {
  std::vector<std::uint64_t> all;
  while (!rest.empty()) {
    all.push_back(take_varint(rest));
  }
  return all;
}

}  // namespace internal

inline Pprof read_pprof(const std::string& text) {
  using namespace internal;
  std::vector<std::string> strings;
  std::map<std::uint64_t, std::string> functions;  // by id
  std::map<std::uint64_t, std::string> locations;
  std::vector<WireField> const all = fields_of(text);
  for (const WireField& field : all) {
    if (field.number == 6) {
      strings.emplace_back(field.bytes);
    }
  }
  EXPECT_FALSE(strings.empty());
  EXPECT_EQ(strings.at(0), "");
  for (const WireField& field : all) {
    if (field.number == 5) {
      functions[number_in(field.bytes, 1)] = strings.at(number_in(field.bytes, 2));
    }
  }
  Pprof profile;
  for (const WireField& field : all) {
    if (field.number == 3) {
      ++profile.mappings;
    } else if (field.number == 4) {
      for (const WireField& line : fields_of(field.bytes)) {
        if (line.number == 4) {
          locations[number_in(field.bytes, 1)] = functions.at(number_in(line.bytes, 1));
        }
      }
    }
  }
  for (const WireField& field : all) {
    if (field.number == 1) {
      profile.types.push_back(strings.at(number_in(field.bytes, 1)) + "/" +
                              strings.at(number_in(field.bytes, 2)));
    } else if (field.number == 2) {
      PprofSample sample;
      for (const WireField& part : fields_of(field.bytes)) {
        if (part.number == 1) {
          for (std::uint64_t const id : packed(part.bytes)) {
            sample.functions.push_back(locations.at(id));
          }
        } else if (part.number == 2) {
          for (std::uint64_t const value : packed(part.bytes)) {
            sample.values.push_back(static_cast<std::int64_t>(value));
          }
        } else if (part.number == 3) {
          sample.labels[strings.at(number_in(part.bytes, 1))] =
              strings.at(number_in(part.bytes, 2));
        }
      }
      profile.samples.push_back(std::move(sample));
    }
  }
  return profile;
}

}  // namespace hamgam::test
