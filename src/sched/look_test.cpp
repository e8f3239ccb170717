// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "sched/look.h"

#include <gtest/gtest.h>

#include <csignal>
#include <cstddef>

namespace hamgam {
namespace {

using detail::Looks;
using detail::ThreadRecord;

// What the thread itself answers.
bool is_answered(ThreadRecord& thread) {
  Looks looks(detail::kLookPatience, false);
  looks.ask(thread);
  looks.wait();
  return looks.answer(0) != nullptr;
}

// Somebody who moves may be met at two places. Of two Looks for one thread the first was lost for
// good, and with it an answer in every later batch.
TEST(Look, one_that_is_asked_twice_answers_once) {
  ThreadRecord& me = *detail::this_thread_record();
  bool const can = is_answered(me);
  {
    sigset_t urgent;
    sigemptyset(&urgent);
    sigaddset(&urgent, SIGURG);
    Looks looks(detail::kLookPatience, false);
    pthread_sigmask(SIG_BLOCK, &urgent, nullptr);
    looks.ask(me);
    looks.ask(me);
    pthread_sigmask(SIG_UNBLOCK, &urgent, nullptr);
    looks.wait();
    EXPECT_EQ(looks.answer(0) != nullptr, can);
    EXPECT_EQ(looks.answer(1), nullptr);
  }
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(is_answered(me), can) << i;
  }
}

// It has gone on without an answer; what it says later is nobody's.
TEST(Look, one_that_answers_too_late) {
  ThreadRecord& me = *detail::this_thread_record();
  bool const can = is_answered(me);
  sigset_t urgent;
  sigemptyset(&urgent);
  sigaddset(&urgent, SIGURG);
  pthread_sigmask(SIG_BLOCK, &urgent, nullptr);
  {
    Looks looks(detail::kMillisecond, false);
    looks.ask(me);
    looks.wait();
    EXPECT_EQ(looks.answer(0), nullptr);
  }
  pthread_sigmask(SIG_UNBLOCK, &urgent, nullptr);
  EXPECT_EQ(is_answered(me), can);
}

}  // namespace
}  // namespace hamgam
