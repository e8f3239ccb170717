// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors

// refuse WHAT[,WHAT...] PROGRAM [ARGUMENT...]: runs the program on a kernel that refuses features,
// as older kernels and sandboxes do, so that the paths without them are tested too. A seccomp
// filter answers for it.
//
//   membarrier, rseq, epoll_pwait2   the system call does not exist (ENOSYS)
//   guards                           madvise(MADV_GUARD_INSTALL) is not known (EINVAL)

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <sstream>
#include <string>
#include <vector>

namespace {

#if defined(__x86_64__)
constexpr unsigned kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr unsigned kArchitecture = AUDIT_ARCH_AARCH64;
#else
#error "which AUDIT_ARCH_ is this?"
#endif

constexpr unsigned kMadviseGuardInstall = 102;
constexpr unsigned kEpollPwait2 = 441;  // on every architecture; not in older headers
constexpr unsigned kRseq =
#if defined(__x86_64__)
    334;
#else
    293;
#endif

unsigned offset_of_argument(unsigned number) {
  return static_cast<unsigned>(offsetof(seccomp_data, args) +
                               number * sizeof(seccomp_data::args[0]));
}

// Loads the word at the offset of seccomp_data.
sock_filter load(unsigned offset) { return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset); }

// Goes on with the next instruction if the word is `value`, else skips `otherwise` of them.
sock_filter unless_equal(unsigned value, unsigned char otherwise) {
  return BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, otherwise);
}

sock_filter answer(unsigned what) { return BPF_STMT(BPF_RET | BPF_K, what); }

class Filter {
 public:
  Filter() {
    add(load(offsetof(seccomp_data, arch)));
    add(unless_equal(kArchitecture, 1));
    add(BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0));
    add(answer(SECCOMP_RET_ALLOW));
  }

  bool refuse(const std::string& what) {
    if (what == "membarrier") {
      refuse_call(SYS_membarrier);
    } else if (what == "rseq") {
      refuse_call(kRseq);
    } else if (what == "epoll_pwait2") {
      refuse_call(kEpollPwait2);
    } else if (what == "guards") {
      add(load(offsetof(seccomp_data, nr)));
      add(unless_equal(SYS_madvise, 3));
      add(load(offset_of_argument(2)));  // little-endian: the low half comes first
      add(unless_equal(kMadviseGuardInstall, 1));
      add(answer(SECCOMP_RET_ERRNO | EINVAL));
    } else {
      return false;
    }
    return true;
  }

  bool install() {
    add(answer(SECCOMP_RET_ALLOW));
    sock_fprog const program{static_cast<unsigned short>(code_.size()), code_.data()};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
  }

 private:
  void add(sock_filter instruction) { code_.push_back(instruction); }

  void refuse_call(unsigned number) {
    add(load(offsetof(seccomp_data, nr)));
    add(unless_equal(number, 1));
    add(answer(SECCOMP_RET_ERRNO | ENOSYS));
  }

  std::vector<sock_filter> code_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fputs("refuse WHAT[,WHAT...] PROGRAM [ARGUMENT...]\n", stderr);
    return 2;
  }
  Filter filter;
  std::istringstream list(argv[1]);
  for (std::string what; std::getline(list, what, ',');) {
    if (!filter.refuse(what)) {
      std::fprintf(stderr, "refuse: what is %s?\n", what.c_str());
      return 2;
    }
  }
  if (!filter.install()) {
    std::perror("refuse: seccomp");
    return 2;
  }
  execvp(argv[2], argv + 2);
  std::perror(argv[2]);
  return 2;
}
