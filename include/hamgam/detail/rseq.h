// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// Restartable sequences: a few instructions that the kernel runs again from elsewhere if it
// interrupts them. One is used here: "if the word is `expected`, store `desired`", as a compare and
// a plain store instead of a locked read-modify-write (3 ns). The store may still be on its way
// when another thread looks; whoever depends on that calls rseq_barrier() (src/os/membarrier.h)
// first.

#include <cstddef>
#include <cstdint>

#include "hamgam/detail/atomic.h"
#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

#if defined(__x86_64__) && !defined(HAMGAM_TSAN) && !defined(HAMGAM_ASAN)

inline constexpr bool kRestartable = true;

// Where the C library keeps the thread's rseq area, from the thread pointer. 0: sequences can't be
// used, because the kernel, its barrier or the registration is missing.
HAMGAM_API extern std::ptrdiff_t rseq_offset;

// In the descriptor's kernel words 0x53053053 before the abort handler is a signature; the bytes
// before that make it an instruction to disassemblers (ud1). The area's rseq_cs (+ 8) says which
// sequence we are in. It is cleared at the end, as the descriptor may be in a library that is
// unloaded one day.
#define HAMGAM_STORE_IF_EQUAL(suffix)                                                             \
  asm goto(                                                                                       \
      ".pushsection __rseq_cs, \"aw?\"\n\t"                                                       \
      ".balign 32\n"                                                                              \
      "3:\n\t"                                                                                    \
      ".long 0, 0\n\t"                                                                            \
      ".quad 1f, 2f - 1f, 4f\n\t"                                                                 \
      ".popsection\n\t"                                                                           \
      "leaq 3b(%%rip), %%rax\n\t"                                                                 \
      "movq %%rax, %%fs:8(%[area])\n"                                                             \
      "1:\n\t"                                                                                    \
      "cmp" suffix                                                                                \
      " %[expected], %[word]\n\t"                                                                 \
      "jne 5f\n\t"                                                                                \
      "mov" suffix                                                                                \
      " %[desired], %[word]\n"                                                                    \
      "2:\n\t"                                                                                    \
      "movq $0, %%fs:8(%[area])\n\t"                                                              \
      ".pushsection __rseq_failure, \"ax?\"\n\t"                                                  \
      ".byte 0x0f, 0xb9, 0x3d\n\t"                                                                \
      ".long 0x53053053\n"                                                                        \
      "4:\n\t"                                                                                    \
      "jmp 5f\n"                                                                                  \
      "5:\n\t"                                                                                    \
      "movq $0, %%fs:8(%[area])\n\t"                                                              \
      "jmp %l[failed]\n\t"                                                                        \
      ".popsection\n\t"                                                                           \
      :                                                                                           \
      :                                                                                           \
      [area] "r"(rseq_offset), [word] "m"(word), [expected] "r"(expected), [desired] "r"(desired) \
      : "rax", "memory", "cc"                                                                     \
      : failed)

// Only if rseq_offset is not 0. False: nothing was stored, because the word differs or we were
// interrupted. A release.
HAMGAM_INLINE bool store_if_equal(atomic<std::uint32_t>& word, std::uint32_t expected,
                                  std::uint32_t desired) noexcept {
  HAMGAM_STORE_IF_EQUAL("l");
  return true;
failed:
  return false;
}

HAMGAM_INLINE bool store_if_equal(atomic<std::uint64_t>& word, std::uint64_t expected,
                                  std::uint64_t desired) noexcept {
  HAMGAM_STORE_IF_EQUAL("q");
  return true;
failed:
  return false;
}

#undef HAMGAM_STORE_IF_EQUAL

#else

inline constexpr bool kRestartable = false;
inline constexpr std::ptrdiff_t rseq_offset = 0;

template <class T>
bool store_if_equal(atomic<T>& /*word*/, T /*expected*/, T /*desired*/) noexcept {
  return false;
}

#endif

}  // namespace hamgam::inline HAMGAM_ABI::detail
