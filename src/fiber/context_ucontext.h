// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#pragma once

// The portable fallback: POSIX ucontext. Two system calls a switch: one to take the signal mask
// from thread to context, which would else be the one that was there when the context was made or
// left.

#include <pthread.h>
#include <ucontext.h>

#include <csignal>
#include <cstdint>

#include "hamgam/detail/config.h"

namespace hamgam::inline HAMGAM_ABI::detail {

struct Context {
  ucontext_t registers;
  void* passed = nullptr;
  atomic<bool> saved{false};
  atomic<bool> held{false};
};

inline constexpr bool kTellsWhenSaved = false;
#if defined(__x86_64__)
constexpr std::size_t saved_at(int number) noexcept {
  return offsetof(Context, registers) + offsetof(ucontext_t, uc_mcontext.gregs) +
         static_cast<std::size_t>(number) * sizeof(greg_t);
}
inline constexpr SavedRegister kSavedRegisters[] = {
    {"rsp", saved_at(REG_RSP)}, {"rip", saved_at(REG_RIP)}, {"rbp", saved_at(REG_RBP)},
    {"rbx", saved_at(REG_RBX)}, {"r12", saved_at(REG_R12)}, {"r13", saved_at(REG_R13)},
    {"r14", saved_at(REG_R14)}, {"r15", saved_at(REG_R15)}};
#else
inline constexpr SavedRegister kSavedRegisters[] = {{"", 0}};  // no debugger knows how
#endif
inline constexpr std::size_t kResumeBytes = 0;

inline char* stack_pointer_of(const Context& /*context*/) noexcept { return nullptr; }
inline char* frame_pointer_of(const Context& /*context*/) noexcept { return nullptr; }

inline void start_ucontext(unsigned high, unsigned low) {
  auto* context = reinterpret_cast<Context*>(static_cast<std::uintptr_t>(high) << 32 | low);
  hamgam_fiber_entry(context->passed);
}

inline void prepare_context(Context& context, void* stack_bottom, void* stack_top) noexcept {
  getcontext(&context.registers);
  context.registers.uc_stack.ss_sp = stack_bottom;
  context.registers.uc_stack.ss_size =
      static_cast<std::size_t>(static_cast<char*>(stack_top) - static_cast<char*>(stack_bottom));
  context.registers.uc_link = nullptr;
  auto const address = reinterpret_cast<std::uintptr_t>(&context);
  makecontext(&context.registers, reinterpret_cast<void (*)()>(&start_ucontext), 2,
              static_cast<unsigned>(address >> 32), static_cast<unsigned>(address));
}

template <bool kEnding>
void* switch_context(Context& from, Context& to, void* pass) noexcept {
  to.passed = pass;
  pthread_sigmask(SIG_SETMASK, nullptr, &to.registers.uc_sigmask);
  swapcontext(&from.registers, &to.registers);
  return from.passed;
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
