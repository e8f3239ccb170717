// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
//
// A library that is loaded by plugins_test, in two builds that differ by a name and a number.

#include <atomic>
#include <thread>

static __attribute__((noinline)) int HAMGAM_TEST_PLUGIN() {
  asm volatile("");
  return HAMGAM_TEST_NUMBER;  // else the linker may give both the same build-id
}

extern "C" const void* hamgam_test_plugin() {
  return reinterpret_cast<const void*>(&HAMGAM_TEST_PLUGIN);
}

// A thread that the library's static object joins, within dlclose.
namespace {
struct Works {
  ~Works() {
    if (thread.joinable()) {
      over = true;
      thread.join();
    }
  }
  std::atomic<bool> over{false};
  std::thread thread;
} g_works;
}  // namespace

extern "C" void hamgam_test_start(void (*work)()) {
  g_works.thread = std::thread([work] {
    work();
    while (!g_works.over) {
      std::this_thread::yield();
    }
  });
}
