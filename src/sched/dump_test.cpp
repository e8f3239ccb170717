// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "sched/dump.h"

#include <gtest/gtest.h>

#include "hamgam/go.h"

namespace hamgam {
namespace {

using detail::Symbols;

struct Call {
  void operator()() const {}
};

template <class F>
Symbols::Place place_of(F* function) {
  Symbols symbols;
  return symbols.at(reinterpret_cast<const void*>(function));
}

// The compiler may have put its code into the library's, as at -O2: a stack of nothing but that was
// empty. Not all that is in the outer namespace is the library's.
TEST(Symbols, instances_for_what_is_beside_the_library) {
  Symbols::Place const place = place_of(&detail::invoke_closure<Call>);
  EXPECT_EQ(place.owner, Symbols::kBoth) << place.function;
}

TEST(Symbols, instances_for_the_librarys_own) {
  Symbols::Place const place = place_of(&detail::invoke_closure<void (*)()>);
  EXPECT_EQ(place.owner, Symbols::kBoth) << place.function;
  Symbols::Place const own = place_of(&detail::write_snapshot);
  EXPECT_EQ(own.owner, Symbols::kLibrary) << own.function;
}

}  // namespace
}  // namespace hamgam
