// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// The words that say nothing about what an English text is about.
#pragma once

#include <string_view>
#include <unordered_set>

namespace wordfreq {

// Articles, pronouns, prepositions, conjunctions and the like, as words.h folds and cuts them.
[[nodiscard]] const std::unordered_set<std::string_view>& common_words();

}  // namespace wordfreq
