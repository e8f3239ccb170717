// A loop that computes for long, while another goroutine waits for the thread.
#include <hamgam/hamgam.h>

#include <iostream>

namespace {

long grains = 0;

// What the compiler inlines is in no stack.
[[gnu::noinline]] void count_sand() {
  while (hamgam::observe::stats().stuck_reports == 0) {
    for (int i = 0; i < 1'000'000; ++i) {
      ++grains;
    }
    // hamgam::yield() here would let others run
  }
}

void greet() { std::cout << "at last\n"; }

}  // namespace

int main() {
  hamgam::observe::watch_stuck();  // or HAMGAM_DEBUG=stuck in the environment
  hamgam::max_procs(1);
  return hamgam::run([] {
    hamgam::WaitGroup group;
    group.go({.name = "sand"}, [&group] {
      group.go({.name = "guest"}, greet);
      count_sand();
    });
    group.wait();
    std::cout << (grains > 0 ? "counted\n" : "nothing there\n");
  });
}
