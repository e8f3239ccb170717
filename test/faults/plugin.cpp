// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
//
// A library that is loaded by plugins_test, in two builds that differ by a name and a number.

static __attribute__((noinline)) int HAMGAM_TEST_PLUGIN() {
  asm volatile("");
  return HAMGAM_TEST_NUMBER;  // else the linker may give both the same build-id
}

extern "C" const void* hamgam_test_plugin() {
  return reinterpret_cast<const void*>(&HAMGAM_TEST_PLUGIN);
}
