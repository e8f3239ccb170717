// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <new>

#include "base/own_memory.h"
#include "hamgam/detail/atomic.h"
#include "os/clock.h"
#include "os/signals.h"
#include "os/thread.h"
#include "os/valgrind.h"

#if HAMGAM_TSAN_USER
extern "C" void AnnotateBenignRaceSized(const char* file, int line, void* start, std::size_t size,
                                        const char* description);
#endif

namespace hamgam::inline HAMGAM_ABI::detail {

namespace {

struct Start : InOwnMemory {
  const char* name;
  void (*entry)(void*);
  void* argument;
  Signals signals;
};

void* thread_main(void* raw) {
  std::unique_ptr<Start> start(static_cast<Start*>(raw));
  Start const s = *start;
  start.reset();
  pthread_setname_np(pthread_self(), s.name);
  prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);  // deadlines are meant to the microsecond
  bool const told = s.signals == Signals::kPrograms && running_on_valgrind();
  unsigned long id = 0;
  if (told) {  // it may leave its stack
    const void* bottom = nullptr;
    std::size_t size = 0;
    find_thread_stack(bottom, size);
    id = register_stack(bottom, static_cast<const char*>(bottom) + size - 1);
  }
  s.entry(s.argument);
  if (told) {
    forget_stack(id);
  }
  drop_signal_stack();
  return nullptr;
}

// Kept at the first start, on a thread of the program: later ones may come from threads of ours, or
// while somebody blocks signals for a moment.
const sigset_t& signal_mask_of_program() noexcept {
  static const sigset_t kMask = [] {
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    sigdelset(&mask, SIGURG);
    return mask;
  }();
  return kMask;
}

sigset_t all_but_faults() noexcept {
  sigset_t mask;
  sigfillset(&mask);
  for (int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS, SIGPROF}) {
    sigdelset(&mask, fault);
  }
  return mask;
}

struct FileCloser {
  void operator()(std::FILE* file) const noexcept { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, FileCloser>;

// CPUs that a cgroup v2 directory grants: "max 100000" or "150000 100000"; INT_MAX: no limit.
int quota_of(const char* directory) noexcept {
  char path[PATH_MAX];
  std::snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", directory);
  File file(std::fopen(path, "re"));
  long long quota = 0;
  long long period = 0;
  if (file == nullptr || std::fscanf(file.get(), "%lld %lld", &quota, &period) != 2 || quota <= 0 ||
      period <= 0) {
    return INT_MAX;
  }
  return static_cast<int>(std::min<long long>((quota + period - 1) / period, INT_MAX));
}

// The smallest quota on the way from this process's cgroup up to the root.
int cgroup_cpus() noexcept {
  File file(std::fopen("/proc/self/cgroup", "re"));
  char line[PATH_MAX];
  while (file != nullptr && std::fgets(line, sizeof line, file.get()) != nullptr) {
    if (std::strncmp(line, "0::", 3) != 0) {
      continue;
    }
    char* directory = line + 3;
    directory[std::strcspn(directory, "\n")] = '\0';
    int cpus = quota_of(directory);
    while (char* slash = std::strrchr(directory, '/')) {
      *slash = '\0';
      cpus = std::min(cpus, quota_of(directory));
    }
    return cpus;
  }
  return INT_MAX;
}

}  // namespace

bool start_thread(const char* name, void (*entry)(void*), void* argument,
                  Signals signals) noexcept {
  // Whoever happens to start it is not by that before what runs there.
  TsanHide const hide;
  TsanNoEdges const no_edges;
  std::unique_ptr<Start> start(new (std::nothrow) Start{{}, name, entry, argument, signals});
  if (start == nullptr) {
    return false;
  }
  sigset_t const programs = signal_mask_of_program();
  sigset_t const mask = signals == Signals::kPrograms ? programs : all_but_faults();
  sigset_t former;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_sigmask(SIG_SETMASK, &mask, &former);
  pthread_t thread;
  bool const started = pthread_create(&thread, &attributes, thread_main, start.get()) == 0;
  pthread_sigmask(SIG_SETMASK, &former, nullptr);
  pthread_attr_destroy(&attributes);
  if (started) {
    (void)start.release();  // NOLINT(bugprone-unused-return-value): the thread owns it now
  }
  return started;
}

#if HAMGAM_TSAN_USER
// Those of the modules that are loaded by now.
void share_thread_locals() noexcept {
  dl_iterate_phdr(
      [](dl_phdr_info* module, std::size_t /*size*/, void* /*argument*/) {
        for (int i = 0; module->dlpi_tls_data != nullptr && i < module->dlpi_phnum; ++i) {
          if (module->dlpi_phdr[i].p_type == PT_TLS) {
            AnnotateBenignRaceSized(__FILE__, __LINE__, module->dlpi_tls_data,
                                    module->dlpi_phdr[i].p_memsz, "thread_local");
          }
        }
        return 0;
      },
      nullptr);
}
#else
void share_thread_locals() noexcept {}
#endif

void yield_thread() noexcept { sched_yield(); }

void nap_thread() noexcept {
  timespec const nap{0, 50'000};
  nanosleep(&nap, nullptr);
}

void find_thread_stack(const void*& bottom, std::size_t& size) noexcept {
  pthread_attr_t attributes;
  void* start = nullptr;
  size = 0;
  if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
    pthread_attr_getstack(&attributes, &start, &size);
    pthread_attr_destroy(&attributes);
  }
  bottom = start;
}

int available_cpus() noexcept {
  cpu_set_t mask;
  int const allowed = sched_getaffinity(0, sizeof mask, &mask) == 0 ? CPU_COUNT(&mask) : 1;
  int const one_at_a_time = running_on_valgrind() ? 1 : INT_MAX;
  return std::max(1, std::min({allowed, cgroup_cpus(), one_at_a_time}));
}

namespace {

// "S 2 3 ..." of "1 (name) S 2 3 ..." in a stat file of /proc; null if it can't be read. Needs no
// memory: it is asked when there may be none.
template <std::size_t kSize>
const char* read_stat(const char* path, char (&text)[kSize]) noexcept {
  int const file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    return nullptr;
  }
  ssize_t const length = read(file, text, kSize - 1);
  close(file);
  text[std::max<ssize_t>(length, 0)] = '\0';
  const char* name_end = std::strrchr(text, ')');  // the name may contain anything
  return name_end != nullptr && name_end[1] == ' ' ? name_end + 2 : nullptr;
}

}  // namespace

int thread_id() noexcept { return static_cast<int>(syscall(SYS_gettid)); }

Doing thread_doing(int id) noexcept {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/self/task/%d/stat", id);
  char text[128];
  const char* state = read_stat(path, text);
  if (state != nullptr) {
    return *state == 'R' ? Doing::kRuns : Doing::kWaits;
  }
  return syscall(SYS_tgkill, getpid(), id, 0) == 0 ? Doing::kUnknown : Doing::kGone;
}

Nanos thread_cpu_time(int id) noexcept {
  // The kernel's number for the clock of a thread: ~id, 4 for a thread's, 2 for time on a CPU.
  auto const clock = static_cast<clockid_t>((~static_cast<unsigned>(id) << 3U) | 6U);
  timespec time{};
  return clock_gettime(clock, &time) == 0 ? time.tv_sec * 1'000'000'000 + time.tv_nsec : 0;
}

int count_threads() noexcept {
  char text[1024];
  const char* at = read_stat("/proc/self/stat", text);
  for (int word = 0; at != nullptr && word < 17; ++word) {
    at = std::strchr(at, ' ');
    at = at != nullptr ? at + 1 : nullptr;
  }
  return at != nullptr ? std::atoi(at) : 0;
}

}  // namespace hamgam::inline HAMGAM_ABI::detail
