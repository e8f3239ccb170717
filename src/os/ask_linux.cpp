// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <dlfcn.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <initializer_list>

#include "hamgam/detail/atomic.h"
#include "os/ask.h"

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

constinit atomic<Asked> g_asked{nullptr};

const void* stack_of([[maybe_unused]] const void* context) noexcept {
#if defined(__x86_64__)
  auto const& registers = static_cast<const ucontext_t*>(context)->uc_mcontext.gregs;
  return reinterpret_cast<const void*>(registers[REG_RSP]);
#elif defined(__aarch64__)
  return reinterpret_cast<const void*>(static_cast<const ucontext_t*>(context)->uc_mcontext.sp);
#else
  return nullptr;
#endif
}

void on_urgent(int /*signal*/, siginfo_t* /*info*/, void* context) {
  int const saved = errno;
  g_asked.load(kRelaxed)(stack_of(context));  // relaxed: set before the handler was
  errno = saved;
}

}  // namespace

bool may_ask_threads(Asked asked) noexcept {
  struct sigaction now {};
  if (sigaction(SIGURG, nullptr, &now) != 0) {
    return false;
  }
  if ((now.sa_flags & SA_SIGINFO) != 0) {
    return now.sa_sigaction == on_urgent;
  }
  if (now.sa_handler != SIG_DFL && now.sa_handler != SIG_IGN) {
    return false;
  }
  g_asked.store(asked, kRelaxed);  // relaxed: the next call publishes it
  struct sigaction action {};
  action.sa_sigaction = on_urgent;
  action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
  sigfillset(&action.sa_mask);
  for (int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS}) {
    sigdelset(&action.sa_mask, fault);  // the walk may strike one
  }
  return sigaction(SIGURG, &action, nullptr) == 0;
}

// By _dl_find_object, since glibc 2.35 and GCC 12. Without it there is the loader's lock, whose
// holder may wait, in a constructor of a library that is loaded, for the very thread that is asked.
// A program that is linked statically registers its tables by itself, which GCC 12's unwinder finds
// under a lock of its own. (So it does with those of a just-in-time compiler, if there are any: its
// code must not throw exceptions while it is asked. GCC 13's takes no lock any more.)
bool can_unwind_in_handlers() noexcept {
#if defined(DLFO_STRUCT_HAS_EH_DBASE) && (defined(__clang__) || __GNUC__ >= 12)
  return getauxval(AT_BASE) != 0;
#else
  return false;
#endif
}

bool ask_thread(int id) noexcept {
  int const saved = errno;
  bool const sent = id > 0 && syscall(SYS_tgkill, getpid(), id, SIGURG) == 0;
  errno = saved;
  return sent;
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
