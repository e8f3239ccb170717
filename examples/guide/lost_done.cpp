// A done() that is lost on one way out: the wait never ends.
#include <hamgam/hamgam.h>

#include <iostream>

namespace {

void bake(int loaf, hamgam::WaitGroup& group) {
  if (loaf == 3) {
    std::cout << "burnt\n";
    return;  // and done()? group.go(f) can't forget it
  }
  group.done();
}

// What the compiler inlines is in no stack.
[[gnu::noinline]] void bake_all() {
  hamgam::WaitGroup group;
  for (int loaf = 0; loaf < 5; ++loaf) {
    group.add(1);
    hamgam::go([loaf, &group] { bake(loaf, group); });
  }
  group.wait();
  std::cout << "all baked\n";
}

}  // namespace

int main() {
  return hamgam::run([] { bake_all(); });
}
