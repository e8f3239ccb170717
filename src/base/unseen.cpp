// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/detail/atomic.h"

// The atomics of inline functions where ThreadSanitizer must not see them. By the compiler's own
// functions: std::atomic's are inline, so the linker might take those that stand in the user's
// instrumented objects.

#if HAMGAM_TSAN_USER

extern "C" const char hamgam_tsan_suppressions[];

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

// Every program has the functions of this file, and so that one, too (tsan_suppressions.cpp).
[[gnu::used]] const char* const kSuppressions = hamgam_tsan_suppressions;

// The words have other types where they are declared.
template <class Word>
struct Any {
  using Type __attribute__((may_alias)) = Word;
};

template <class Word>
typename Any<Word>::Type* any(void* word) noexcept {
  return static_cast<typename Any<Word>::Type*>(word);
}

}  // namespace

template <class Word>
Word Unseen<Word>::load(const void* word) noexcept {
  return __atomic_load_n(static_cast<const typename Any<Word>::Type*>(word), __ATOMIC_SEQ_CST);
}

template <class Word>
void Unseen<Word>::store(void* word, Word value) noexcept {
  __atomic_store_n(any<Word>(word), value, __ATOMIC_SEQ_CST);
}

template <class Word>
Word Unseen<Word>::exchange(void* word, Word value) noexcept {
  return __atomic_exchange_n(any<Word>(word), value, __ATOMIC_SEQ_CST);
}

template <class Word>
bool Unseen<Word>::compare_exchange(void* word, Word& expected, Word desired) noexcept {
  return __atomic_compare_exchange_n(any<Word>(word), &expected, desired, false, __ATOMIC_SEQ_CST,
                                     __ATOMIC_SEQ_CST);
}

template <class Word>
Word Unseen<Word>::add(void* word, Word value) noexcept {
  return __atomic_fetch_add(any<Word>(word), value, __ATOMIC_SEQ_CST);
}

template <class Word>
Word Unseen<Word>::bit_and(void* word, Word value) noexcept {
  return __atomic_fetch_and(any<Word>(word), value, __ATOMIC_SEQ_CST);
}

template <class Word>
Word Unseen<Word>::bit_or(void* word, Word value) noexcept {
  return __atomic_fetch_or(any<Word>(word), value, __ATOMIC_SEQ_CST);
}

template struct HAMGAM_API Unseen<std::uint8_t>;
template struct HAMGAM_API Unseen<std::uint32_t>;
template struct HAMGAM_API Unseen<std::uint64_t>;

}  // namespace hamgam::inline HAMGAM_ABI::detail

#endif
