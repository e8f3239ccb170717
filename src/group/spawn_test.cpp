// SPDX-License-Identifier: Apache-2.0
// Copyright The Hamgam Authors
#include "hamgam/spawn.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "hamgam/go.h"
#include "hamgam/time.h"

namespace {

using namespace std::chrono_literals;
using hamgam::Panic;
using hamgam::Task;
using hamgam::WaitGroup;

static_assert(!std::is_copy_constructible_v<Task<int>>);
static_assert(std::is_nothrow_move_constructible_v<Task<int>>);

// Runs the test in a goroutine and on a plain thread.
template <class F>
void in_both(F f) {
  f();
  hamgam::run(f);
}

TEST(Spawn, Smoke) {
  in_both([] {
    auto task = hamgam::spawn([](int a, int b) { return a + b; }, 2, 3);
    static_assert(std::is_same_v<decltype(task), Task<int>>);
    EXPECT_EQ(task.get(), 5);
    EXPECT_TRUE(task.done());
  });
}

TEST(Spawn, VoidReferenceAndMoveOnlyResults) {
  in_both([] {
    int x = 1;
    hamgam::spawn([&] { x = 2; }).get();
    EXPECT_EQ(x, 2);
    Task<int&> reference = hamgam::spawn([&]() -> int& { return x; });
    int& same = reference.get();
    EXPECT_EQ(&same, &x);
    Task<std::unique_ptr<int>> owned = hamgam::spawn([] { return std::make_unique<int>(7); });
    EXPECT_EQ(*owned.get(), 7);
    auto const moved_in =
        hamgam::spawn([](std::unique_ptr<int> p) { return *p; }, std::make_unique<int>(8)).get();
    EXPECT_EQ(moved_in, 8);
  });
}

// A reference of any kind comes out as it came in.
TEST(Spawn, ResultsThatAreReferences) {
  in_both([] {
    std::string text = "some text that is long enough";
    Task<std::string&&> moved = hamgam::spawn([&]() -> std::string&& { return std::move(text); });
    std::string&& same = moved.get();
    EXPECT_EQ(&same, &text);
    std::string const taken =
        hamgam::spawn([&](int) -> std::string&& { return std::move(text); }, 1).get();
    EXPECT_EQ(taken, "some text that is long enough");
    EXPECT_TRUE(text.empty());
    Task<const std::string&> constant =
        hamgam::spawn([&]() -> const std::string& { return taken; });
    EXPECT_EQ(&constant.get(), &taken);
    Task<const std::string&&> odd =
        hamgam::spawn([&]() -> const std::string&& { return std::move(taken); });
    EXPECT_EQ(std::string(odd.get()), taken);
    auto failed = hamgam::spawn([]() -> int&& { throw std::out_of_range("far"); });
    EXPECT_THROW((void)failed.get(), std::out_of_range);
  });
}

TEST(Spawn, GetRethrows) {
  in_both([] {
    auto task = hamgam::spawn([]() -> int { throw std::out_of_range("far"); });
    task.wait();
    EXPECT_TRUE(task.done());
    EXPECT_THROW((void)task.get(), std::out_of_range);
  });
}

TEST(Spawn, GetTwiceIsAPanic) {
  in_both([] {
    auto task = hamgam::spawn([] { return 1; });
    EXPECT_EQ(task.get(), 1);
    EXPECT_THROW((void)task.get(), Panic);
    auto failed = hamgam::spawn([] { throw std::runtime_error("no"); });
    EXPECT_THROW(failed.get(), std::runtime_error);
    EXPECT_THROW(failed.get(), Panic);
  });
}

// Made by default or moved from: assigned later.
TEST(Spawn, EmptyTasks) {
  in_both([] {
    Task<int> task;
    EXPECT_FALSE(task);
    auto const refuses = [&task](auto use) {
      try {
        use();
        ADD_FAILURE() << "it did not throw";
      } catch (const Panic& e) {
        EXPECT_STREQ(e.what(), "Task: it is empty");
      }
      EXPECT_FALSE(task);
    };
    refuses([&] { (void)task.get(); });
    refuses([&] { task.wait(); });
    refuses([&] { (void)task.wait(std::stop_token()); });
    refuses([&] { (void)task.wait_for(1h); });
    refuses([&] { (void)task.wait_until(hamgam::Clock::now()); });
    refuses([&] { (void)task.done(); });
    task = hamgam::spawn([] { return 1; });
    EXPECT_TRUE(task);
    Task<int> other = std::move(task);
    refuses([&] { (void)task.get(); });  // NOLINT(bugprone-use-after-move): what is tested
    EXPECT_EQ(other.get(), 1);
    EXPECT_TRUE(other);
    other = Task<int>();
    EXPECT_FALSE(other);
    Task<void> const nothing;
    std::vector<Task<int&>> many(3);
    EXPECT_FALSE(many[2]);
  });
}

TEST(Spawn, GoexitMakesGetPanic) {
  in_both([] {
    bool unwound = false;
    auto task = hamgam::spawn([&]() -> int {
      struct Mark {
        bool* flag;
        ~Mark() { *flag = true; }
      } const mark{&unwound};
      hamgam::goexit();
    });
    EXPECT_THROW((void)task.get(), Panic);
    EXPECT_TRUE(unwound);
  });
}

TEST(Spawn, DestructorWaits) {
  in_both([] {
    WaitGroup gate;
    gate.add(1);
    std::atomic<bool> ended{false};
    {
      auto const task = hamgam::spawn([&] {
        gate.wait();
        hamgam::yield();
        ended = true;
      });
      gate.done();
    }
    EXPECT_TRUE(ended);
  });
}

TEST(Spawn, MoveAssignmentWaitsForTheFormer) {
  in_both([] {
    std::atomic<bool> ended{false};
    auto task = hamgam::spawn([&] {
      hamgam::yield();
      ended = true;
      return 1;
    });
    task = hamgam::spawn([] { return 2; });
    EXPECT_TRUE(ended);
    EXPECT_EQ(task.get(), 2);
  });
}

TEST(Spawn, TimeoutAndStop) {
  in_both([] {
    WaitGroup gate;
    gate.add(1);
    auto task = hamgam::spawn([&] { gate.wait(); });
    EXPECT_FALSE(task.done());
    EXPECT_FALSE(task.wait_for(1ms));
    EXPECT_FALSE(task.wait_until(hamgam::Clock::now() + 1ms));
    std::stop_source source;
    std::jthread const stopper([&] { source.request_stop(); });
    EXPECT_FALSE(task.wait(source.get_token()));
    gate.done();
    EXPECT_TRUE(task.wait_for(1h));
    EXPECT_TRUE(task.wait(source.get_token()));
    EXPECT_TRUE(task.done());
  });
}

// What the function captured is gone when get() returns.
TEST(Spawn, ClosureDiesBeforeTheTaskIsDone) {
  in_both([] {
    for (int i = 0; i < 100; ++i) {
      auto shared = std::make_shared<int>(i);
      auto task = hamgam::spawn([shared] { return *shared; });
      EXPECT_EQ(task.get(), i);
      EXPECT_EQ(shared.use_count(), 1);
    }
  });
}

TEST(Spawn, OptionsFirst) {
  in_both([] {
    auto task = hamgam::spawn(
        hamgam::GoOptions{.name = "adder", .stack_size = 1 << 20}, [](int a) { return a + 1; }, 1);
    EXPECT_EQ(task.get(), 2);
  });
}

TEST(Spawn, Migrate) {
  hamgam::run([] {
    std::vector<Task<int>> tasks;
    for (int i = 0; i < 1000; ++i) {
      tasks.push_back(hamgam::spawn([i] {
        for (int k = 0; k < i % 7; ++k) {
          hamgam::yield();
        }
        return i;
      }));
    }
    int sum = 0;
    for (auto& task : tasks) {
      sum += task.get();
    }
    EXPECT_EQ(sum, 999 * 1000 / 2);
  });
}

}  // namespace
