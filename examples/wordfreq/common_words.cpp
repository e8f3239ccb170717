// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

#include "common_words.h"

#include <hamgam/once.h>

namespace wordfreq {
namespace {

using Set = std::unordered_set<std::string_view>;

// An apostrophe separates words: hence the "s" of "it's" and the "don" and "t" of "don't".
constexpr std::string_view kCommonWords =
    "a about above after again against all also although am among an and any are as at be because "
    "been before being below between both but by can cannot could d did do does doing don down "
    "during each either else ever every few for from further had has have having he her here hers "
    "herself him himself his how however i if in into is it its itself just ll m may me might more "
    "most must my myself neither no nor not of off on once only onto or other our ours ourselves "
    "out over own per re s same shall she should since so some such t than that the their theirs "
    "them themselves then there these they this those though through thus to too under unless "
    "until up upon us ve very was we were what when where whether which while who whom whose why "
    "will with within without would yet you your yours yourself yourselves";

Set split(std::string_view text) {
  Set words;
  while (!text.empty()) {
    const auto size = text.find(' ');
    words.insert(text.substr(0, size));
    text.remove_prefix(size == text.npos ? text.size() : size + 1);
  }
  return words;
}

}  // namespace

const Set& common_words() {
  static const auto words = hamgam::once_value([] { return split(kCommonWords); });
  return words();
}

}  // namespace wordfreq
