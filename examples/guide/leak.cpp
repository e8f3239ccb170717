// A test whose goroutine stays behind: the answer comes too late, and nobody takes it.
#include <gtest/gtest.h>
#include <hamgam/gtest.h>
#include <hamgam/hamgam.h>

#include <chrono>

namespace {

using namespace std::chrono_literals;

// What the compiler inlines is in no stack.
[[gnu::noinline]] void ask_slow_server(const hamgam::Chan<int>& answers) {
  hamgam::sleep(200ms);
  answers.send(42);  // it waits here for ever, unless the channel has room: make_chan<int>(1)
}

bool ask(std::chrono::milliseconds patience) {
  const auto answers = hamgam::make_chan<int>();
  hamgam::go({.name = "asks"}, [answers] { ask_slow_server(answers); });
  return hamgam::select(hamgam::on_recv(answers), hamgam::on_recv(hamgam::after(patience))) == 0;
}

TEST(Ask, gives_up) { EXPECT_FALSE(ask(1ms)); }

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  testing::UnitTest::GetInstance()->listeners().Append(new hamgam::observe::LeakListener);
  return RUN_ALL_TESTS();
}
