// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <unistd.h>

#include <csignal>
#include <cstring>

#include "os/memory.h"
#include "os/signals.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constexpr std::size_t kSignalStack = 64 * 1024;

FaultHook g_hook = nullptr;
struct sigaction g_former_segv;
struct sigaction g_former_bus;

void on_fault(int signal, siginfo_t* info, void* context) {
  g_hook(info->si_addr);
  const struct sigaction& former = signal == SIGBUS ? g_former_bus : g_former_segv;
  if ((former.sa_flags & SA_SIGINFO) != 0) {
    former.sa_sigaction(signal, info, context);
  } else if (former.sa_handler != SIG_DFL && former.sa_handler != SIG_IGN) {
    former.sa_handler(signal);
  } else {
    std::signal(signal, SIG_DFL);  // returning runs the faulting instruction again, which now kills
  }
}

}  // namespace

void install_fault_hook(FaultHook hook) noexcept {
  g_hook = hook;
  struct sigaction action {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigemptyset(&action.sa_mask);
  sigaction(SIGSEGV, &action, &g_former_segv);
  sigaction(SIGBUS, &action, &g_former_bus);
}

void give_signal_stack() noexcept {
  stack_t current{};
  if (sigaltstack(nullptr, &current) == 0 && (current.ss_flags & SS_DISABLE) == 0) {
    return;
  }
  stack_t fresh{};
  fresh.ss_sp = reserve_memory(kSignalStack);
  fresh.ss_size = kSignalStack;
  if (fresh.ss_sp != nullptr) {
    sigaltstack(&fresh, nullptr);
  }
}

void write_error(const char* text) noexcept {
  [[maybe_unused]] auto const written = write(STDERR_FILENO, text, std::strlen(text));
}

void write_error(unsigned long long number) noexcept {
  char digits[24];
  char* at = digits + sizeof digits;
  *--at = '\0';
  do {
    *--at = static_cast<char>('0' + number % 10);
    number /= 10;
  } while (number != 0);
  write_error(at);
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
