// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "os/valgrind.h"

#include <cstdint>

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

// From valgrind.h; they are part of its stable interface.
enum Request : std::uint64_t {
  kRunningOnValgrind = 0x1001,
  kStackRegister = 0x1501,
  kStackDeregister = 0x1502,
};

// 0 outside Valgrind.
[[maybe_unused]] std::uint64_t ask([[maybe_unused]] Request request,
                                   [[maybe_unused]] std::uint64_t first = 0,
                                   [[maybe_unused]] std::uint64_t second = 0) noexcept {
  std::uint64_t answer = 0;
  [[maybe_unused]] std::uint64_t const volatile words[6] = {request, first, second, 0, 0, 0};
#if defined(__x86_64__)
  asm volatile(
      "rolq $3, %%rdi\n\t"
      "rolq $13, %%rdi\n\t"
      "rolq $61, %%rdi\n\t"
      "rolq $51, %%rdi\n\t"
      "xchgq %%rbx, %%rbx"
      : "+d"(answer)
      : "a"(&words[0])
      : "cc", "memory");
#elif defined(__aarch64__)
  register std::uint64_t result asm("x3") = answer;
  register const volatile std::uint64_t* arguments asm("x4") = &words[0];
  asm volatile(
      "ror x12, x12, #3\n\t"
      "ror x12, x12, #13\n\t"
      "ror x12, x12, #51\n\t"
      "ror x12, x12, #61\n\t"
      "orr x10, x10, x10"
      : "+r"(result)
      : "r"(arguments)
      : "cc", "memory");
  answer = result;
#endif
  return answer;
}

std::uint64_t address_of(const void* at) noexcept { return reinterpret_cast<std::uintptr_t>(at); }

}  // namespace

bool running_on_valgrind() noexcept {
  static const bool kRunning = ask(kRunningOnValgrind) != 0;
  return kRunning;
}

unsigned long register_stack(const void* bottom, const void* top) noexcept {
  return running_on_valgrind() ? ask(kStackRegister, address_of(bottom), address_of(top)) : 0;
}

void forget_stack(unsigned long id) noexcept {
  if (running_on_valgrind()) {
    (void)ask(kStackDeregister, id);
  }
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
